"""Several runners at once, and locks that dead ones left behind."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.conftest import call, said
from tests.recipes.conftest import Toy
from tests.recipes.test_runner import ALL


def start(toy: Toy, *arguments: str, folder: Path | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        toy.command("run", "recipe.yaml", *arguments),
        cwd=folder or toy.folder,
        env=toy.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [6, pytest.param(20, marks=pytest.mark.long)])
def test_of_many_runs_at_once_one_does_the_work(toy: Toy, number: int) -> None:
    """Each of the others is refused, or comes late and finds the result."""
    assert toy.run("--stop-stage", "1").returncode == 0
    toy.ran()
    pause = f"learn.pause={0.4 + 0.1 * number}"  # three of them, in which the last has started
    alone = ("--vocoder", "hifigan:v3", "--stop-stage", "learn", "--set", pause)
    runs = [start(toy, *alone) for _ in range(number)]
    words = [run.communicate(timeout=120)[0] for run in runs]
    codes = [run.returncode for run in runs]
    assert toy.ran() == ["learn hifigan:v3"]
    assert set(codes) == {0, 75}, words
    assert not any("Traceback" in each for each in words)
    refused = words[codes.index(75)]
    assert "another run is at work on 2 learn hifigan:v3 (process " in refused
    assert toy.result("02_learn/hifigan-v3", "steps.txt") == "..."


@pytest.mark.slow
def test_runs_that_share_all_stages_never_do_one_twice(toy: Toy) -> None:
    """They meet at other stages, so none may get to the end; together they have made each once."""
    runs = [start(toy, "--set", "learn.pause=0.1") for _ in range(4)]
    words = [run.communicate(timeout=120)[0] for run in runs]
    assert {run.returncode for run in runs} <= {0, 75}, words
    assert not any("Traceback" in each for each in words)
    assert toy.run().returncode == 0
    assert sorted(toy.ran()) == sorted(ALL)


def test_runs_of_two_recipes_do_not_wait_for_each_other(toy: Toy) -> None:
    other = toy.folder.with_name("other")
    other.mkdir()
    (other / "recipe.yaml").write_text((toy.folder / "recipe.yaml").read_text())
    slow = ("--set", "learn.pause=0.3")
    runs = [start(toy, *slow), start(toy, *slow, folder=other)]
    words = [run.communicate(timeout=60)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], words
    assert sorted(toy.ran()) == sorted(2 * ALL)
    verdicts = {(f / "exp/03_judge/latest/verdict.txt").read_text() for f in (toy.folder, other)}
    assert verdicts == {"hifigan:v2 3\nhifigan:v3 3"}


@pytest.mark.parametrize("left", [b"process 1\n", b"process 999999999\n", b"\xff\0rubbish", b""])
def test_a_lock_file_that_nobody_holds_holds_nobody_up(toy: Toy, left: bytes) -> None:
    """After a restart its number may be another program's: number 1 always is."""
    for home in ("00_source", "01_shout"):
        (toy.folder / "exp" / home).mkdir(parents=True)
        (toy.folder / "exp" / home / ".lock").write_bytes(left)
    done = toy.run("--stop-stage", "1")
    assert done.returncode == 0, said(done)
    assert toy.ran() == ["source", "shout"]


def test_a_lock_that_is_held_is_told_with_its_holder(toy: Toy) -> None:
    home = toy.folder / "exp" / "00_source"
    home.mkdir(parents=True)
    with (home / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(f"process {os.getpid()}\n")
        file.flush()
        refused = toy.run()
    assert refused.returncode == 75
    assert f"(process {os.getpid()})" in said(refused)
    assert toy.ran() == []


def test_a_disk_without_locks_is_said(toy: Toy) -> None:
    """Without locks, as on some network file systems, nothing is started."""
    shim = toy.folder.parent / "plugin" / "no_locks.py"
    shim.write_text(
        "import errno, fcntl, os\n"
        "def flock(*_):\n    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))\n"
        "fcntl.flock = flock\n"
        "from wavewright.cli.app import main\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, str(shim), "run", "recipe.yaml"],
        cwd=toy.folder,
        env=toy.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "00_source: cannot be locked (No locks available)" in said(done)
    assert toy.ran() == []


def test_clean_waits_for_nobody_and_removes_nothing_of_a_run(toy: Toy) -> None:
    assert toy.run("--stop-stage", "0").returncode == 0
    home = toy.folder / "exp" / "00_source"
    left = home / ".replaced-0123"
    left.mkdir()
    with (home / ".lock").open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert call(toy, "clean", "recipe.yaml").returncode == 75
    assert left.exists()


def test_second_runner_is_refused_even_by_an_orphaned_child(toy: Toy) -> None:
    toy.run("--stop-stage", "1")
    same = ("--vocoder", "hifigan:v3", "--set", "learn.max_steps=15")
    slow = ("--set", "learn.pause=0.3", *same)
    runner = subprocess.Popen(
        toy.command("run", "recipe.yaml", *slow),
        cwd=toy.folder,
        env=toy.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    started = toy.folder / "exp" / "02_learn" / "hifigan-v3"
    deadline = time.monotonic() + 20
    while not list(started.glob(".partial-*/steps.txt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    second = toy.run(*same)
    assert second.returncode == 75
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    orphan = toy.run(*same)
    assert orphan.returncode == 75, "the child still writes, so nobody else may"
    deadline = time.monotonic() + 20
    (steps,) = started.glob(".partial-*/steps.txt")
    while steps.read_text() != "." * 15 and time.monotonic() < deadline:
        time.sleep(0.05)
    while toy.run(*same).returncode == 75:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert toy.result("02_learn/hifigan-v3", "steps.txt") == "." * 15
