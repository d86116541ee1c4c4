"""TextGrids: read what aligners write, refuse what is broken, keep times exact."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from wavewright.errors import MissingExtra, WavewrightError
from wavewright.text.textgrid import (
    Alignment,
    Interval,
    cut_alignment,
    read_alignment,
    speech_bounds,
    write_alignment,
)

pytest.importorskip("tgt")

EXAMPLE = Alignment(
    words=(Interval(0.0, 0.25, ""), Interval(0.25, 0.9, 'say "hi"'), Interval(0.9, 1.0, "")),
    phones=(
        Interval(0.0, 0.25, "sil"),
        Interval(0.25, 0.500045, "HH"),
        Interval(0.500045, 0.9, "AY1"),
        Interval(0.9, 1.0, "sil"),
    ),
    duration=1.0,
)


def test_written_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.TextGrid"
    write_alignment(path, EXAMPLE)
    assert read_alignment(path) == EXAMPLE
    first = path.read_bytes()
    write_alignment(path, EXAMPLE)
    assert path.read_bytes() == first
    assert first.startswith(b'File type = "ooTextFile"\nObject class = "TextGrid"\n')
    assert [p.name for p in tmp_path.iterdir()] == ["a.TextGrid"]


def test_bounds_of_speech() -> None:
    assert speech_bounds(EXAMPLE) == (0.25, 0.9)
    assert speech_bounds(EXAMPLE, margin=0.3) == (0.0, 1.0)
    silent = Alignment((), (Interval(0.0, 1.0, "sp"),), 1.0)
    with pytest.raises(WavewrightError, match="not silence"):
        speech_bounds(silent)


def test_cutting_moves_the_times() -> None:
    cut = cut_alignment(EXAMPLE, 0.25, 0.95)
    assert cut.duration == pytest.approx(0.7)
    assert [phone.label for phone in cut.phones] == ["HH", "AY1", "sil"]
    assert cut.phones[0].start == 0.0
    assert cut.phones[-1].end == pytest.approx(0.7)
    assert cut.words[0].label == 'say "hi"'
    assert (cut.words[0].start, cut.words[0].end) == pytest.approx((0.0, 0.65))


def grid(*intervals: tuple[float, float, str], end: float = 1.0, name: str = "phones") -> str:
    """A TextGrid in the short form, written by hand: faults included."""
    body = "".join(f'{a}\n{b}\n"{label}"\n' for a, b, label in intervals)
    return (
        f'File type = "ooTextFile short"\n"TextGrid"\n\n0\n{end}\n<exists>\n1\n'
        f'"IntervalTier"\n"{name}"\n0\n{end}\n{len(intervals)}\n{body}'
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (grid((0, 0.6, "A"), (0.5, 1, "B")), "verlap"),
        (grid((-0.1, 0.6, "A")), "'phones'.*not a time"),
        (grid((0.6, 0.2, "A")), "after end time"),
        (grid((0, 0.5, "A"), (0.5, 1.4, "B"), end=1.4), "'phones'.*ends after the audio's 1.0000"),
        (grid((0, 1, "A"), name="segments"), r"no tier 'phones' \(tiers found: 'segments'\)"),
        ("", "is empty"),
        ("hello\n" * 9, "not a whole"),
    ],
)
def test_faults_are_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "faulty.TextGrid"
    path.write_text(content)
    with pytest.raises(WavewrightError, match=message) as caught:
        read_alignment(path, duration=1.0)
    assert "faulty.TextGrid" in str(caught.value)


def test_an_end_a_frame_step_late_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_text(grid((0, 0.5, "A"), (0.5, 1.03, "B"), end=1.03))
    assert read_alignment(path, duration=1.0).phones[-1] == Interval(0.5, 1.0, "B")


def test_gaps_are_silence_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_text(grid((0, 0.4, "A"), (0.7, 0.9, "B")))
    phones = read_alignment(path, duration=1.0).phones
    assert [(p.start, p.end, p.label) for p in phones][1] == (0.4, 0.7, "")
    assert phones[-1] == Interval(0.9, 1.0, "")
    assert "1 gaps" in caplog.text


def test_hostile_files(shared: Path) -> None:
    folder = shared / "corpora" / "bad-input" / "textgrid"
    good = read_alignment(folder / "good.TextGrid", 1.5)
    for name in ("short-format", "utf16"):
        assert read_alignment(folder / f"{name}.TextGrid", 1.5) == good
    assert read_alignment(folder / "escaped-quotes.TextGrid").phones[0].label == 'say "ah"'
    for name in (
        "empty",
        "huge-count",
        "negative-interval",
        "negative-time",
        "not-a-number",
        "truncated",
        "wrong-count",
    ):
        with pytest.raises(WavewrightError, match=f"{name}.TextGrid"):
            read_alignment(folder / f"{name}.TextGrid", 1.5)


def test_forced_aligners_files(shared: Path) -> None:
    import soundfile

    corpus = shared / "corpora" / "ljspeech-mini"
    for path in sorted((corpus / "alignments").iterdir()):
        seconds = soundfile.info(corpus / "wavs" / f"{path.stem}.wav").duration
        alignment = read_alignment(path, seconds)
        assert alignment.words
        ends = [phone.end for phone in alignment.phones]
        assert [phone.start for phone in alignment.phones] == pytest.approx([0.0, *ends[:-1]])
        assert ends[-1] == pytest.approx(seconds, abs=0.06)


def test_without_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "tgt", None)
    with pytest.raises(MissingExtra, match=r"pip install 'wavewright\[alignments\]'"):
        read_alignment(tmp_path / "a.TextGrid")


def test_tiers_of_other_names_and_a_little_too_short(tmp_path: Path) -> None:
    phones = (Interval(0, 0.4, "a"), Interval(0.4, 1.0, "b"))
    path = tmp_path / "a.TextGrid"
    write_alignment(path, Alignment((), phones, 1.0))
    path.write_text(path.read_text().replace('"phones"', '"MAU"'))
    found = read_alignment(path, 1.04, phones="MAU")
    assert found.phones[-1] == Interval(0.4, 1.04, "b"), "up to 0.05 s belong to the last one"
    assert read_alignment(path, 1.2, phones="mau").phones[-1] == Interval(1.0, 1.2, "")
    with pytest.raises(WavewrightError, match="no tier 'phones'"):
        read_alignment(path, 1.0)
