"""Corpora in the layouts of the field: told apart, read, and published."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from wavewright.data.corpus.ingest import publish_corpus
from wavewright.data.corpus.readers.detect import LAYOUTS, detect_layout, read_layout
from wavewright.data.corpus.utterances import CorpusUtterance, read_corpus
from wavewright.errors import UnknownName, WavewrightError

RATE = 8000
TEXTS = {"ada_1": "The first one.", "ada_2": "Another.", "bob_1": "The last."}


def sound(path: Path, seconds: float = 0.2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.1 * np.sin(np.arange(round(seconds * RATE)) / 5)
    soundfile.write(path, wave, RATE)
    return path


def words(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def make_table(folder: Path) -> None:
    lines = ["path,transcript,spk,split"]
    for name, text in TEXTS.items():
        sound(folder / "clips" / f"{name}.wav")
        split = "validation" if name == "ada_2" else "train"
        lines.append(f'clips/{name}.wav,"{text}",{name[:3]},{split}')
    words(folder / "corpus.csv", "\n".join(lines) + "\n")


def make_parquet(folder: Path) -> None:
    rows = [
        {"id": n, "audio": str(sound(folder / "a" / f"{n}.flac")), "text": t, "speaker": n[:3]}
        for n, t in TEXTS.items()
    ]
    pd.DataFrame(rows).to_parquet(folder / "all.parquet")


def make_kaldi(folder: Path) -> None:
    for name in TEXTS:
        sound(folder / "audio" / f"{name}.wav")
    words(folder / "wav.scp", "".join(f"{n} audio/{n}.wav\n" for n in TEXTS))
    words(folder / "text", "".join(f"{n} {t}\n" for n, t in TEXTS.items()))
    words(folder / "utt2spk", "".join(f"{n} {n[:3]}\n" for n in TEXTS))


def make_nemo(folder: Path) -> None:
    lines = []
    for name, text in TEXTS.items():
        path = sound(folder / "audio" / f"{name}.wav")
        values = {"audio_filepath": str(path), "text": text, "duration": 0.2, "speaker": name[:3]}
        lines.append(json.dumps(values))
    words(folder / "train_manifest.json", "\n".join(lines) + "\n")


def make_libritts(folder: Path) -> None:
    for name, text in TEXTS.items():
        subset = "dev-clean" if name == "ada_2" else "train-clean-100"
        chapter = folder / "LibriTTS" / subset / name[:3] / "12"
        sound(chapter / f"{name}.wav")
        words(chapter / f"{name}.normalized.txt", text)
        words(chapter / f"{name}.original.txt", text.upper())


def make_vctk(folder: Path) -> None:
    for name, text in TEXTS.items():
        for microphone in "12":
            sound(folder / f"wav48_silence_trimmed/{name[:3]}/{name}_mic{microphone}.flac")
        words(folder / "txt" / name[:3] / f"{name}.txt", text + "\n")


def make_folder(folder: Path) -> None:
    for name, text in TEXTS.items():
        sound(folder / "deep" / name[:3] / f"{name}.WAV".lower())
        words(folder / "deep" / name[:3] / f"{name}.txt", text)


MAKERS: dict[str, Callable[[Path], None]] = {
    "table": make_table,
    "kaldi": make_kaldi,
    "nemo": make_nemo,
    "libritts": make_libritts,
    "vctk": make_vctk,
    "folder": make_folder,
}
WITHOUT_SPEAKERS = {"folder"}


def test_every_layout_is_tested() -> None:
    assert MAKERS.keys() == LAYOUTS.keys()


@pytest.mark.parametrize("layout", MAKERS)
def test_it_is_told_read_and_published(layout: str, tmp_path: Path) -> None:
    source, corpus = tmp_path / "source", tmp_path / "corpus"
    MAKERS[layout](source)
    assert detect_layout(source) == layout
    corpus.mkdir()
    publish_corpus(source, corpus)
    entries = read_corpus(corpus)
    assert {entry.id: entry.normalised for entry in entries} == TEXTS
    for entry in entries:
        assert entry.reason == ""
        assert entry.audio.is_file()
        assert entry.audio.is_relative_to(corpus)
        assert soundfile.info(entry.audio).frames == 1600
        assert entry.speaker == ("" if layout in WITHOUT_SPEAKERS else entry.id[:3])
        assert (entry.start, entry.end) == (0.0, None)
    splits = {entry.id: entry.split for entry in entries}
    if layout in ("table", "libritts"):
        assert splits == {"ada_1": "train", "ada_2": "dev", "bob_1": "train"}
    if layout == "libritts":
        assert entries[0].text == "THE FIRST ONE."


def test_a_parquet_table_and_one_named_directly(tmp_path: Path) -> None:
    make_parquet(tmp_path / "source")
    for source in (tmp_path / "source", tmp_path / "source" / "all.parquet"):
        assert {e.id: e.text for e in read_layout(source, "table")} == TEXTS


def test_segments_of_recordings(tmp_path: Path) -> None:
    source = tmp_path / "kaldi"
    sound(source / "long.wav", 2.0)
    words(source / "wav.scp", "rec long.wav\n")
    words(source / "segments", "u1 rec 0.5 1.0\nu2 rec 1.0 -1\nu3 rec 1.5 1.2\n")
    words(source / "text", "u1 One.\nu2 Two.\nu3 Three.\n")
    (tmp_path / "corpus").mkdir()
    publish_corpus(source, tmp_path / "corpus")
    one, two, three = read_corpus(tmp_path / "corpus")
    assert one.audio == two.audio
    assert one.audio.name == "long.wav"
    assert [(e.start, e.end) for e in (one, two)] == [(0.5, 1.0), (1.0, None)]
    assert three.reason == "a segment from 1.5 to 1.2 s, utterance 'u3'"


def test_a_command_in_a_wav_scp_is_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words(tmp_path / "k" / "wav.scp", "u1 touch SHELL_WAS_RUN.marker; cat x.wav |\n")
    with pytest.raises(WavewrightError, match=r"wav\.scp: 'u1' is a command .* never run"):
        read_layout(tmp_path / "k", "kaldi")
    assert not list(tmp_path.rglob("*.marker"))


@pytest.mark.parametrize(
    ("text", "words_said"),
    [
        ("u1 a.wav\nu1 b.wav\n", r"wav\.scp: line 2: 'u1' appears twice"),
        ("u1\n", r"wav\.scp: line 1: nothing after 'u1'"),
    ],
)
def test_broken_kaldi_folders_are_named(tmp_path: Path, text: str, words_said: str) -> None:
    words(tmp_path / "wav.scp", text)
    with pytest.raises(WavewrightError, match=words_said):
        read_layout(tmp_path, "kaldi")


def test_nemo_offsets_are_segments(tmp_path: Path) -> None:
    path = sound(tmp_path / "long.wav", 1.0)
    part = {"audio_filepath": str(path), "text": "A.", "offset": 0.25, "duration": 0.5}
    words(tmp_path / "m.json", json.dumps(part) + "\n" + json.dumps({**part, "offset": 0.5}) + "\n")
    entries = read_layout(tmp_path, "nemo")
    assert [(e.id, e.start, e.end) for e in entries] == [("long", 0.25, 0.75), ("long-2", 0.5, 1.0)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"audio_filepath": "a.wav"', "line 2: not JSON"),
        ('{"text": "a"}', "line 2: no 'audio_filepath' in it"),
        ('{"audio_filepath": "a.wav", "duration": "1"}', "'duration' must be seconds, found '1'"),
    ],
)
def test_broken_nemo_lines_are_named(tmp_path: Path, line: str, said: str) -> None:
    words(tmp_path / "m.json", '{"audio_filepath": "a.wav", "duration": 1}\n' + line + "\n")
    with pytest.raises(WavewrightError, match=said):
        read_layout(tmp_path, "nemo")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("audio,split\na.wav,training\n", "line 2, column 'split': found 'training', allowed are"),
        ("audio,start\na.wav,soon\n", "line 2, column 'start': expected seconds, found 'soon'"),
        ("audio,path\na.wav,b.wav\n", "columns audio and path both mean 'audio'"),
        ("audio,text\na.wav,caf\xe9\n", "not a readable table in UTF-8"),
    ],
)
def test_broken_tables_are_named(tmp_path: Path, table: str, said: str) -> None:
    (tmp_path / "t.csv").write_bytes(table.encode("latin-1"))
    with pytest.raises(WavewrightError, match=said):
        read_layout(tmp_path, "table")


def test_faults_of_single_utterances_are_reasons(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    words(
        tmp_path / "t.csv",
        "id,audio,text\ngood,a.wav,One.\nnone,b.wav,Two.\n../x,a.wav,Three.\nblank,a.wav,\n"
        "twice,a.wav,Four.\ntwice,a.wav,Five.\n",
    )
    reasons = {entry.id: entry.reason for entry in read_layout(tmp_path, "table")}
    assert reasons["good"] == ""
    assert reasons["none"] == "missing audio: b.wav, line 3"
    assert reasons["line-4"].startswith("bad id, line 4: utterance id '../x' is not allowed")
    assert reasons["blank"] == "no text"
    assert (
        reasons["twice"]
        == reasons["twice.repeat-1"]
        == ("duplicate id 'twice': it appears on 2 lines")
    )


def test_a_corpus_without_any_text_is_for_vocoders(tmp_path: Path) -> None:
    for name in ("x/a", "y/a", "y/b c"):
        sound(tmp_path / "source" / f"{name}.ogg")
    (tmp_path / "corpus").mkdir()
    publish_corpus(tmp_path / "source", tmp_path / "corpus")
    entries = read_corpus(tmp_path / "corpus")
    assert [entry.id for entry in entries] == ["b_c", "x-a", "y-a"]
    assert not any(entry.reason or entry.normalised for entry in entries)


def test_what_could_be_several_is_asked_about(tmp_path: Path) -> None:
    make_kaldi(tmp_path / "s")
    make_table(tmp_path / "s")
    with pytest.raises(WavewrightError, match=r"a Kaldi .* or a table .*layout=NAME \(kaldi"):
        publish_corpus(tmp_path / "s", tmp_path / "corpus")
    publish_corpus(tmp_path / "s", tmp_path / "corpus", layout="table")
    assert len(read_corpus(tmp_path / "corpus")) == 3


def test_unknown_and_wrong_layouts_are_named(tmp_path: Path) -> None:
    make_folder(tmp_path)
    with pytest.raises(UnknownName, match=r"unknown layout 'libritss'.*'libritts'"):
        read_layout(tmp_path, "libritss")
    with pytest.raises(WavewrightError, match="is not a Kaldi data folder"):
        read_layout(tmp_path, "kaldi")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WavewrightError, match=r"neither metadata\.csv .* nor any of: a Kaldi"):
        publish_corpus(tmp_path / "empty", tmp_path / "corpus")


def test_all_missing_is_an_error(tmp_path: Path) -> None:
    words(tmp_path / "s" / "t.csv", "audio,text\na.wav,One.\n")
    with pytest.raises(WavewrightError, match=r"none of its 1 utterances can .*missing audio"):
        publish_corpus(tmp_path / "s", tmp_path / "corpus")


def test_links_out_of_a_tree_need_leave_and_named_files_do_not(tmp_path: Path) -> None:
    outside = sound(tmp_path / "outside.wav")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a.wav").symlink_to(outside)
    with pytest.raises(WavewrightError, match="symbolic link out of the corpus"):
        publish_corpus(tmp_path / "tree", tmp_path / "corpus")
    publish_corpus(tmp_path / "tree", tmp_path / "corpus", follow_links=True)
    words(tmp_path / "k" / "wav.scp", f"u {outside}\n")
    publish_corpus(tmp_path / "k", tmp_path / "other")
    assert read_corpus(tmp_path / "other")[0].audio.is_file()


def test_the_same_corpus_gives_the_same_table(tmp_path: Path) -> None:
    make_vctk(tmp_path / "s")
    for name in ("a", "b"):
        publish_corpus(tmp_path / "s", tmp_path / name)
    a, b = ((tmp_path / name / "corpus.parquet").read_bytes() for name in "ab")
    assert a == b


def test_entries_keep_their_defaults() -> None:
    entry = CorpusUtterance("a", "", "", "", Path(), None, "")
    assert (entry.start, entry.end, entry.split) == (0.0, None, "")
