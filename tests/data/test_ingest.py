"""Bringing corpora into one layout: what is recognised, what is left alone, what is refused."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from wavewright.data.corpus import ingest as module
from wavewright.data.corpus.ingest import publish_corpus, synthesize_corpus
from wavewright.data.corpus.utterances import read_corpus
from wavewright.errors import WavewrightError
from wavewright.text.textgrid import read_alignment


def make(folder: Path, metadata: str, *ids: str) -> Path:
    (folder / "wavs").mkdir(parents=True)
    (folder / "metadata.csv").write_text(metadata)
    for name in ids:
        (folder / f"wavs/{name}.wav").write_bytes(name.encode())
    return folder


def listing(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_publishing_keeps_what_belongs_to_the_corpus(tmp_path: Path) -> None:
    source = make(tmp_path / "in" / "LJSpeech-1.1", "a|A|A\n", "a")
    for name in ("README", "splits/dev.txt", "alignments/a.TextGrid", "wavs/notes.md", "x.sh"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(name)
    corpus = tmp_path / "out"
    corpus.mkdir()
    for _ in range(2):  # the second time over what is there
        publish_corpus(tmp_path / "in", corpus)
        assert set(listing(corpus)) == {
            "metadata.csv",
            "README",
            "splits/dev.txt",
            "alignments/a.TextGrid",
            "wavs/a.wav",
        }
    (source / "wavs/a.wav").write_bytes(b"changed")
    assert (corpus / "wavs/a.wav").read_bytes() == b"a", "a copy"
    publish_corpus(source, corpus)
    assert (corpus / "wavs/a.wav").read_bytes() == b"changed"


def test_large_corpora_are_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LARGEST_COPY", 3)
    source = make(tmp_path / "in", "a|A|A\nb|B|B\n", "aaa", "bbb")
    (tmp_path / "out").mkdir()
    publish_corpus(source, tmp_path / "out")
    assert (tmp_path / "out/wavs/aaa.wav").samefile(source / "wavs/aaa.wav")
    assert not (tmp_path / "out/metadata.csv").samefile(source / "metadata.csv")

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    publish_corpus(source, tmp_path / "out")
    assert not (tmp_path / "out/wavs/aaa.wav").samefile(source / "wavs/aaa.wav")
    assert (tmp_path / "out/wavs/aaa.wav").read_bytes() == b"aaa"


def test_pairs_of_audio_and_text(tmp_path: Path) -> None:
    data = tmp_path / "in" / "dataset-c51cb97" / "data"
    data.mkdir(parents=True)
    for name, text in (("a_1", "Hello\nthere. \n"), ("a_2", "No sound."), ("a_3", "")):
        (data / f"{name}.txt").write_text(text)
    for name in ("a_1", "a_3", "a_4"):
        (data / f"{name}.wav").write_bytes(name.encode())
    (data.parent / "LICENSE").write_text("CC0")
    (tmp_path / "out").mkdir()
    publish_corpus(tmp_path / "in", tmp_path / "out")
    found = read_corpus(tmp_path / "out")
    assert [(entry.id, entry.normalised, entry.reason[:13]) for entry in found] == [
        ("a_1", "Hello there.", ""),
        ("a_2", "No sound.", "missing audio"),
        ("a_3", "", "empty text on"),
        ("a_4", "", "empty text on"),
    ]
    assert (tmp_path / "out/LICENSE").read_text() == "CC0"


def test_links_do_not_lead_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(b"secret")
    source = make(tmp_path / "in", "a|A|A\n", "a")
    (source / "wavs/inside.wav").symlink_to("a.wav")
    (source / "wavs/dangling.wav").symlink_to("nothing.wav")
    (source / "wavs/loop.wav").symlink_to("loop.wav")
    (source / "wavs/folder.wav").mkdir()
    os.mkfifo(source / "wavs/pipe.wav")
    (tmp_path / "out").mkdir()
    publish_corpus(source, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out/wavs").iterdir()) == ["a.wav", "inside.wav"]
    assert caplog.text.count("not a regular file, left out") == 4
    (source / "wavs/outside.wav").symlink_to(secret)
    with pytest.raises(WavewrightError, match=r"outside\.wav.*download\.follow_links=true"):
        publish_corpus(source, tmp_path / "out")
    publish_corpus(source, tmp_path / "out", follow_links=True)
    assert (tmp_path / "out/wavs/outside.wav").read_bytes() == b"secret"
    assert not (tmp_path / "out/wavs/outside.wav").is_symlink()


@pytest.mark.parametrize("content", [[], ["notes.txt"], ["one", "two"]])
def test_no_corpus(tmp_path: Path, content: list[str]) -> None:
    for name in content:
        path = tmp_path / name
        path.write_text("") if path.suffix else path.mkdir()
    with pytest.raises(WavewrightError, match=r"neither metadata\.csv"):
        publish_corpus(tmp_path, tmp_path / "out")


def digest(folder: Path) -> str:
    digests = [
        f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    return "\n".join(digests)


def test_a_spoken_corpus(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    import soundfile

    sentences = tmp_path / "sentences.txt"
    sentences.write_text("Good morning.\n\nHow are you?\n")
    synthesize_corpus(sentences, tmp_path / "one", prefix="tiny")
    synthesize_corpus(sentences, tmp_path / "two", prefix="tiny")
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    assert (tmp_path / "one/metadata.csv").read_text() == (
        "tiny-001|Good morning.|Good morning.\ntiny-003|How are you?|How are you?\n"
    )
    header = soundfile.info(tmp_path / "one/wavs/tiny-001.wav")
    assert (header.samplerate, header.channels, header.subtype) == (22_050, 1, "PCM_16")
    grid = read_alignment(tmp_path / "one/alignments/tiny-001.TextGrid", header.duration)
    assert grid.duration == pytest.approx(header.duration, abs=1e-6)


def test_a_pipe_would_break_the_table(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text("One.\nTwo | three.\n")
    with pytest.raises(WavewrightError, match=r"line 2 has a '\|'"):
        synthesize_corpus(tmp_path / "s.txt", tmp_path / "corpus", prefix="x")


def test_the_recipes_sentences(root: Path) -> None:
    lines = (root / "recipes/mini/sentences.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(set(lines)) == 150
    for line in lines:
        assert 4 <= len(line.split()) <= 12, line
        assert not any(character.isdigit() for character in line), line
