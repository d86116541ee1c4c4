"""Stages of shards under the runner: any engine, any number of jobs, kills and damage."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
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


def places_of(toy: Toy) -> set[tuple[str, tuple[int, int]]]:
    return set(places(folder_of(toy)).items())


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
    verify = tones.call("verify", "recipe.yaml")
    assert verify.returncode == 1
    assert "audio/shard-00002.tar was changed; the next run keeps what is whole" in verify.stdout
    again = tones.run()
    assert again.returncode == 0, again.stderr
    assert tones.ran() == ALL[6:9]
    assert contents(tones) == whole
    after = places(folder_of(tones))
    assert [name for name in before if before[name] != after[name]] == ["shard-00002.tar"]


def test_with_other_damage_than_shards_the_stage_runs_as_a_whole(tones: Toy) -> None:
    """Files that a stage writes along with a shard are only rebuilt together with it."""
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
