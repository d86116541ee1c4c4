"""Reading a corpus: every line becomes an entry, and what is wrong with it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavewright.data.corpus.utterances import read_corpus
from wavewright.errors import WavewrightError


def make(folder: Path, metadata: bytes | str, *ids: str, suffix: str = ".wav") -> Path:
    (folder / "wavs").mkdir(parents=True)
    data = metadata.encode() if isinstance(metadata, str) else metadata
    (folder / "metadata.csv").write_bytes(data)
    for name in ids:
        (folder / "wavs" / f"{name}{suffix}").write_bytes(name.encode())
    return folder


def reasons(folder: Path) -> dict[str, str]:
    return {entry.id: entry.reason for entry in read_corpus(folder)}


def test_fields_and_files(tmp_path: Path) -> None:
    folder = make(tmp_path, 'b|Raw 2.|Raw two.\na|"Quoted|"Quoted\n', "a", "b", suffix=".flac")
    (folder / "alignments").mkdir()
    (folder / "alignments/b.TextGrid").write_text("")
    first, second = read_corpus(folder)
    assert (first.id, first.normalised, first.alignment) == ("a", '"Quoted', None)
    assert (second.text, second.normalised) == ("Raw 2.", "Raw two.")
    assert second.audio == folder / "wavs/b.flac"
    assert second.alignment == folder / "alignments/b.TextGrid"
    assert first.reason == second.reason == ""


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(tmp_path: Path, end: str) -> None:
    lines = ["\ufeffa|x|x\x85y", "  ", "b|x|x\u2028y", ""]
    found = read_corpus(make(tmp_path, end.join(lines), "a", "b"))
    assert [entry.normalised for entry in found] == ["x\x85y", "x\u2028y"]


def test_columns(tmp_path: Path) -> None:
    folder = make(tmp_path, "a|x|y|jane\nb|x|y\nc|x\n", "a", "b", "c")
    found = read_corpus(folder, ["id", "raw", "normalised", "speaker"])
    assert [(entry.speaker, entry.reason[:20]) for entry in found] == [
        ("jane", ""),
        ("", ""),
        ("", "line 3 has 2 columns"),
    ]
    assert read_corpus(folder)[2].normalised == "x", "two columns: the raw text stands for both"
    assert "line 1 has 4 columns" in reasons(folder)["a"]
    with pytest.raises(WavewrightError, match="'id' and any of"):
        read_corpus(folder, ["id", "words"])


def test_faulty_lines_are_kept_with_a_reason(tmp_path: Path) -> None:
    lines = ["ok|A.|A.", "../up|A.|A.", "gone|A.|A.", "void|A.|", "twice|A.|A.", "twice|B.|B."]
    folder = make(tmp_path, "\n".join(lines), "ok", "void", "twice", "two")
    (folder / "wavs/two.flac").write_bytes(b"")
    (folder / "metadata.csv").write_text("\n".join([*lines, "two|A.|A."]))
    found = reasons(folder)
    assert found.pop("ok") == ""
    assert set(found) == {"line-0000002", "gone", "void", "twice", "twice.repeat-1", "two"}
    assert "bad id on line 2: utterance id '../up'" in found["line-0000002"]
    assert found["gone"] == "missing audio: no wavs/gone.wav, .flac or other audio file"
    assert found["void"] == "empty text on line 4"
    assert found["twice"] == found["twice.repeat-1"] != ""
    assert found["two"] == "more than one audio file: two.flac, two.wav"


def test_whole_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(WavewrightError, match=r"not UTF-8 \(line 2, byte 9 of the file is 0xea\)"):
        read_corpus(make(tmp_path / "latin", b"a|A|A\nb|d\xeaj\n", "a"))
    with pytest.raises(WavewrightError, match="not UTF-8"):
        read_corpus(make(tmp_path / "utf16", "a|A|A\n".encode("utf-16"), "a"))
    with pytest.raises(WavewrightError, match="no utterance"):
        read_corpus(make(tmp_path / "empty", "\n \n", "a"))
    with pytest.raises(WavewrightError, match="no audio file in it"):
        read_corpus(make(tmp_path / "mute", "a|A|A\n"))


def test_a_header_and_ids_that_differ_in_case(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = reasons(make(tmp_path, "id|raw|normalised\na|A|A\nA|B|B\n", "a", "A"))
    assert found == {"a": "", "A": ""}
    assert "line 1 is taken for a header" in caplog.text
    assert "differ in case only" in caplog.text


def test_official_hostile_metadata(shared: Path, tmp_path: Path) -> None:
    """Every table is read or refused by name, and no line becomes another one's text."""
    for path in sorted((shared / "corpora/bad-input/metadata").iterdir()):
        folder = make(tmp_path / path.stem, path.read_bytes(), "LJ001-0001", "LJ001-0002")
        if path.stem in ("latin1", "utf16"):
            with pytest.raises(WavewrightError, match=r"metadata\.csv: not UTF-8"):
                read_corpus(folder)
            continue
        for entry in read_corpus(folder):
            assert entry.reason or "|" not in entry.normalised + entry.text
            assert entry.audio.parent in (folder / "wavs", Path("."))
    assert not list(tmp_path.rglob("*.marker"))
