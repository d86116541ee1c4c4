"""A training that is told to stop saves first, wherever it stands, and goes on as if it had not."""

from __future__ import annotations

import json
import logging
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import tiny
from tests.training.test_loop import Poisoned, assert_equal_to, go
from wavewright.checkpoints.checkpoint import best_checkpoint, latest_checkpoint
from wavewright.training.crops import CropData
from wavewright.training.heartbeat import Heartbeat, heartbeat_file, read_pulse
from wavewright.training.logger import TrainingLogger


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> CropData:
    folder = tmp_path_factory.mktemp("corpus")
    return CropData(*tiny.corpus(folder), tiny.IDS, segment_length=512, batch_size=2, seed=3)


@pytest.fixture(scope="module")
def uninterrupted(data: CropData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return go(tmp_path_factory.mktemp("whole"), data, 6)


def test_a_second_interrupt_leaves_the_last_good_checkpoint(
    data: CropData, uninterrupted: Path, tmp_path: Path
) -> None:
    """It comes in the middle of the step at whose end the first would have been saved."""

    def interrupt_twice(_: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, Poisoned(data, 4, interrupt_twice), 6, checkpoint_every=3)
    assert latest_checkpoint(tmp_path) == tmp_path / "step-00000003"
    assert_equal_to(uninterrupted, go(tmp_path, data, 6))


def test_sigterm_and_one_interrupt_still_save(data: CropData, tmp_path: Path) -> None:
    def both(_: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(SystemExit):
        go(tmp_path, Poisoned(data, 2, both), 6)
    assert latest_checkpoint(tmp_path) == tmp_path / "step-00000003"


def test_a_validation_is_not_waited_for_and_made_up_later(
    data: CropData, uninterrupted: Path, tmp_path: Path
) -> None:
    """The weights were saved before the validation: the next run validates and marks them."""
    seen: list[int] = []

    def validate(step: int, logger: TrainingLogger) -> dict[str, float]:
        seen.append(step)
        if seen == [0, 1, 2, 3]:
            signal.raise_signal(signal.SIGTERM)
            pytest.fail("the signal did not end the validation")
        return {"mel_l1": 1.0 if step == 3 else 2.0}

    options: dict[str, Any] = {"validate": validate, "best_by": "mel_l1"}
    with pytest.raises(SystemExit) as caught:
        go(tmp_path, data, 6, **options)
    assert caught.value.code == 143
    assert latest_checkpoint(tmp_path) == tmp_path / "step-00000003"
    newest = go(tmp_path, data, 6, **options)
    assert seen == [0, 1, 2, 3, 3, 4, 5, 6]
    assert best_checkpoint(tmp_path) == tmp_path / "step-00000003"
    assert_equal_to(uninterrupted, newest)
    curve = [json.loads(line) for line in (tmp_path / "validation.jsonl").read_text().splitlines()]
    assert [line["step"] for line in curve] == list(range(7))


def test_a_kill_after_a_validation_still_marks_its_step(data: CropData, tmp_path: Path) -> None:
    """The curve has it and `best.json` has not: it is not measured again, but marked."""

    def validate(step: int, logger: TrainingLogger) -> dict[str, float]:
        return {"mel_l1": 1.0 / (1 + step)}

    options: dict[str, Any] = {"validate": validate, "best_by": "mel_l1"}
    go(tmp_path, data, 3, **options)
    (tmp_path / "best.json").unlink()
    options["validate"] = lambda step, logger: {"mel_l1": 9.0}
    go(tmp_path, data, 4, **options)
    assert best_checkpoint(tmp_path) == tmp_path / "step-00000003"


def test_a_training_that_stands_still_says_where(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One process is told of, not ended; and only where no step is what is unusual."""
    with (
        caplog.at_level(logging.WARNING, "wavewright"),
        Heartbeat(tmp_path, every=0.05, quiet=0.4) as heartbeat,
    ):
        for step in range(1, 6):
            heartbeat.record_step(step)
        with heartbeat.busy("validation"):
            time.sleep(0.8)
        assert not caplog.messages
        deadline = time.monotonic() + 20
        while not caplog.messages and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.6)
    (words,) = caplog.messages
    assert "no step for 0 s after step 5" in words
    assert "test_signals.py" in words
    assert "test_a_training_that_stands_still_says_where" in words


def test_a_heartbeat_tells_the_step_and_what_a_step_takes(tmp_path: Path) -> None:
    with Heartbeat(tmp_path, 1, every=0.05) as heartbeat:
        for step in range(7, 12):
            time.sleep(0.02)
            heartbeat.record_step(step)
        time.sleep(0.2)
        running = read_pulse(heartbeat_file(tmp_path, 1))
    assert running is not None
    assert (running.step, running.doing) == (11, "step")
    assert 0.01 < running.median < 1
    assert running.quiet == 60.0
    assert running._replace(median=25.0).quiet == 75.0
    ended = read_pulse(heartbeat_file(tmp_path, 1))
    assert ended is not None
    assert ended.doing == "end"
    heartbeat_file(tmp_path, 1).write_text('{"beat": 1, "st')
    assert read_pulse(heartbeat_file(tmp_path, 1)) is None
