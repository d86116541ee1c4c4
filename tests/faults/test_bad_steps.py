"""Losses and gradients that are no numbers, or that leap: stopped at or skipped, and named."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support import tiny
from tests.training.test_loop import Poisoned, go, same
from wavewright.checkpoints.checkpoint import latest_checkpoint, load_training, load_vocoder
from wavewright.errors import WavewrightError
from wavewright.models.base import Model, Update
from wavewright.models.batch import Batch
from wavewright.models.config import ModelConfig, OptimizerConfig
from wavewright.training.amp import MixedPrecision
from wavewright.training.crops import CropData
from wavewright.training.nan_guard import BadStep, LossGuard
from wavewright.training.state import TrainState

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> CropData:
    folder = tmp_path_factory.mktemp("corpus")
    return CropData(*tiny.corpus(folder), tiny.IDS, segment_length=512, batch_size=2, seed=3)


def silence_of_nans(batch: Batch) -> None:
    batch.wav[:] = float("nan")


def lines(run: Path) -> list[dict[str, Any]]:
    text = (run / "logs" / "bad_steps.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_audio_that_is_no_number_stops_a_training_and_is_named(
    data: CropData, tmp_path: Path
) -> None:
    with pytest.raises(BadStep, match=r"loss became nan at step 5 .* on_bad_step: skip"):
        go(tmp_path, Poisoned(data, 5, silence_of_nans), checkpoint_every=4)
    assert latest_checkpoint(tmp_path) == tmp_path / "step-00000004"
    (line,) = lines(tmp_path)
    assert line["step"] == 5
    assert line["action"] == "stopped"
    assert line["utterances"] == data.batch(5).ids


def test_audio_that_is_no_number_is_skipped_where_asked(
    data: CropData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    poisoned = Poisoned(data, 5, silence_of_nans)
    newest = go(tmp_path, poisoned, on_bad_step="skip")
    assert newest.name == "step-00000008"
    load_vocoder(newest)  # which refuses weights that are not finite
    (line,) = lines(tmp_path)
    assert line["action"] == "left out"
    assert line["utterances"] == data.batch(5).ids
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any(data.batch(5).ids[0] in words and words.endswith("skipped") for words in told)


def test_a_skipping_training_resumes_bit_for_bit(data: CropData, tmp_path: Path) -> None:
    """Before and after the bad step, which no weight remembers."""
    poisoned = Poisoned(data, 5, silence_of_nans)
    whole = go(tmp_path / "whole", poisoned, on_bad_step="skip")
    for stop in (5, 6, 8):
        newest = go(tmp_path / "parts", poisoned, stop, on_bad_step="skip")
    assert same(load_training(whole), load_training(newest))


class ToyConfig(ModelConfig):
    mel: Any = tiny.SPEC


class Toy(Model):
    """A weight, a layer that remembers what it saw, and a critic that steps first."""

    Config = ToyConfig
    kind = "vocoder"

    def __init__(self) -> None:
        super().__init__(ToyConfig(), name="toy")
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.memory = nn.BatchNorm1d(1, affine=False)

    def build_discriminators(self) -> dict[str, nn.Module]:
        critic = nn.Linear(1, 1, bias=False)
        nn.init.constant_(critic.weight, 3.0)
        return {"critic": critic}

    def optimizer_config(self, player: str) -> OptimizerConfig:
        return OptimizerConfig(learning_rate=0.01)

    def updates(self, batch: Any, step: int) -> Iterator[Update]:
        self.memory(batch.wav)
        critic = self.discriminators["critic"].weight
        assert isinstance(critic, Tensor)
        yield Update("critic", critic.square().sum(), {"critic": 1.0})
        # The square root of nothing: a loss of 0 whose gradient is infinite.
        yield Update("generator", (self.weight * batch.wav.mean()).abs().sqrt())


def batch(value: float, *ids: str) -> Batch:
    wav = torch.tensor([[value], [value]])
    return Batch(wav, torch.zeros(2, 1, 1), list(ids or ("a", "b")))


def toy(**guard: Any) -> TrainState:
    torch.manual_seed(0)
    return TrainState(Toy(), 2, CPU, 0, guard=LossGuard(**guard))


def snapshot(state: TrainState) -> dict[str, Any]:
    model = state.model.state_dict()
    return {
        "generator": {key: value.clone() for key, value in model.items()},
        "optimiser": {
            key: {name: torch.as_tensor(value).clone() for name, value in values.items()}
            for key, values in state.optimizers["generator"].state_dict()["state"].items()
        },
    }


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "norm of the generator's gradients became"),
        (math.nan, "the generator's loss became nan"),
        (math.inf, "the generator's loss became inf"),
    ],
)
def test_a_skipped_step_leaves_no_trace_in_the_player_that_it_would_have_spoilt(
    value: float, words: str
) -> None:
    """Neither in its weights and moments nor in what its layers remember."""
    state = toy(action="skip")
    state.advance(batch(1.0))
    before = snapshot(state)
    state.advance(batch(value, "x", "y"))
    assert same(before, snapshot(state))
    assert state.step == 2
    assert state.skipped is not None
    assert state.skipped.reason.startswith(words) or words in state.skipped.reason
    assert state.skipped.utterances == ["x", "y"]
    state.advance(batch(1.0))
    assert state.skipped is None
    assert not same(before, snapshot(state))


def test_an_infinite_gradient_stops_by_default() -> None:
    state = toy()
    with pytest.raises(BadStep, match=r"gradients became (inf|nan).* at step 0 \(utterances a, b"):
        state.advance(batch(0.0))


def test_a_loss_of_a_hundred_times_its_median_is_a_leap_where_asked() -> None:
    def after_thirty(**guard: Any) -> TrainState:
        state = toy(**guard)
        for step in range(30):
            state.advance(batch(1.0 + step % 3))
        return state

    high = batch(4e4)  # whose root is 200
    with pytest.raises(BadStep, match=r"loss spiked to \d+, 1\d\d times its median"):
        after_thirty(spike=100).advance(high)
    skipping = after_thirty(spike=100, action="skip")
    before = snapshot(skipping)
    skipping.advance(high)
    assert same(before, snapshot(skipping))
    indifferent = after_thirty()
    indifferent.advance(high)
    assert indifferent.skipped is None


def test_losses_below_nothing_leap_by_their_size() -> None:
    """A likelihood: minus five is its usual loss."""
    guard = LossGuard(spike=10)
    for _ in range(30):
        assert not guard.check("generator", -5.0, 1.0)
    assert not guard.check("generator", 40.0, 1.0)
    assert "spiked to 60, 12 times" in guard.check("generator", 60.0, 1.0)


def test_what_is_usual_survives_a_checkpoint() -> None:
    guard, resumed = LossGuard(spike=10), LossGuard(spike=10)
    for _ in range(30):
        guard.check("generator", 1.0, 1.0)
    resumed.load_state_dict(json.loads(json.dumps(guard.state_dict())))
    assert resumed.check("generator", 11.0, 1.0)
    resumed.load_state_dict({})  # of a checkpoint that knew nothing of it
    assert not resumed.check("generator", 11.0, 1.0)


def test_too_many_bad_steps_in_a_row_stop_a_training() -> None:
    state = toy(action="skip", max_bad_steps=3)
    for value in (math.nan, math.nan, 1.0, math.nan, math.nan, math.nan):
        state.advance(batch(value))
    with pytest.raises(BadStep, match=r"4 steps in a row were bad, the last because .* nan"):
        state.advance(batch(math.nan))


def test_only_the_share_at_fault_is_named() -> None:
    state = toy(action="skip")
    state.advance(batch(1.0, "a", "b"), batch(math.nan, "c", "d"))
    assert state.skipped is not None
    assert state.skipped.utterances == ["c", "d"]


def test_weights_that_are_no_numbers_are_never_saved(data: CropData, tmp_path: Path) -> None:
    go(tmp_path, data, 2)
    state = TrainState(tiny.hifigan(), len(data), CPU, 3)
    state.resume(tmp_path)
    next(state.players["discriminator"].parameters()).data[0] = math.inf
    state.step = 3
    with pytest.raises(WavewrightError, match=r"discriminator's weights in '.*' .* at step 3"):
        state.save(tmp_path)
    assert latest_checkpoint(tmp_path) == tmp_path / "step-00000002"


def float16(state: TrainState, scale: float) -> TrainState:
    """Gradient scaling as on a GPU."""
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=3)
    state.precision = MixedPrecision("float32", CPU)
    state.precision.scalers = {"generator": scaler}
    return state


def test_float16_may_overflow_until_its_scale_is_found() -> None:
    """Not before the scale is below one are gradients bad that no scale makes finite."""
    state = float16(toy(action="skip"), 4.0)
    for scale in (2.0, 1.0, 0.5):
        state.advance(batch(0.0))
        assert state.skipped is None
        assert state.precision.scalers["generator"].get_scale() == scale
    state.advance(batch(0.0))
    assert state.skipped is not None
    state.advance(batch(1.0))
    assert state.skipped is None


def test_gradient_scales_resume_bit_for_bit(data: CropData, tmp_path: Path) -> None:
    """They have grown by then, and grow again at the step that they would have grown at."""

    def fresh() -> TrainState:
        state = TrainState(tiny.hifigan(adversary_start=100), len(data), CPU, 3)
        return float16(state, 1024.0)

    whole, part = fresh(), fresh()
    for step in range(8):
        whole.advance(data.batch(step))
    for step in range(4):
        part.advance(data.batch(step))
    part.save(tmp_path)
    resumed = fresh()
    resumed.resume(tmp_path)
    assert resumed.precision.scalers["generator"].get_scale() == 2048.0
    for step in range(4, 8):
        resumed.advance(data.batch(step))
    assert resumed.precision.state_dict() == whole.precision.state_dict()
    assert resumed.precision.scalers["generator"].get_scale() == 4096.0
    assert same(whole.model.state_dict(), resumed.model.state_dict())
