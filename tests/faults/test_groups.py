"""Processes that train together: one that dies or stands still ends its group, which starts again.

The launcher is tried with processes that only march in step; the tests marked long do the same to
a real training and ask for the very weights of one that was left alone.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support import tiny
from tests.training.test_loop import assert_equal_to
from wavewright.checkpoints.checkpoint import latest_checkpoint
from wavewright.training.launch import launch
from wavewright.training.process_group import Timeouts

HASTY = Timeouts(quiet=4.0, grace=0.5, pause=0.1)


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, source_environment: dict[str, str], root: Path) -> None:
    """Child processes find the modules of the tests."""
    roots = [source_environment["PYTHONPATH"], str(root)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(roots))


def march(run: Path, fault: str, max_restarts: int = 3) -> int:
    run.mkdir(exist_ok=True)
    return launch(
        ["tests.faults.marchers", str(run), fault],
        gpus=2,
        logs=run / "logs",
        max_restarts=max_restarts,
        timeouts=HASTY,
    )


def starts(run: Path) -> list[list[str]]:
    """Rank, process and meeting of every process that was started."""
    return [line.split() for line in (run / "starts.txt").read_text().splitlines()]


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("killed", "process 1 was ended by SIGKILL; its group was ended and starts again"),
        ("stopped", "process 1 gave no sign of life for"),
        ("hanging", "process 0 took no step for"),
    ],
)
def test_a_process_that_fails_ends_its_group_which_then_finishes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str, words: str
) -> None:
    """The restarted group continues from the newest checkpoint."""
    began = time.monotonic()
    assert march(tmp_path, fault) == 0
    assert time.monotonic() - began < 60
    assert (tmp_path / "step-00000012").is_dir()
    started = starts(tmp_path)
    assert [rank for rank, _, _ in started].count("0") == 2
    assert len({meeting for _, _, meeting in started}) == 2
    assert not any(alive(int(process)) for _, process, _ in started)
    (told,) = caplog.messages
    assert words in told or fault == "hanging"
    assert "from the last checkpoint in 0.1 s (1 of 3)" in told
    if fault == "hanging":  # each of the two stands still, one because of the other
        assert "took no step for" in told


def test_a_killed_process_ends_its_group_at_once(tmp_path: Path) -> None:
    """Well before anyone could call the others stalled."""
    began = time.monotonic()
    assert march(tmp_path, "killed", max_restarts=0) == 1
    assert time.monotonic() - began < 30
    assert not any(alive(int(process)) for _, process, _ in starts(tmp_path))


def test_starting_again_has_an_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each pause is twice the one before; a new checkpoint counts from the beginning."""
    assert march(tmp_path, "always-crashing", max_restarts=2) == 1
    # The first failure comes with new checkpoints, the others at the same step.
    assert len(starts(tmp_path)) == 2 * 3
    assert [m.partition("checkpoint in ")[2] for m in caplog.messages[:-1]] == [
        "0.1 s (1 of 2)",
        "0.2 s (2 of 2)",
    ]
    assert caplog.messages[-1] == (
        "process 1 ended with exit code 1; starting again 2 times brought no new checkpoint. "
        "The last checkpoint is intact."
    )


def test_what_a_process_found_wrong_is_not_tried_again(tmp_path: Path) -> None:
    assert march(tmp_path, "refusing") == 2
    assert len(starts(tmp_path)) == 2


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGUSR2, 143), (signal.SIGINT, 130)]
)
def test_a_signal_reaches_all_of_them_and_nothing_starts_again(
    tmp_path: Path, number: int, code: int
) -> None:
    def send() -> None:
        deadline = time.monotonic() + 60
        while not (tmp_path / "step-00000003").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    threading.Thread(target=send).start()
    assert march(tmp_path, "hanging") == code
    assert signal.getsignal(number) is before
    assert len(starts(tmp_path)) == 2


def test_no_process_outlives_its_launcher(tmp_path: Path) -> None:
    """Not even one that is killed: who would notice if they stood still?"""
    script = (
        "from pathlib import Path\n"
        "from wavewright.training.launch import launch\n"
        f"launch(['tests.faults.marchers', {str(tmp_path)!r}, 'hanging'], gpus=2,\n"
        f"       logs=Path({str(tmp_path / 'logs')!r}))\n"
    )
    launcher = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "step-00000006").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    launcher.kill()
    launcher.wait()
    processes = [int(process) for _, process, _ in starts(tmp_path)]
    while any(map(running, processes)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(running, processes))


def running(process: int) -> bool:
    """True if the process exists and is no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def learn(folder: Path, fault: str = "", at: int = 0, quiet: float | None = None) -> Path:
    """Train with two processes, of which one fails once; the last checkpoint."""
    folder.mkdir()
    tiny.corpus(folder)
    code = launch(
        ["tests.faults.learners", str(folder), fault, str(at)],
        gpus=2,
        logs=folder / "run" / "logs",
        timeouts=Timeouts(quiet=quiet, pause=0.1),
    )
    assert code == 0
    newest = latest_checkpoint(folder / "run")
    assert newest is not None
    return newest


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, source_environment: dict[str, str],
                root: Path) -> Path:  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        roots = [source_environment["PYTHONPATH"], str(root)]
        patch.setenv("PYTHONPATH", os.pathsep.join(roots))
        return learn(tmp_path_factory.mktemp("two") / "undisturbed")


@pytest.mark.long
@pytest.mark.parametrize(("fault", "quiet"), [("killed", None), ("stopped", 10.0)])
def test_a_training_that_lost_a_process_ends_with_the_same_weights(
    undisturbed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str,
    quiet: float | None,
) -> None:  # fmt: skip
    with caplog.at_level(logging.WARNING):
        newest = learn(tmp_path / fault, fault, 7, quiet)
    assert [m for m in caplog.messages if "starts again from the last checkpoint" in m]
    assert_equal_to(undisturbed, newest)
