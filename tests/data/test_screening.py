"""Screening: every fault gets a reason, every oddity a flag, and nothing raises."""

from __future__ import annotations

import os
import re
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from wavewright.audio.files import Wav
from wavewright.data.corpus.screening import ScreeningRules, energy_bounds, screen
from wavewright.data.corpus.utterances import CorpusUtterance
from wavewright.text.textgrid import Alignment, Interval, write_alignment

RATE = 22_050
RULES = ScreeningRules(
    sample_rate=RATE,
    minimum_seconds=0.1,
    maximum_seconds=20.0,
    channel="left",
    remove_offset=False,
    trim="none",
    margin=0.1,
    top_db=35.0,
    unknown_symbols="quarantine",
)


def burst(silence: float = 0.5, seconds: float = 1.0) -> Wav:
    """Noise between two silences."""
    noise = np.random.default_rng(1).normal(0, 0.1, round(seconds * RATE)).clip(-0.9, 0.9)
    return np.pad(noise, round(silence * RATE)).astype(np.float32)


def entry(path: Path, text: str = "Hello.", alignment: Path | None = None) -> CorpusUtterance:
    return CorpusUtterance("a", text, text, "", path, alignment, "")


def written(path: Path, wav: Wav, rate: int = RATE) -> Path:
    soundfile.write(path, wav, rate, subtype="PCM_16")
    return path


def test_official_hostile_audio(shared: Path) -> None:
    reasons = {
        "fmt-absurd-samplerate": "not readable as audio",
        "fmt-unknown-codec": "not readable as audio",
        "fmt-zero-channels": "Channel count is zero",
        "fmt-zero-samplerate": "not readable as audio",
        "flac-bitflip": "flac decoder",
        "flac-truncated": "flac decoder",
        "float32-nan": "NaN",
        "git-lfs-pointer": "git lfs pull",
        "header-only": "no samples",
        "long-silence-20min": "too long: 1200.0 s",
        "one-sample": "too short",
        "riff-size-zero": "promises no samples",
        "shorter-than-window": "too short",
        "silence-lsb-noise": "silent",
        "silence-zero": "silent",
        "truncated-mid-data": "cut short: the header promises 66150 bytes, 33076 are there",
        "zero-byte": "empty",
    }
    flags = {
        "clipped-full-scale": ("clipped", "noisy", "offset"),
        "dc-offset": ("offset",),
        "float32-over-full-scale": ("over_full_scale",),
        "rate-8k": ("band_limited",),
        "riff-data-size-too-small": ("short", "trailing_bytes"),
        "riff-size-ffffffff": ("unknown_size",),
        "shorter-than-segment": ("short",),
        "six-channel": ("6_channels", "short"),
        "stereo-antiphase": ("antiphase",),
        "stereo-one-dead": ("dead_channel",),
    }
    folder = shared / "corpora" / "bad-input" / "audio"
    for path in sorted(folder.iterdir()):
        found = screen(entry(path), RULES)
        if path.stem in reasons:
            assert reasons[path.stem] in found.reason, path.name
            assert str(folder) not in found.reason, "a reason is the same on every machine"
        else:
            assert found.reason == "", path.name
            assert found.flags == flags.get(path.stem, ()), path.name
            assert found.level is not None
            assert found.stop > found.start == 0


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "dangling.wav").symlink_to("nothing")
    os.mkfifo(tmp_path / "pipe.wav")
    for path in tmp_path.iterdir():
        assert screen(entry(path), RULES).reason == f"{path.name}: not a regular file"


def test_a_chunk_after_the_samples_is_no_fault(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", burst())
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 4) + b"INFO")
    assert screen(entry(path), RULES).flags == ()


def test_rates_and_durations(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", burst(0.0), rate=3000)
    assert "sample rate 3000 Hz is outside" in screen(entry(path), RULES).reason
    path = written(tmp_path / "b.wav", burst(0.0, 0.08))
    assert "too short: 0.080 s, the minimum is 0.100 s" in screen(entry(path), RULES).reason
    assert screen(entry(path), replace(RULES, minimum_seconds=0.05)).reason == ""


def test_texts(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", burst())
    assert "'3' (DIGIT THREE)" in screen(entry(path, "3 words"), RULES).reason
    flagged = screen(entry(path, "3 words"), replace(RULES, unknown_symbols="flag"))
    assert (flagged.reason, flagged.flags) == ("", ("unknown_symbols",))
    assert "nothing to read" in screen(entry(path, "“”"), RULES).reason


def test_energy_bounds() -> None:
    start, end = energy_bounds(burst(), RATE, 35.0)
    assert start == pytest.approx(0.5 * RATE, abs=0.011 * RATE)
    assert end == pytest.approx(1.5 * RATE, abs=0.011 * RATE)
    shifted = burst() + np.float32(0.3)
    assert energy_bounds(shifted, RATE, 35.0) == (start, end), "an offset is no energy"
    assert energy_bounds(np.ones(3, np.float32), RATE, 35.0) == (0, 3)


def test_trimming(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", burst())
    found = screen(entry(path), replace(RULES, trim="energy", margin=0.2))
    assert found.start == pytest.approx(0.3 * RATE, abs=0.011 * RATE)
    assert found.stop == pytest.approx(1.7 * RATE, abs=0.011 * RATE)

    grid = tmp_path / "a.TextGrid"
    phones = (Interval(0, 0.6, "sil"), Interval(0.6, 1.4, "AA"), Interval(1.4, 2.0, "sp"))
    write_alignment(grid, Alignment((), phones, 2.0))
    rules = replace(RULES, trim="alignment", margin=0.1)
    found = screen(entry(path, alignment=grid), rules)
    assert (found.start / RATE, found.stop / RATE) == pytest.approx((0.5, 1.5), abs=1e-4)
    assert found.alignment
    assert "trimmed_by_energy" not in found.flags
    assert "trimmed_by_energy" in screen(entry(path), rules).flags


def test_a_faulty_textgrid_is_a_flag(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", burst())
    grid = tmp_path / "a.TextGrid"
    for content in ("rubbish\n", ""):
        grid.write_text(content)
        found = screen(entry(path, alignment=grid), replace(RULES, trim="alignment"))
        assert found.reason == ""
        assert {"bad_alignment", "trimmed_by_energy"} <= set(found.flags)
        assert not found.alignment
        assert re.match(r"a\.TextGrid: ", found.note)


def test_what_the_metadata_said_stays(tmp_path: Path) -> None:
    faulty = replace(entry(tmp_path / "a.wav"), reason="missing audio")
    assert screen(faulty, RULES).reason == "missing audio"
