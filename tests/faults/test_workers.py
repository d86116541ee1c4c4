"""Worker processes that are killed, once or by every attempt at one utterance."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.faults.conftest import said
from tests.recipes.conftest import Toy
from tests.recipes.test_scale import contents, places, start_and_wait, tones
from wavewright.manifest import read_manifest
from wavewright.shards import Shards

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
