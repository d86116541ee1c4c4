"""Hostile shards, sounds and texts run nothing, fill nothing and escape nowhere."""

from __future__ import annotations

import csv
import pickle
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from wavewright.data.manifest import read_manifest
from wavewright.data.shards import Shards, write_shards
from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright_stages.prepare import prepare

MEL = MelSpec.preset("hifigan")
RATE = 22050


class Burglar:
    """Object whose pickle would write a file."""

    def __init__(self, loot: Path) -> None:
        self.loot = loot

    def __reduce__(self) -> Any:
        return Path.write_text, (self.loot, "was here")


def flat_mel(utterance: str) -> Any:
    return np.full((80, 9), -5.0, np.float32)


@pytest.mark.parametrize("kind", ["pickle", "npy of objects"])
def test_a_pickle_in_a_shard_is_bytes_like_any_others(tmp_path: Path, kind: str) -> None:
    loot, folder = tmp_path / "loot", tmp_path / "mels"
    write_shards(folder, ["a"], flat_mel, mel=MEL, sample_rate=RATE)
    shard = folder / "shard-00000.tar"
    with tarfile.open(shard) as tar:
        member = next(m for m in tar.getmembers() if m.name.endswith(".npy"))
    evil = tmp_path / "evil"
    with evil.open("wb") as file:
        if kind == "pickle":
            pickle.dump(Burglar(loot), file)
        else:
            np.save(file, np.array([Burglar(loot)], dtype=object), allow_pickle=True)
    data = bytearray(shard.read_bytes())
    data[member.offset_data : member.offset_data + evil.stat().st_size] = evil.read_bytes()
    shard.write_bytes(data)
    mel = Shards(folder).array("a")  # without its hash, as training reads crops
    assert mel.shape == (80, 9)
    assert mel.dtype == np.float32
    with pytest.raises(WavewrightError, match=r"shard-00000\.tar: is not as the index says"):
        list(Shards(folder).stream())
    assert not loot.exists()
    pickle.loads(evil.read_bytes()) if kind == "pickle" else np.load(evil, allow_pickle=True)
    assert loot.exists(), "which a plain load does run"


def corpus(folder: Path, lines: dict[str, str]) -> Path:
    """LJSpeech layout; every utterance is half a second of noise."""
    (folder / "wavs").mkdir(parents=True)
    rows = {**{f"good-{c}": f"The sentence called {c}." for c in "abcdefghijkl"}, **lines}
    for number, name in enumerate(rows):
        if "/" not in name:
            noise = 0.1 * np.random.default_rng(number).standard_normal(RATE // 2)
            soundfile.write(folder / "wavs" / f"{name}.wav", noise, RATE, subtype="PCM_16")
    text = "".join(f"{name}|{words}|{words}\n" for name, words in rows.items())
    (folder / "metadata.csv").write_text(text)
    return folder


def test_an_hour_of_packed_silence_is_never_unpacked(tmp_path: Path) -> None:
    source = corpus(tmp_path / "corpus", {"bomb": "An hour of nothing."})
    (source / "wavs" / "bomb.wav").unlink()
    bomb = source / "wavs" / "bomb.flac"
    with soundfile.SoundFile(bomb, "w", RATE, 1, "PCM_16") as file:
        for _ in range(60):
            file.write(np.zeros(60 * RATE, np.int16))
    assert bomb.stat().st_size < 10**6
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    tracemalloc.start()
    prepare(source, prepared, sample_rate=RATE, jobs=1, max_quarantine=0.5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    rows = read_manifest(prepared / "manifest.parquet").set_index("id")
    assert "too long: 3600.0 s" in str(rows.loc["bomb", "reason"])
    assert peak < 5e7, "decoded it would be 158 MB as int16"


HOSTILE = {
    "<script>alert(1)</script>": "In the id.",
    "../../escape": "In the id too.",
    "=cmd|' /C calc'!A0": "A formula.",
    "script": "<script>alert(2)</script> \"quoted\" & 'single'",
    "formula": "=1+1",
    "shell": "$(touch owned); `touch owned` && touch owned",
    "rtl": "\u202egnp.exe",
}


def test_texts_and_ids_are_escaped_in_pages_and_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = {name.replace("|", "_"): words for name, words in HOSTILE.items()}
    good = {name: words for name, words in lines.items() if name.isalpha()}
    source = corpus(tmp_path / "corpus", good)
    with (source / "metadata.csv").open("a") as file:
        file.writelines(f"{n}|{w}|{w}\n" for n, w in lines.items() if n not in good)
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    monkeypatch.chdir(tmp_path)
    prepare(source, prepared, sample_rate=RATE, jobs=1, max_quarantine=0.5)
    rows = read_manifest(prepared / "manifest.parquet").set_index("id")
    assert rows.index.str.fullmatch(r"[A-Za-z0-9_.-]{1,128}").all()
    assert rows.loc["script", "text"] == HOSTILE["script"], "kept as it is, where it is data"
    page = (prepared / "report.html").read_text()
    assert "alert(" not in page.replace("&lt;script&gt;alert(", "")
    assert "\u202e" not in page
    with (prepared / "quarantine.csv").open(newline="") as table:
        cells = [cell for row in csv.reader(table) for cell in row]
    assert len(cells) >= 2 * 4
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t"))]
    assert not [*tmp_path.rglob("owned")]
    assert not [*tmp_path.parent.rglob("escape*")]
