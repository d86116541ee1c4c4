"""Every stage of the mini recipe on a disk that gets full, and again when there is room."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.conftest import MakeDisk, said
from wavewright.checkpoints.checkpoint import latest_checkpoint, load_model

SMALL = {
    "prepare.dev": "2",
    "prepare.test": "2",
    "acoustic.max_steps": "2",
    "acoustic.batch_size": "2",
    "acoustic.validation_utterances": "1",
    "acoustic.spoken_utterances": "0",
    "train.max_steps": "2",
    "train.gta_start": "1",
    "train.adversary_start": "1",
    "train.batch_size": "2",
    "train.validation_utterances": "1",
    "train.logged_utterances": "1",
    "evaluate.metrics": "[mel_l1]",
    "evaluate.speed_seconds": "0.2",
    "evaluate.speed_repeats": "1",
    "evaluate.max_seconds": "1",
    "evaluate.dev_utterances": "1",
}
HOMES = {
    "download": "00_download",
    "prepare": "01_prepare",
    "mels": "02_mels",
    "acoustic": "03_acoustic",
    "gta": "04_gta",
    "train": "05_train/hifigan-small",
    "evaluate": "06_evaluate",
}


@dataclass
class Mini:
    """The mini recipe with a few sentences and steps, in a folder of its own."""

    folder: Path
    environment: dict[str, str]

    def run(self, stage: str, stop: str) -> subprocess.CompletedProcess[str]:
        """Run from one stage to another."""
        command = [sys.executable, "-m", "wavewright", "run", "recipe.yaml", "--jobs", "1"]
        command += ["--stage", stage, "--stop-stage", stop]
        for name, value in SMALL.items():
            command += ["--set", f"{name}={value}"]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, root: Path, source_environment: dict[str, str]
) -> Mini:
    """All stages done."""
    pytest.importorskip("espeakng_loader")
    folder = tmp_path_factory.mktemp("whole") / "mini"
    shutil.copytree(root / "recipes" / "mini", folder, ignore=shutil.ignore_patterns("exp"))
    sentences = folder / "sentences.txt"
    sentences.write_text("\n".join(sentences.read_text().splitlines()[:14]) + "\n")
    environment = {**source_environment, "XDG_CACHE_HOME": str(folder.parent / "cache")}
    mini = Mini(folder, environment)
    done = mini.run("download", "evaluate")
    assert done.returncode == 0, done.stderr
    return mini


@pytest.fixture
def before(whole: Mini, tmp_path: Path) -> Mini:
    """A copy to run a stage of."""
    folder = tmp_path / "mini"
    shutil.copytree(whole.folder, folder, symlinks=True)
    return Mini(folder, whole.environment)


@pytest.mark.long
@pytest.mark.parametrize(
    ("stage", "size"),
    [
        ("download", "60k"),
        ("download", "1m"),
        ("prepare", "16k"),
        ("prepare", "1m"),
        ("prepare", "2400k"),
        ("mels", "60k"),
        ("mels", "1060k"),
        ("acoustic", "1m"),
        ("acoustic", "20m"),
        ("acoustic", "50m"),
        ("gta", "60k"),
        ("gta", "1500k"),
        ("train", "60k"),
        ("train", "1m"),
        ("train", "18m"),
        ("evaluate", "60k"),
        ("evaluate", "1200k"),
    ],
)
def test_a_stage_without_room(before: Mini, small_disk: MakeDisk, stage: str, size: str) -> None:
    exp = before.folder / "exp"
    places = list(HOMES)
    for name in places[places.index(stage) :]:
        shutil.rmtree(exp / HOMES[name].partition("/")[0])
    home = exp / HOMES[stage]
    small_disk(home, size)
    failed = before.run(stage, stage)
    words = said(failed)
    assert failed.returncode == 2, words
    assert "No space left on device (the disk is full)" in words
    assert str(home) in next(line for line in words.splitlines() if line.startswith("error: "))
    assert [path.name for path in home.iterdir() if not path.name.startswith(".")] == []
    for partial in home.glob(".partial-*"):
        if list(partial.glob("step-*")):
            newest = latest_checkpoint(partial)
            assert newest is not None
            load_model(newest)
    if (stage, size) in [("acoustic", "50m"), ("train", "18m")]:
        assert list(home.glob(".partial-*/step-00000001")), "the first checkpoint had room"
    small_disk(home, "300m")
    again = before.run(stage, stage)
    assert again.returncode == 0, said(again)
    assert os.readlink(home / "latest") in os.listdir(home)
