"""The date is set back and forth: what is skipped, newest or alive stays the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from tests.faults.conftest import call, said
from tests.faults.test_groups import starts
from tests.recipes.conftest import Toy
from tests.recipes.test_runner import ALL

DAY, YEARS = 86400, 10 * 365 * 86400
SetClock = Callable[[int], None]


@pytest.fixture(scope="session")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that shifts the calendar clock of whatever it is loaded into."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("the clock is changed by a preloaded library, which needs a C compiler")
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    source = Path(__file__).with_name("clock.c")
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return library


@pytest.fixture
def wrong(preloaded: Path, tmp_path: Path) -> tuple[dict[str, str], SetClock]:
    """An environment with that clock, and a way to set it, even while something runs."""
    file = tmp_path / "seconds.txt"

    def set_clock(seconds: int) -> None:
        scratch = file.with_suffix(".new")
        scratch.write_text(str(seconds))
        os.replace(scratch, file)

    set_clock(0)
    return {"LD_PRELOAD": str(preloaded), "WRONG_CLOCK": str(file)}, set_clock


def test_the_clock_of_these_tests_is_really_wrong(
    wrong: tuple[dict[str, str], SetClock],
) -> None:
    environment, set_clock = wrong
    set_clock(YEARS)
    code = "import datetime, time; print(time.time(), datetime.datetime.now().year)"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, year = told.stdout.split()
    assert abs(float(seconds) - time.time() - YEARS) < 60
    assert int(year) >= time.localtime().tm_year + 9


@pytest.mark.parametrize("shift", [-DAY, pytest.param(YEARS, marks=pytest.mark.long)])
def test_the_date_decides_nothing(
    toy: Toy, wrong: tuple[dict[str, str], SetClock], shift: int
) -> None:
    environment, set_clock = wrong
    toy.environment |= environment
    assert toy.run().returncode == 0
    assert toy.ran() == ALL
    set_clock(shift)
    assert toy.run().returncode == 0
    assert toy.ran() == []
    more = toy.run("--set", "learn.max_steps=5")
    assert "continues from 3 to 5 steps" in said(more)
    assert toy.result("03_judge", "verdict.txt") == "hifigan:v2 5\nhifigan:v3 5"
    finished = datetime.fromisoformat(json.loads(toy.result("03_judge", "stage.json"))["finished"])
    assert abs(finished.timestamp() - time.time() - shift) < 3600, "the run had the wrong date"
    toy.ran()
    set_clock(0)
    assert toy.run("--set", "learn.max_steps=5").returncode == 0
    assert toy.ran() == []
    assert toy.result("03_judge", "verdict.txt") == "hifigan:v2 5\nhifigan:v3 5"


@pytest.mark.parametrize("when", [0, time.time() + YEARS], ids=["1970", "in ten years"])
def test_times_of_files_decide_nothing(toy: Toy, tmp_path: Path, when: float) -> None:
    """Those of inputs, of results and of their folders, in 1970 or in ten years."""
    extra = tmp_path / "extra.txt"
    extra.write_text(" there")
    options = ("--set", f"source.source={extra}")
    assert toy.run(*options).returncode == 0
    assert toy.ran() == ALL
    for path in [extra, *(toy.folder / "exp").rglob("*")]:
        os.utime(path, (when, when), follow_symlinks=False)
    assert toy.run(*options).returncode == 0
    assert toy.ran() == []


def test_the_result_made_last_counts_as_newest_whatever_the_clock_said(
    toy: Toy, wrong: tuple[dict[str, str], SetClock]
) -> None:
    environment, set_clock = wrong
    toy.environment |= environment
    only = ("--stop-stage", "0")
    for shift, words in [(YEARS, "first"), (0, "second"), (-DAY, "third")]:
        set_clock(shift)
        assert toy.run(*only, "--set", f"source.words={words}").returncode == 0
    home = toy.folder / "exp" / "00_source"
    assert len(list(home.glob("[0-9a-f]*"))) == 3
    same = ("--set", "source.words=third")
    assert "older result" in said(call(toy, "clean", "recipe.yaml", "--keep", "2", *same))
    left = {path.joinpath("words.txt").read_text() for path in home.glob("[0-9a-f]*")}
    assert left == {"second", "third"}


def test_a_group_is_not_taken_for_dead_when_the_date_jumps(
    wrong: tuple[dict[str, str], SetClock],
    tmp_path: Path,
    source_environment: dict[str, str],
    root: Path,
) -> None:
    """Signs of life are counted and timed by clocks that nobody sets."""
    environment, set_clock = wrong
    run = tmp_path / "run"
    run.mkdir()
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from tests.faults.test_groups import march\n"
        f"sys.exit(march(Path({str(run)!r}), 'none'))"
    )
    roots = os.pathsep.join([source_environment["PYTHONPATH"], str(root)])
    group = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**source_environment, **environment, "PYTHONPATH": roots},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    for shift, step in [(YEARS, 1), (-DAY, 3), (0, 6)]:
        while not list(run.glob("logs/heartbeat-0.json")) and group.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        while group.poll() is None and _step(run) < step:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        set_clock(shift)
    _, words = group.communicate(timeout=60)
    assert group.returncode == 0, words
    assert len(starts(run)) == 2, "nothing was started again"


def _step(run: Path) -> int:
    from wavewright.training.heartbeat import read_pulse

    pulse = read_pulse(run / "logs" / "heartbeat-0.json")
    return pulse.step if pulse else 0
