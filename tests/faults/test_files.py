"""Files that are none, that change under our hands, and disks without room."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from wavewright.data.corpus import screening
from wavewright.data.manifest import read_manifest
from wavewright.data.shards import Shards
from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright_stages.download import download
from wavewright_stages.mels import mels
from wavewright_stages.prepare import prepare

RATE = 22050


def sound(path: Path, hertz: float = 300.0) -> None:
    time = np.arange(RATE) / RATE
    soundfile.write(path, 0.1 * np.sin(2 * np.pi * hertz * time) * (time % 0.5 > 0.1), RATE)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Twelve good utterances and one called `case`, whose audio the tests make."""
    folder = tmp_path / "corpus"
    (folder / "wavs").mkdir(parents=True)
    names = [f"good-{letter}" for letter in "abcdefghijkl"]
    for place, name in enumerate(names):
        sound(folder / "wavs" / f"{name}.wav", 200 + 20 * place)
    lines = [f"{name}|The letter {name[-1]}.|The letter {name[-1]}.\n" for name in names]
    (folder / "metadata.csv").write_text("".join(lines) + "case|Something else.|Something else.\n")
    return folder


def prepared(corpus: Path, **options: Any) -> Path:
    published, out = corpus.parent / "published", corpus.parent / "prepared"
    for folder in (published, out):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    download(published, source=corpus)
    prepare(published, out, sample_rate=RATE, jobs=1, max_quarantine=0.5, **options)
    return out


def reason(folder: Path) -> str:
    table = read_manifest(folder / "manifest.parquet")
    return str(table[table["id"] == "case"]["reason"].iloc[0])


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["folder", "dangling link", "link loop", "fifo"])
def test_what_is_no_file_is_left_out(corpus: Path, kind: str) -> None:
    path = corpus / "wavs" / "case.wav"
    if kind == "folder":
        path.mkdir()
    elif kind == "dangling link":
        path.symlink_to("nowhere.wav")
    elif kind == "link loop":
        path.symlink_to("other.wav")
        (corpus / "wavs" / "other.wav").symlink_to("case.wav")
    else:
        os.mkfifo(path)
    out = prepared(corpus)
    assert reason(out).startswith("missing audio")
    assert len(Shards(out / "audio")) == 12


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_leave_to_read(corpus: Path) -> None:
    sound(corpus / "wavs" / "case.wav")
    (corpus / "wavs" / "case.wav").chmod(0)
    with pytest.raises(WavewrightError, match=r"case\.wav: Permission denied"):
        prepared(corpus)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_leave_to_write(corpus: Path) -> None:
    sound(corpus / "wavs" / "case.wav")
    published = corpus.parent / "published"
    published.mkdir()
    published.chmod(0o500)
    with pytest.raises((WavewrightError, OSError)):
        download(published, source=corpus)


def test_a_file_that_vanishes_after_it_was_listed(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is gone when its samples are to be written: an error names it, nothing is published."""
    sound(corpus / "wavs" / "case.wav")
    screen_all = screening.screen_all

    def then_vanish(entries: Any, *rest: Any) -> Any:
        found = screen_all(entries, *rest)
        next(entry.audio for entry in entries if entry.id == "case").unlink()
        return found

    monkeypatch.setattr(screening, "screen_all", then_vanish)
    with pytest.raises(WavewrightError, match=r"case\.wav: no such audio file"):
        prepared(corpus)
    out = corpus.parent / "prepared"
    assert not (out / "manifest.parquet").exists()
    assert not (out / "audio" / "index.parquet").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=False)


def test_a_full_disk(corpus: Path, small_disk: Path) -> None:
    """The stage says so, and what stands under its final name is whole."""
    sound(corpus / "wavs" / "case.wav")
    out = prepared(corpus)
    with pytest.raises((WavewrightError, OSError), match=r"No space left"):
        mels(out, small_disk, mel=MelSpec.preset("hifigan"), jobs=1)
    assert not (small_disk / "index.parquet").exists()
    assert not list(small_disk.glob("shard-*.tar"))


def test_two_runs_of_one_recipe(corpus: Path, source_environment: dict[str, str]) -> None:
    """The second is told that the first is at work, by its exit code too."""
    sound(corpus / "wavs" / "case.wav")
    recipe = corpus.parent / "recipe.yaml"
    recipe.write_text(
        "recipe: two\nabout: Two at once.\nwork_dir: exp\nseed: 0\nmel: {preset: hifigan}\n"
        "stages: [download, prepare]\ndownload: {source: corpus}\nprepare: {jobs: 1}\n"
    )
    command = [sys.executable, "-m", "wavewright", "run", str(recipe)]
    both = [
        subprocess.Popen(
            command,
            env=source_environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    said = [one.communicate(timeout=120)[0] for one in both]
    codes = sorted(one.returncode for one in both)
    assert codes in ([0, 75], [0, 0]), said
    if codes == [0, 75]:
        assert any("another" in words for words in said)
    again = subprocess.run(command, env=source_environment, capture_output=True, check=False)
    assert again.returncode == 0
