"""Stages that train in several processes, and their faults, under the runner."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest

from tests.recipes.conftest import Toy
from wavewright.runner.worker import _needs_group

RECIPE = """\
recipe: drill
about: Marching in step.
work_dir: exp
seed: 1
mel: {preset: hifigan}
stages: [drill]
"""


@pytest.fixture
def troop(toy: Toy) -> Toy:
    """A recipe whose only stage may run in a group of processes."""
    (toy.folder / "recipe.yaml").write_text(RECIPE)
    return toy


def test_a_group_that_lost_a_process_starts_again_and_its_result_is_published(troop: Toy) -> None:
    done = troop.run("--gpus", "2", "--set", "drill.fault=shot")
    assert done.returncode == 0, done.stderr
    assert "process 1 was ended by SIGKILL" in done.stderr
    assert sorted(troop.ran()) == 2 * ["drill 0 of 2"] + 2 * ["drill 1 of 2"]
    latest = troop.folder / "exp" / "00_drill" / "latest"
    assert (latest / "step-3").exists()
    assert "starts again from the last checkpoint" in (latest / "logs" / "stage.log").read_text()


def test_one_process_is_watched_only_where_asked(troop: Toy) -> None:
    alone = troop.run("--set", "drill.fault=shot")
    assert alone.returncode == 1
    assert troop.ran() == ["drill 0 of 1"]
    watched = troop.run("--force", "--set", "drill.fault=shot", "--set", "drill.max_restarts=1")
    assert watched.returncode == 0, watched.stderr
    assert troop.ran() == 2 * ["drill 0 of 1"]


def test_what_a_process_found_wrong_is_said_and_not_tried_again(troop: Toy) -> None:
    done = troop.run("--gpus", "2", "--set", "drill.fault=tired")
    assert done.returncode == 2
    assert "field 'pace' is 9; at most 3 can be marched" in done.stderr
    assert sorted(troop.ran()) == ["drill 0 of 2", "drill 1 of 2"]


def test_a_signal_to_the_runner_stops_a_group(troop: Toy) -> None:
    slow = ["--gpus", "2", "--set", "drill.pause=0.2", "--set", "drill.max_steps=1000"]
    runner = subprocess.Popen(
        troop.command("run", "recipe.yaml", *slow), cwd=troop.folder, env=troop.environment
    )
    deadline = time.monotonic() + 60
    while not list(troop.folder.glob("exp/00_drill/.partial-*/step-2")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    runner.send_signal(signal.SIGTERM)
    assert runner.wait(timeout=60) == 143
    assert sorted(troop.ran()) == ["drill 0 of 2", "drill 1 of 2"]


def test_only_what_trains_together_is_started_as_a_group() -> None:
    """The stage gta has a list of shards for each of its processes, and starts them itself."""
    assert not _needs_group({"gpus": 4, "jobs": 2})
    train = {"gpus": 1, "nodes": 1, "rendezvous": "", "max_restarts": None}
    assert not _needs_group(train)
    assert _needs_group({**train, "gpus": 2})
    assert _needs_group({**train, "nodes": 2})
    assert _needs_group({**train, "max_restarts": 1})
