"""The training loop: stopped and resumed equals never stopped, and nothing goes wrong silently."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from tests.support import tiny
from wavewright.checkpoints.checkpoint import latest_checkpoint, load_training
from wavewright.compute.device import pick_device
from wavewright.errors import WavewrightError
from wavewright.models.base import Model, Update
from wavewright.models.batch import Batch
from wavewright.models.config import ModelConfig, OptimizerConfig
from wavewright.training.crops import CropData
from wavewright.training.logger import TrainingLogger
from wavewright.training.loop import Selection, train, validation_steps
from wavewright.training.optimizers import Restart
from wavewright.training.options import TrainingOptions
from wavewright.training.signals import stop_requests
from wavewright.training.state import TrainState

STEPS = 8  # of an uninterrupted run; an epoch has 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> CropData:
    folder = tmp_path_factory.mktemp("corpus")
    return CropData(*tiny.corpus(folder), tiny.IDS, segment_length=512, batch_size=2, seed=3)


def go(run: Path, data: Any, steps: int = STEPS, **options: Any) -> Path:
    """Train the tiny HiFi-GAN, from the newest checkpoint if there is one; the last step."""
    settings = {"seed": 3, "checkpoint_every": 100, "log_every": 1, "device": "cpu", **options}
    model = settings.pop("model", None) or tiny.hifigan(adversary_start=2)
    train(
        model,
        data,
        run=run,
        validate=settings.pop("validate", None),
        selection=Selection(settings.pop("best_by", ""), settings.pop("best_from", 0)),
        ema_decay=settings.pop("ema_decay", None),
        options=TrainingOptions(max_steps=steps, **settings),
    )
    newest = latest_checkpoint(run)
    assert newest is not None
    return newest


def same(a: Any, b: Any) -> bool:
    """Whether two nested states are equal bit for bit."""
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.fixture(scope="module")
def uninterrupted(data: CropData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return go(tmp_path_factory.mktemp("whole"), data)


def assert_equal_to(whole: Path, other: Path) -> None:
    """The values, which tell more when they fail, and the files."""
    assert same(load_training(whole), load_training(other))
    for name in ("vocoder.safetensors", "training.pt"):
        assert (whole / name).read_bytes() == (other / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(("stops", "workers"), [((4,), 0), ((3, 6), 0), ((2,), 2)])
def test_stopped_and_resumed_equals_never_stopped(
    data: CropData, uninterrupted: Path, tmp_path: Path, stops: tuple[int, ...], workers: int
) -> None:
    """In the middle and at the edge of an epoch, before and after the adversaries start."""
    for stop in (*stops, STEPS):
        newest = go(tmp_path, data, stop, workers=workers)
        assert newest.name == f"step-{stop:08d}"
    assert_equal_to(uninterrupted, newest)


def test_training_changes_every_player(data: CropData, uninterrupted: Path) -> None:
    fresh = TrainState(tiny.hifigan(adversary_start=2), len(data), torch.device("cpu"), 3)
    trained = load_training(uninterrupted)["players"]
    assert trained.keys() == {"generator", "discriminator"} == fresh.players.keys()
    for name, player in fresh.players.items():
        before = player.state_dict()
        assert any(not torch.equal(value, before[key]) for key, value in trained[name].items())


@pytest.mark.slow
def test_another_seed_is_another_training(
    data: CropData, uninterrupted: Path, tmp_path: Path
) -> None:
    other = CropData(data.audio, data.mels, tiny.IDS, segment_length=512, batch_size=2, seed=4)
    newest = go(tmp_path, other, seed=4)
    assert not same(load_training(uninterrupted)["players"], load_training(newest)["players"])


@pytest.mark.slow
def test_the_mel_loss_falls(data: CropData, tmp_path: Path) -> None:
    losses = []
    state = TrainState(
        tiny.hifigan(adversary_start=1000, learning_rate=2e-3), len(data), torch.device("cpu"), 3
    )
    for step in range(60):
        losses.append(float(state.advance(data.batch(step))["mel_l1"]))
    assert sum(losses[-6:]) < 0.6 * sum(losses[:6])


class Poisoned:
    """Data with something wrong at one step."""

    def __init__(self, data: CropData, at: int, action: Any) -> None:
        self.data, self.at, self.action = data, at, action
        self.batch_size = data.batch_size

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, step: int, share: int = 0, shares: int = 1) -> Batch:
        batch = self.data.batch(step, share, shares)
        if step == self.at:
            self.action(batch)
        return batch


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_with_a_sentence(data: CropData, tmp_path: Path) -> None:
    def poison(batch: Batch) -> None:
        batch.wav[:] = float("nan")

    go(tmp_path, data, 4)
    with pytest.raises(WavewrightError) as caught:
        go(tmp_path, Poisoned(data, 5, poison))
    message = str(caught.value)
    assert "loss became nan at step 5" in message
    assert data.batch(5).ids[0] in message, "the utterances are named"
    assert "The last checkpoint is intact" in message
    assert latest_checkpoint(tmp_path) == tmp_path / "step-00000004"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2, signal.SIGINT])
def test_a_signal_saves_and_ends_with_its_number(
    data: CropData, uninterrupted: Path, tmp_path: Path, number: int
) -> None:
    before = signal.getsignal(number)
    interrupted = Poisoned(data, 4, lambda _: signal.raise_signal(number))
    with pytest.raises(SystemExit) as caught:
        go(tmp_path, interrupted)
    assert caught.value.code == (130 if number == signal.SIGINT else 143)
    assert signal.getsignal(number) is before, "the handlers are put back"
    assert latest_checkpoint(tmp_path) == tmp_path / "step-00000005"
    if number == signal.SIGTERM:
        assert_equal_to(uninterrupted, go(tmp_path, data))


@pytest.mark.slow
def test_a_signal_at_the_last_step_is_no_interruption(data: CropData, tmp_path: Path) -> None:
    last = Poisoned(data, STEPS - 1, lambda _: signal.raise_signal(signal.SIGTERM))
    assert go(tmp_path, last).name == "step-00000008"


@pytest.mark.slow
def test_a_signal_between_two_looks_does_not_stop_without_saving(
    data: CropData, tmp_path: Path
) -> None:
    """It arrives after the loop decided not to save this step."""

    class Sly(SimpleNamespace):
        @property
        def checkpoint_every(self) -> int:
            signal.raise_signal(signal.SIGTERM)
            return 100

    settings = TrainingOptions(max_steps=5, seed=3, log_every=1, device="cpu").model_dump()
    options: Any = Sly(**{k: v for k, v in settings.items() if k != "checkpoint_every"})
    with pytest.raises(SystemExit):
        train(tiny.hifigan(), data, run=tmp_path, options=options)
    assert latest_checkpoint(tmp_path) == tmp_path / "step-00000002"


def test_a_second_interrupt_stops_at_once() -> None:
    with stop_requests() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


SCRIPT = """\
import sys
from pathlib import Path
from tests.support import tiny
from wavewright.training.crops import CropData
from wavewright.data.shards import Shards
from wavewright.training.loop import train
from wavewright.training.options import TrainingOptions

