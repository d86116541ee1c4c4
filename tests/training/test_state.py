"""Averages, shares of a batch, processes, memory, health and the best checkpoint."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.faults.ranks import advance_together
from tests.support import tiny
from tests.support.published_order import STEPS
from tests.training.test_loop import assert_equal_to, go
from wavewright.checkpoints.checkpoint import (
    best_checkpoint,
    best_value,
    load_model,
    load_training,
    mark_best,
    prune,
    read_weights,
)
from wavewright.errors import WavewrightError
from wavewright.models.base import Update
from wavewright.models.vocoder import Vocoder
from wavewright.registry import create_vocoder
from wavewright.training.crops import CropData
from wavewright.training.ema import EMA
from wavewright.training.health import assess_health
from wavewright.training.logger import TrainingLogger
from wavewright.training.memory import estimate_memory, oom_hint
from wavewright.training.state import TrainState

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> CropData:
    folder = tmp_path_factory.mktemp("corpus")
    return CropData(*tiny.corpus(folder), tiny.IDS, segment_length=512, batch_size=4, seed=3)


def vocos() -> Vocoder:
    """A GAN with a warm-up, a cosine and, where asked for, an average."""
    torch.manual_seed(0)
    return create_vocoder("vocos", **tiny.SMALL["vocos"], warmup_steps=3, cosine_steps=10)


def test_an_average_is_an_average() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    average = EMA(layer, 0.9)
    nn.init.constant_(layer.weight, 2.0)
    average.update(1000)
    average.update(1001)
    expected = 0.9 * (0.9 * 1 + 0.1 * 2) + 0.1 * 2
    raw = layer.state_dict()["weight"]
    with average.in_place():
        assert layer.weight.item() == pytest.approx(expected)
        assert raw.item() == 2.0, "what was taken before keeps the raw weights"
    assert layer.weight.item() == 2.0


def test_an_average_soon_forgets_where_training_began() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    average = EMA(layer, 0.9999)
    nn.init.constant_(layer.weight, 2.0)
    for step in range(1, 101):
        average.update(step)
    with average.in_place():
        assert layer.weight.item() == pytest.approx(2.0, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 4, 5])
def test_with_averages_and_schedules_resumed_equals_never_stopped(
    data: CropData, tmp_path: Path, stop: int
) -> None:
    settings: dict[str, Any] = {"ema_decay": 0.8}
    whole = go(tmp_path / "whole", data, model=vocos(), **settings)
    for steps in (stop, 8):
        newest = go(tmp_path / "parts", data, steps, model=vocos(), **settings)
    assert_equal_to(whole, newest)
    state = load_training(whole)
    _, inference = read_weights(whole / "vocoder.safetensors")
    average, raw = state["average"], state["players"]["generator"]
    assert torch.equal(inference["head.weight"], average["head.weight"])
    assert not torch.equal(raw["head.weight"], average["head.weight"])


@pytest.mark.slow
def test_validation_hears_the_average(data: CropData, tmp_path: Path) -> None:
    model = vocos()
    heard: list[Tensor] = []

    def validate(step: int, logger: TrainingLogger) -> dict[str, float]:
        heard.append(model.state_dict()["head.weight"].clone())
        return {"mel_l1": 1.0}

    last = go(tmp_path, data, 3, model=model, ema_decay=0.5, validate=validate)
    assert torch.equal(heard[-1], load_training(last)["average"]["head.weight"])


def losses(
    state: TrainState, data: CropData, shares: int, steps: int = 4
) -> list[dict[str, float]]:
    taken = []
    for step in range(steps):
        logs = state.advance(*(data.batch(step, share, shares) for share in range(shares)))
        taken.append({name: float(value) for name, value in logs.items()})
    return taken


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hifigan", "melgan", "vocos", "bigvgan"])
def test_accumulated_shares_equal_the_batch(data: CropData, name: str) -> None:
    # HiFi-GAN's spectral norm comes nearer to the true norm with every pass, so with every share.
    tolerance = 1e-3 if name == "hifigan" else 1e-4
    runs = []
    for shares in (1, 2, 4):
        torch.manual_seed(0)
        state = TrainState(create_vocoder(name, **tiny.SMALL[name]), len(data), CPU, 3)
        runs.append(losses(state, data, shares))
    for other in runs[1:]:
        for mine, theirs in zip(runs[0], other, strict=True):
            assert mine == pytest.approx(theirs, rel=tolerance, abs=1e-5)


RANK = """\
import os, sys
from pathlib import Path
from tests.faults.ranks import advance

advance(int(os.environ["RANK"]), Path(sys.argv[1]), int(os.environ["MASTER_PORT"]), 6)
"""


def start_by_torchrun(folder: Path, environment: Mapping[str, str]) -> None:
    """Start two processes with PyTorch's launcher."""
    (folder / "rank.py").write_text(RANK)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [str(folder / "rank.py"), str(folder)]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=240)


