"""Stages of shards under the runner: any engine, any number of jobs, kills and damage."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recipes.conftest import Toy

RECIPE = """\
recipe: tones
about: Twelve tones in four shards.
work_dir: exp
seed: 1
mel: {preset: hifigan}
stages: [tones]
tones:
  level: level.txt
"""
ALL = [f"tone{number:02d}" for number in range(12)]


@pytest.fixture
def tones(toy: Toy) -> Toy:
    """A recipe whose only stage writes shards."""
    (toy.folder / "recipe.yaml").write_text(RECIPE)
    (toy.folder / "level.txt").write_text("0.5")
    return toy


@pytest.fixture
def scheduler(toy: Toy) -> Iterator[subprocess.Popen[str]]:
    """A dask scheduler in a process of its own, which prints its address."""
    pytest.importorskip("distributed")
    code = (
        "import asyncio, distributed\n"
        "async def main():\n"
        "    s = distributed.Scheduler(host='127.0.0.1', port=0, dashboard_address='127.0.0.1:0')\n"
        "    async with s:\n"
        "        print(s.address, flush=True)\n"
        "        await s.finished()\n"
        "asyncio.run(main())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=toy.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield process
    process.kill()
    process.wait()


def folder_of(toy: Toy) -> Path:
    return toy.folder / "exp" / "00_tones" / "latest" / "audio"


def contents(toy: Toy) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder_of(toy).iterdir())
    }


def places(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every shard: what is written again has others."""
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.glob("shard-*.tar")}


def test_results_are_the_same_with_any_engine_and_number_of_jobs(tones: Toy) -> None:
    pytest.importorskip("distributed")
    found = []
    for options in (
        ("--jobs", "1"),
        ("--jobs", "2"),
        ("--jobs", "4"),
        ("--jobs", "2", "--backend", "dask"),
    ):
        done = tones.run("--force", *options)
        assert done.returncode == 0, done.stderr
        found.append(contents(tones))
        assert sorted(tones.ran()) == ALL
    assert len(found[0]) == 5
    assert found[1:] == found[:1] * 3


def test_an_engine_that_cannot_be_is_refused_before_any_work(tones: Toy) -> None:
    wrong = tones.run("--backend", "ray")
    assert wrong.returncode == 2
    assert "--backend ray: allowed are loky, dask" in wrong.stderr
    alone = tones.run("--scheduler", "tcp://127.0.0.1:9")
    assert alone.returncode == 2
    assert "belongs to --backend dask" in alone.stderr
    assert tones.ran() == []


def start_and_wait(tones: Toy, *options: str) -> tuple[subprocess.Popen[str], Path]:
    """Start a slow run and wait until its first shard is there; its partial folder too."""
    runner = subprocess.Popen(
        tones.command("run", "recipe.yaml", "--jobs", "2", "--set", "tones.pause=0.4", *options),
        cwd=tones.folder,
        env=tones.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    home = tones.folder / "exp" / "00_tones"
    deadline = time.monotonic() + 40
    while not list(home.glob(".partial-*/audio/shard-*.tar.json")):
        assert runner.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return runner, next(home.glob(".partial-*")) / "audio"


def test_after_a_kill_of_everything_only_missing_shards_are_made(tones: Toy) -> None:
    runner, partial = start_and_wait(tones)
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(runner.pid)], capture_output=True, text=True, check=True
    )
    runner.kill()
    for child in children.stdout.split():
        os.killpg(int(child), signal.SIGKILL)  # the worker leads a group of its own
    runner.wait()
    before = places(partial)
    assert 1 <= len(before) < 4
    tones.ran()
    again = tones.run("--jobs", "2")
    assert again.returncode == 0, again.stderr
    kept = {name for name, place in places(folder_of(tones)).items() if before.get(name) == place}
    assert kept == set(before)
    made = {f"shard-{ALL.index(tone) // 3:05d}.tar" for tone in tones.ran()}
    assert made.isdisjoint(kept)
    assert made | kept == {f"shard-{number:05d}.tar" for number in range(4)}
    assert kept


def test_a_killed_stage_ends_its_run_although_its_workers_live_on(tones: Toy) -> None:
    """They hold its output open, and wait five minutes for work."""
    runner, _ = start_and_wait(tones)
    stage = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(runner.pid)], capture_output=True, text=True, check=True
    )
    os.kill(int(stage.stdout), signal.SIGKILL)
    output, _ = runner.communicate(timeout=30)
    assert runner.returncode == 1
    assert "stage 0 tones failed" in output
    assert tones.run("--jobs", "1").returncode == 0


def places_of(toy: Toy) -> set[tuple[str, tuple[int, int]]]:
    return set(places(folder_of(toy)).items())


def test_the_death_of_the_dask_scheduler_ends_the_stage_and_keeps_shards(
    tones: Toy, scheduler: subprocess.Popen[str]
) -> None:
    assert scheduler.stdout is not None
    address = scheduler.stdout.readline().strip()
    options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "20")
    worker = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_worker", address, *options],
        env=tones.environment,
        cwd=tones.folder,
        stderr=subprocess.DEVNULL,
    )
    try:
        runner, partial = start_and_wait(tones, "--backend", "dask", "--scheduler", address)
        scheduler.kill()
        output, _ = runner.communicate(timeout=60)
    finally:
        worker.kill()
        worker.wait()
    assert runner.returncode not in (0, None)
    assert re.search(r"error: the dask scheduler .* is gone; what is finished is kept", output)
    assert "Traceback" not in output
    finished = places(partial)
    assert 1 <= len(finished) < 4
    assert tones.run("--jobs", "1").returncode == 0
    assert set(finished.items()) <= places_of(tones)


def test_a_damaged_shard_is_made_again_and_the_others_kept(tones: Toy) -> None:
    assert tones.run().returncode == 0
    before, whole = places(folder_of(tones)), contents(tones)
    tones.ran()
    damaged = folder_of(tones) / "shard-00002.tar"
    times = damaged.stat()
    with damaged.open("r+b") as file:
        file.seek(700)
        file.write(b"\xff")
    os.utime(damaged, ns=(times.st_atime_ns, times.st_mtime_ns))
    verify = subprocess.run(
        tones.command("verify", "recipe.yaml"),
        cwd=tones.folder,
        env=tones.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert verify.returncode == 1
    assert "audio/shard-00002.tar was changed; the next run keeps what is whole" in verify.stdout
    again = tones.run()
    assert again.returncode == 0, again.stderr
    assert tones.ran() == ALL[6:9]
    assert contents(tones) == whole
    after = places(folder_of(tones))
    assert [name for name in before if before[name] != after[name]] == ["shard-00002.tar"]


def test_with_other_damage_than_shards_the_stage_runs_as_a_whole(tones: Toy) -> None:
    """What a stage writes on the way to a shard is only made together with it."""
    tones.run()
    whole = contents(tones)
    tones.ran()
    (folder_of(tones) / "index.parquet").write_bytes(b"PAR1")
    assert tones.run().returncode == 0
    assert tones.ran() == ALL
    assert contents(tones) == whole


def test_a_shard_that_comes_out_otherwise_is_refused(tones: Toy) -> None:
    tones.run()
    tones.environment["TOY_GAIN"] = "0.6"  # behind the runner's back
    (folder_of(tones) / "shard-00001.tar").unlink()
    refused = tones.run()
    assert refused.returncode == 2
    assert "shard-00001.tar: made again it has sha256" in refused.stdout
    assert "its source has changed" in refused.stdout
    assert tones.run("--force").returncode == 0