folder = Path(sys.argv[1])
audio, mels = Shards(folder / "audio"), Shards(folder / "mels")
data = CropData(audio, mels, tiny.IDS, segment_length=512, batch_size=2, seed=3)
options = TrainingOptions(
    max_steps=100_000, seed=3, checkpoint_every=5, log_every=1, workers=1, device="cpu"
)
train(tiny.hifigan(adversary_start=10**9), data, run=folder / "run", options=options)
"""


@pytest.mark.slow
def test_sigterm_ends_a_real_process_with_143_and_a_checkpoint(
    tmp_path: Path, root: Path, source_environment: dict[str, str]
) -> None:
    tiny.corpus(tmp_path)
    roots = os.pathsep.join([source_environment["PYTHONPATH"], str(root)])
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        start_new_session=True,
        env={**source_environment, "PYTHONPATH": roots},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("run/step-*")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)  # those that load data get it too, as on a cluster
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 143, errors
    assert "saving" in errors
    newest = latest_checkpoint(tmp_path / "run")
    assert newest is not None
    assert f"after saving step {int(newest.name.removeprefix('step-'))}" in errors


class ToyConfig(ModelConfig):
    mel: Any = tiny.SPEC


class Rivals(Model):
    """A generator and a critic of one weight each, whose losses both depend on both."""

    Config = ToyConfig
    kind = "vocoder"

    def __init__(self) -> None:
        super().__init__(ToyConfig(), name="rivals")
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.frozen = nn.Parameter(torch.tensor(1.0), requires_grad=False)
        self.seen: list[tuple[Tensor | None, Tensor | None]] = []

    def build_discriminators(self) -> dict[str, nn.Module]:
        critic = nn.Linear(1, 1, bias=False)
        nn.init.constant_(critic.weight, 3.0)
        return {"critic": critic}

    def optimizer_config(self, player: str) -> OptimizerConfig:
        rate = 0.1 if player == "generator" else 0.5
        return OptimizerConfig(learning_rate=rate, decay_per_epoch=0.5, clip_norm=1e3)

    def product(self) -> Tensor:
        critic = self.discriminators["critic"]
        return self.weight * critic.weight.sum() * self.frozen  # type: ignore[operator]

    def note(self) -> None:
        critic = self.discriminators["critic"].weight
        assert isinstance(critic, Tensor)
        self.seen.append((self.weight.grad, critic.grad))

    def updates(self, batch: Any, step: int) -> Iterator[Update]:
        self.note()
        yield Update("critic", self.product(), {"critic": 1.5})
        self.note()
        yield Update("generator", self.product(), {"generator": self.product()})
        self.note()


def rivals() -> TrainState:
    return TrainState(Rivals(), 2, torch.device("cpu"), 0)


def test_only_the_stepping_player_gets_gradients_and_moves() -> None:
    state = rivals()
    model = state.model
    assert isinstance(model, Rivals)
    state.advance(Batch(torch.zeros(1, 1), torch.zeros(1, 1, 1), ["a"]))
    start, after_critic, end = model.seen
    assert start == (None, None)
    assert after_critic[0] is None, "the critic's loss gave the generator no gradient"
    assert after_critic[1] is not None
    assert float(end[0]) == pytest.approx(2.5)  # type: ignore[arg-type]
    critic = model.discriminators["critic"].weight
    assert critic.item() == pytest.approx(3.0 - 0.5), "Adam's first step is the rate"  # type: ignore[operator]
    assert model.weight.item() == pytest.approx(2.0 - 0.1)
    assert float(model.frozen) == 1.0, "what is frozen stays, and does not disturb"


def test_rates_decay_once_per_epoch_for_every_player() -> None:
    state = rivals()
    rates = []
    for _ in range(5):
        state.advance(Batch(torch.zeros(1, 1), torch.zeros(1, 1, 1), ["a"]))
        rates.append(state.learning_rates())
    assert [rate["generator"] for rate in rates] == [0.1, 0.1, 0.05, 0.05, 0.025]
    assert [rate["critic"] for rate in rates] == [0.5, 0.5, 0.25, 0.25, 0.125]


class Later(Rivals):
    """Whose critic starts at the third step, and so does its schedule."""

    def optimizer_config(self, player: str) -> OptimizerConfig:
        starts = 3 if player == "critic" else 0
        return OptimizerConfig(learning_rate=0.1, decay_every=2, amsgrad=True, starts_at=starts)


@pytest.mark.parametrize(
    ("restart", "generator", "critic"),
    [
        (None, [0.1, 0.1, 0.05, 0.05, 0.025, 0.025], [0.1, 0.1, 0.1, 0.1, 0.1, 0.05]),
        # Where all begin anew, one that has started begins with them.
        (Restart(4, 0.2), [0.1, 0.1, 0.05, 0.05, 0.2, 0.2], [0.1, 0.1, 0.1, 0.1, 0.2, 0.2]),
        (Restart(1, 0.2), [0.1, 0.2, 0.2, 0.1, 0.1, 0.05], [0.1, 0.2, 0.2, 0.2, 0.2, 0.1]),
    ],
)
def test_a_schedule_may_start_later(
    restart: Restart | None, generator: list[float], critic: list[float]
) -> None:
    state = TrainState(Later(), 2, torch.device("cpu"), 0, restart=restart)
    rates = []
    for _ in range(6):
        state.advance(Batch(torch.zeros(1, 1), torch.zeros(1, 1, 1), ["a"]))
        rates.append(state.learning_rates())
    assert [rate["generator"] for rate in rates] == pytest.approx(generator)
    assert [rate["critic"] for rate in rates] == pytest.approx(critic)
    assert all(optimizer.defaults["amsgrad"] for optimizer in state.optimizers.values())


def test_logs_of_all_updates_are_collected_without_graphs() -> None:
    logs = rivals().advance(Batch(torch.zeros(1, 1), torch.zeros(1, 1, 1), ["a"]))
    assert logs.keys() == {"critic", "generator"}
    assert not any(value.requires_grad for value in logs.values())


@pytest.mark.slow
def test_every_step_is_validated_once_even_after_a_fall_back(
    data: CropData, tmp_path: Path
) -> None:
    def validate(step: int, logger: TrainingLogger) -> dict[str, float]:
        assert not torch.is_grad_enabled()
        return {"mel_l1": 1.0 / (1 + step), "mode": float(model.training)}

    model = tiny.hifigan(adversary_start=100)
    go(tmp_path, data, 10, validate=validate, checkpoint_every=4, keep_checkpoints=9, model=model)
    for step in ("step-00000010", "step-00000008"):
        (tmp_path / step / "checkpoint.json").unlink()  # a kill left these unfinished
    model = tiny.hifigan(adversary_start=100)
    go(tmp_path, data, 10, validate=validate, checkpoint_every=4, keep_checkpoints=9, model=model)
    lines = [json.loads(line) for line in (tmp_path / "validation.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(11))
    assert all(line["mel_l1"] == 1.0 / (1 + line["step"]) for line in lines)
    assert not any(line["mode"] for line in lines), "validation runs in eval mode"
    assert model.training


def test_a_resumed_curve_ends_where_the_run_resumes(tmp_path: Path) -> None:
    with TrainingLogger(tmp_path, 0) as logger:
        for step in (0, 5, 10):
            logger.validation(step, {"mel_l1": float(step)})
    with TrainingLogger(tmp_path, 5):
        lines = (tmp_path / "validation.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 5]


def test_validation_looks_early_and_at_every_tenth() -> None:
    assert sorted(validation_steps(20_000)) == [0, 100, 500, *range(2000, 20_001, 2000)]
    assert sorted(validation_steps(300)) == sorted([100, *range(0, 301, 30)])
    assert max(validation_steps(7)) == 7


@pytest.mark.slow
def test_only_the_newest_checkpoints_are_kept(data: CropData, tmp_path: Path) -> None:
    go(tmp_path, data, 7, checkpoint_every=2, keep_checkpoints=2)
    assert sorted(path.name for path in tmp_path.glob("step-*")) == [
        "step-00000006",
        "step-00000007",
    ]
    assert list((tmp_path / "logs" / "tensorboard").iterdir())


def test_a_checkpoint_of_another_model_is_refused(data: CropData, tmp_path: Path) -> None:
    go(tmp_path, data, 1)
    with pytest.raises(WavewrightError, match=r"step-00000001: does not fit 'hifigan': .*conv_pre"):
        go(tmp_path, data, 2, model=tiny.hifigan(upsample_initial_channel=32))


def test_a_finished_training_is_left_alone(data: CropData, tmp_path: Path) -> None:
    newest = go(tmp_path, data, 2)
    written = (newest / "training.pt").stat().st_mtime_ns
    assert go(tmp_path, data, 2) == newest
    assert (newest / "training.pt").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    "field", ["max_steps", "checkpoint_every", "keep_checkpoints", "log_every", "workers", "seed"]
)
def test_intervals_must_make_sense(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        TrainingOptions.model_validate({"max_steps": 1, "seed": 1, field: -1})


def test_an_unknown_device_is_refused() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda")
    with pytest.raises(WavewrightError, match="device 'warp' is unknown or not there"):
        pick_device("warp")
    if not torch.cuda.is_available():
        with pytest.raises(WavewrightError, match="device 'cuda' is unknown or not there"):
            pick_device("cuda")