@pytest.mark.slow
@pytest.mark.parametrize(
    "by_torchrun", [False, pytest.param(True, marks=pytest.mark.long)], ids=["forked", "torchrun"]
)
def test_two_processes_equal_one(
    data: CropData,
    tmp_path: Path,
    root: Path,
    source_environment: dict[str, str],
    by_torchrun: bool,
) -> None:
    """At the same global batch, over gloo."""
    tiny.corpus(tmp_path)
    if by_torchrun:
        roots = os.pathsep.join([source_environment["PYTHONPATH"], str(root)])
        start_by_torchrun(tmp_path, {**source_environment, "PYTHONPATH": roots})
    else:
        assert advance_together(tmp_path, steps=6) == [0, 0]
    first, second = (json.loads((tmp_path / f"rank{i}.json").read_text()) for i in (0, 1))
    assert first["weights"] == second["weights"], "both hold the same weights"
    state = TrainState(tiny.hifigan(), len(data), CPU, 3)
    for mine, theirs in zip(losses(state, data, 1, 6), first["losses"], strict=True):
        assert mine == pytest.approx(theirs, rel=0, abs=1e-5)


def test_a_batch_must_be_shared_evenly(data: CropData, tmp_path: Path) -> None:
    with pytest.raises(WavewrightError, match=r"batch_size 4 .* 1 processes in 3 parts .* of 3"):
        go(tmp_path, data, accumulate=3)


