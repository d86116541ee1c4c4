"""Worker processes that are killed, once or by every attempt at one utterance."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.faults.conftest import said
from tests.recipes.conftest import Toy
from tests.recipes.test_scale import (
    ALL,
    contents,
    folder_of,
    places,
    places_of,
    start_and_wait,
    tones,
)
from wavewright.data.manifest import read_manifest
from wavewright.data.shards import Shards

__all__ = ["tones"]
RATE = 22050
POISON = """\
import importlib.machinery, importlib.util, os, signal, sys
here = os.path.dirname(os.path.abspath(__file__))
elsewhere = [path for path in sys.path if os.path.abspath(path or ".") != here]
spec = importlib.machinery.PathFinder.find_spec("soundfile", elsewhere)
module = importlib.util.module_from_spec(spec)
sys.modules["soundfile"] = module
spec.loader.exec_module(module)
opened = module.SoundFile.__init__

def open_or_die(self, file, *args, **kwargs):
    if "poison" in str(file):
        with open(os.environ["TOY_COUNTS"], "a") as counts:
            counts.write("poison\\n")
        os.kill(os.getpid(), signal.SIGKILL)
    opened(self, file, *args, **kwargs)

module.SoundFile.__init__ = open_or_die
"""


def children(process: int) -> list[int]:
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=False
    )
    return [int(word) for word in found.stdout.split()]


def is_loky(process: int) -> bool:
    command = Path(f"/proc/{process}/cmdline").read_bytes()
    return b"loky" in command and b"resource_tracker" not in command


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


def started(scheduler: subprocess.Popen[str]) -> str:
    """Its address."""
    assert scheduler.stdout is not None
    return scheduler.stdout.readline().strip()


def dask_worker(tones: Toy, address: str) -> subprocess.Popen[bytes]:
    options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "20")
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_worker", address, *options],
        env=tones.environment,
        cwd=tones.folder,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds workers by /proc")
def test_a_killed_worker_costs_only_what_it_was_at(tones: Toy) -> None:
    """The stage goes on with a new one, and what comes out is the same."""
    runner, partial = start_and_wait(tones)
    finished = places(partial)
    (stage,) = children(runner.pid)
    worker = next(child for child in children(stage) if is_loky(child))
    os.kill(worker, signal.SIGKILL)
    words, _ = runner.communicate(timeout=60)
    assert runner.returncode == 0, words
    assert "a worker died; trying its part again" in words
    found, times = contents(tones), places(partial.parents[1] / "latest" / "audio")
    assert set(finished.items()) <= set(times.items()), "finished shards were not made again"
    assert tones.run("--force", "--jobs", "1").returncode == 0
    assert contents(tones) == found


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


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds workers by /proc")
def test_a_killed_dask_worker_costs_only_what_it_was_at(
    tones: Toy, scheduler: subprocess.Popen[str]
) -> None:
    """Another of the cluster does its part."""
    address = started(scheduler)
    workers = [dask_worker(tones, address) for _ in range(2)]
    try:
        runner, partial = start_and_wait(tones, "--backend", "dask", "--scheduler", address)
        finished = places(partial)
        workers[0].kill()
        words, _ = runner.communicate(timeout=120)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert runner.returncode == 0, words
    found, times = contents(tones), places(partial.parents[1] / "latest" / "audio")
    assert set(finished.items()) <= set(times.items()), "finished shards were not made again"
    assert tones.run("--force", "--jobs", "1").returncode == 0
    assert contents(tones) == found


def test_the_death_of_the_dask_scheduler_ends_the_stage_and_keeps_shards(
    tones: Toy, scheduler: subprocess.Popen[str]
) -> None:
    address = started(scheduler)
    worker = dask_worker(tones, address)
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


@pytest.mark.slow
def test_an_utterance_that_kills_every_worker_is_put_aside(toy: Toy) -> None:
    """Its file is tried three times by itself; all the others are prepared."""
    wavs = toy.folder / "corpus" / "wavs"
    wavs.mkdir(parents=True)
    names = [f"good-{letter}" for letter in "abcdefghijkl"] + ["poison"]
    for place, name in enumerate(names):
        moment = np.arange(RATE) / RATE
        wav = 0.1 * np.sin(2 * np.pi * (200 + 20 * place) * moment) * (moment % 0.5 > 0.1)
        soundfile.write(wavs / f"{name}.wav", wav, RATE)
    lines = [f"{name}|The word {name}.|The word {name}.\n" for name in names]
    (wavs.parent / "metadata.csv").write_text("".join(lines))
    (toy.folder / "recipe.yaml").write_text(
        "recipe: poison\nabout: One kills.\nwork_dir: exp\nseed: 0\nmel: {preset: hifigan}\n"
        "stages: [download, prepare]\ndownload: {source: corpus}\n"
        "prepare: {max_quarantine: 0.5, dev: 2, test: 2}\n"
    )
    (toy.folder.parent / "plugin" / "soundfile.py").write_text(POISON)
    began = time.monotonic()
    done = subprocess.run(
        toy.command("run", "recipe.yaml", "--jobs", "2"),
        cwd=toy.folder,
        env=toy.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, (time.monotonic() - began, done.stdout + done.stderr)
    assert len(Shards(toy.folder / "exp" / "01_prepare" / "latest" / "audio")) == 12
    table = read_manifest(toy.folder / "exp" / "01_prepare" / "latest" / "manifest.parquet")
    reason = table[table["id"] == "poison"]["reason"].iloc[0]
    assert reason == "poison.wav: reading it kills the process (tried 3 times)"
    assert "good-a" not in said(done)
    assert toy.ran().count("poison") <= 7