class Squares(nn.Module):
    """Keeps two tensors of its input's size for the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(10, 1000))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.count, Tensor)
        self.count += 1
        y = x @ self.weight.mT @ self.weight  # keeps x and a narrow product
        return y.square().sum()  # keeps y


def test_memory_is_counted_by_what_autograd_keeps() -> None:
    player = Squares()

    def updates(size: int) -> Iterator[Update]:
        yield Update("generator", player(torch.ones(100 * size, 1000)))

    both = {size: partial(updates, size) for size in (1, 2)}
    found = estimate_memory({"generator": player}, both, crops=3, device=CPU, averaged=False)
    assert found.fixed == 4 * 10_000 * 4
    kept = 4 * (100 * 1000 + 100 * 10 + 100 * 1000)
    assert found.activations == pytest.approx(3 * kept, rel=0.01)
    assert torch.equal(player.state_dict()["count"], torch.zeros(())), "nothing was changed"
    assert found.free is None or found.free > 0
    assert "GiB" in str(found)


def test_memory_is_said_before_the_first_step(
    data: CropData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "wavewright"):
        go(tmp_path, data, 1)
    words = [m for m in caplog.messages if "memory: at least" in m]
    assert len(words) == 1
    assert re.search(r"hifigan: memory: at least [\d.]+ GiB.*for one pass", words[0])


def test_out_of_memory_says_what_to_lower() -> None:
    with (
        pytest.raises(WavewrightError, match=r"out of memory on cpu at step 7: lower this\. The"),
        oom_hint(7, CPU, "lower this"),
    ):
        torch.empty(2**52)
    with pytest.raises(RuntimeError, match="other"), oom_hint(7, CPU, ""):
        raise RuntimeError("other")


@pytest.mark.slow
def test_the_best_checkpoint_is_kept_and_loaded(data: CropData, tmp_path: Path) -> None:
    def validate(step: int, logger: TrainingLogger) -> dict[str, float]:
        return {"mel_l1": abs(step - 4) + 0.5}  # step 4 is the best

    go(
        tmp_path,
        data,
        10,
        validate=validate,
        best_by="mel_l1",
        keep_checkpoints=1,
        checkpoint_every=5,
    )
    assert sorted(p.name for p in tmp_path.glob("step-*")) == ["step-00000004", "step-00000010"]
    best = best_checkpoint(tmp_path)
    assert best == tmp_path / "step-00000004"
    expected = load_model(best).state_dict()
    loaded = load_model(tmp_path).state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in loaded.items())
    (best / "vocoder.safetensors").write_bytes(b"broken")
    newest = load_model(tmp_path / "step-00000010").state_dict()
    loaded = load_model(tmp_path).state_dict()
    assert all(torch.equal(value, newest[key]) for key, value in loaded.items())


@pytest.mark.slow
def test_steps_before_the_adversary_cannot_be_best(data: CropData, tmp_path: Path) -> None:
    def validate(step: int, logger: TrainingLogger) -> dict[str, float]:
        return {"mel_l1": float(step)}

    options: dict[str, Any] = {"best_by": "mel_l1", "best_from": 6}
    go(tmp_path, data, 10, validate=validate, **options)
    assert best_checkpoint(tmp_path) == tmp_path / "step-00000006"


def test_a_mark_says_nothing_about_another_metric_or_a_later_step(tmp_path: Path) -> None:
    (tmp_path / "step-00000005").mkdir()
    mark_best(tmp_path, 5, "mel_l1", 0.25)
    assert best_value(tmp_path, "mel_l1", 9) == 0.25
    assert best_value(tmp_path, "mel_l1", 4) == math.inf
    assert best_value(tmp_path, "mstft", 9) == math.inf
    prune(tmp_path, keep=1)
    (tmp_path / "step-00000005").rmdir()
    assert best_value(tmp_path, "mel_l1", 9) == math.inf
    assert best_checkpoint(tmp_path) is None


def curve(*values: float, every: int = 1000) -> list[dict[str, float]]:
    return [{"step": i * every, "mel_l1": value} for i, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "state", "words"),
    [
        ((2.0, 1.0, 0.8), "healthy", "0.8, 20.0% better than at step 1,000"),
        ((2.0, 1.0, 1.05), "healthy", "within 5.0% of its best of 1 at step 1,000"),
        ((2.0, 1.0, 1.3, 1.4), "diverging", "40% above its best of 1 at step 1,000"),
        ((2.0, 1.0, 1.4), "healthy", "within 40.0%"),
        ((2.0, 1.0, math.nan), "diverging", "no finite value at step 2000"),
        ((2.0, 1.0, 0.995, 1.0, 0.999), "stalled", "less than 1% on 1 since step 1,000"),
        ((2.0, 1.5, 1.4, 1.3, 1.2, 1.1), "healthy", "better"),
    ],
)
def test_a_training_is_judged(values: tuple[float, ...], state: str, words: str) -> None:
    verdict = assess_health(curve(*values), "mel_l1")
    assert verdict is not None
    assert verdict.state == state
    assert words in verdict.reason


def test_one_validation_is_no_trend() -> None:
    assert assess_health(curve(2.0), "mel_l1") is None
    assert assess_health([], "mel_l1") is None
    assert assess_health(curve(2.0, 1.0), "mstft") is None, "no such metric"


def test_a_discriminator_that_won_stalls_a_training() -> None:
    falling = curve(2.0, 1.0, 0.9, 0.8)
    verdict = assess_health(falling, "mel_l1", [4.0, 0.1, 0.1])
    assert verdict is not None
    assert verdict.state == "stalled"
    assert "discriminator" in verdict.reason
    healthy = assess_health(falling, "mel_l1", [4.0, 3.0, 3.0])
    assert healthy is not None
    assert healthy.state == "healthy"


@pytest.mark.slow
def test_speeds_and_a_verdict_are_told(
    data: CropData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def validate(step: int, logger: TrainingLogger) -> dict[str, float]:
        return {"mel_l1": 1 / (1 + step)}

    with caplog.at_level(logging.INFO, "wavewright"):
        go(tmp_path, data, 6, validate=validate, best_by="mel_l1")
    assert any("step 6 of 6: healthy: mel_l1 is" in message for message in caplog.messages)
    events = EventAccumulator(str(tmp_path / "logs" / "tensorboard"))
    events.Reload()
    names = set(events.Tags()["scalars"])
    assert {
        "speed/steps_per_second",
        "speed/audio_seconds_per_second",
        "speed/data_seconds_per_step",
        "validation/mel_l1",
    } <= names
    steps = [e.value for e in events.Scalars("speed/steps_per_second")]
    audio = [e.value for e in events.Scalars("speed/audio_seconds_per_second")]
    assert audio[-1] == pytest.approx(steps[-1] * 4 * 512 / 8000, rel=0.01)


@pytest.mark.slow
def test_a_profile_is_a_trace_of_whole_steps(data: CropData, tmp_path: Path) -> None:
    go(tmp_path, data, 6, profile=2)
    folder = tmp_path / "logs" / "profile"
    events = json.loads((folder / "trace.json").read_text())["traceEvents"]
    names = {str(event.get("name")) for event in events}
    assert {"ProfilerStep#2", "ProfilerStep#3"} <= names
    assert "aten::conv1d" in names
    assert "Self CPU" in (folder / "operations.txt").read_text()


def test_deterministic_algorithms_are_asked_for(data: CropData, tmp_path: Path) -> None:
    go(tmp_path, data, 1, deterministic=True)
    assert torch.are_deterministic_algorithms_enabled()
    go(tmp_path, data, 2)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hifigan", "melgan"])
def test_the_quicker_order_of_operations_gives_the_published_losses(
    data: CropData, name: str
) -> None:
    """Over ten steps from the same seed, to 1e-5."""
    sessions = []
    for _ in range(2):
        torch.manual_seed(0)
        sessions.append(TrainState(create_vocoder(name, **tiny.SMALL[name]), len(data), CPU, 3))
    ours, published = sessions
    # Each pass brings HiFi-GAN's spectral norm nearer to the true one: equal from the start.
    for state in sessions:
        settle(state.model.discriminators["discriminator"])
    for step in range(10):
        batch = data.batch(step)
        found = ours.advance(batch)
        for optimizer, rate in zip(
            published.optimizers.values(), ours.learning_rates().values(), strict=True
        ):
            optimizer.param_groups[0]["lr"] = rate
        expected = STEPS[name](published, batch)
        for loss, value in expected.items():
            assert float(found[loss]) == pytest.approx(float(value), rel=1e-5, abs=1e-5), step


def settle(discriminator: nn.Module) -> None:
    for _ in range(50):
        with torch.no_grad():
            discriminator(torch.zeros(1, 512))
