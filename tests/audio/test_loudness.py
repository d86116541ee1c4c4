"""Loudness: measured on speech, raised to a target, never clipped."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wavewright.audio.files import Wav
from wavewright.audio.loudness import LoudnessTarget, SpeechLevel, decibels, measure_level

RATE = 22_050


def tone(amplitude: float, seconds: float = 1.0) -> Wav:
    time = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * 440 * time)).astype(np.float32)


def rms_dbfs(level: SpeechLevel) -> float:
    return decibels(math.sqrt(level.energy / level.samples))


def test_a_tone() -> None:
    level = measure_level(tone(0.5), RATE)
    assert level.peak == pytest.approx(0.5, rel=1e-3)
    assert rms_dbfs(level) == pytest.approx(-6.02 - 3.01, abs=0.02)
    assert decibels(level.loudest) == pytest.approx(-9.03, abs=0.05)


def test_silence_around_speech_does_not_count() -> None:
    alone = measure_level(tone(0.1), RATE)
    padded = measure_level(np.concatenate([np.zeros(RATE * 3, np.float32), tone(0.1)]), RATE)
    assert rms_dbfs(padded) == pytest.approx(rms_dbfs(alone), abs=0.1)


def test_an_offset_is_not_heard() -> None:
    shifted = measure_level(tone(0.1) + np.float32(0.4), RATE)
    assert rms_dbfs(shifted) == pytest.approx(rms_dbfs(measure_level(tone(0.1), RATE)), abs=0.01)


@pytest.mark.parametrize("wav", [np.zeros(1, np.float32), np.zeros(RATE, np.float32)])
def test_silence_is_finite(wav: Wav) -> None:
    level = measure_level(wav, RATE)
    assert decibels(level.loudest) == -200
    assert level.samples >= 1


def test_as_recorded_stays_as_recorded() -> None:
    levels = {"a": measure_level(tone(1.0), RATE), "hot": measure_level(tone(4.0), RATE)}
    speakers = dict.fromkeys(levels, "s")
    gains, limited = LoudnessTarget("none", -23.0, 0.95).compute_gains(levels, speakers, ["a"])
    assert gains["a"] == 1.0
    assert gains["hot"] == pytest.approx(0.95 / 4, rel=1e-3)
    assert limited == {"hot"}


def test_one_gain_for_a_speaker() -> None:
    levels = {f"u{i}": measure_level(tone(0.02 * (i + 1)), RATE) for i in range(5)}
    levels["loud"] = measure_level(tone(0.8), RATE)
    speakers = dict.fromkeys(levels, "s")
    train = ["u0", "u1", "u2", "u3"]
    gains, limited = LoudnessTarget("speaker", -23.0, 0.95).compute_gains(levels, speakers, train)
    energy = sum(levels[name].energy for name in train) / sum(levels[n].samples for n in train)
    assert decibels(gains["u0"] * math.sqrt(energy)) == pytest.approx(-23.0)
    assert len({gains[f"u{i}"] for i in range(5)}) == 1, "relative loudness is kept"
    assert limited == {"loud"}
    assert gains["loud"] * levels["loud"].peak == pytest.approx(0.95)


def test_the_speakers_gain_stops_before_clipping() -> None:
    levels = {f"u{i}": measure_level(tone(0.5), RATE) for i in range(4)}
    loudness = LoudnessTarget("speaker", -3.0, 0.9)
    gains, limited = loudness.compute_gains(levels, dict.fromkeys(levels, "s"), levels)
    assert list(gains.values()) == pytest.approx([0.9 / levels["u0"].peak] * 4)
    assert limited == set()


def test_each_utterance_its_own() -> None:
    levels = {"a": measure_level(tone(0.01), RATE), "b": measure_level(tone(0.2), RATE)}
    speakers = dict.fromkeys(levels, "s")
    gains, _ = LoudnessTarget("utterance", -23.0, 0.95).compute_gains(levels, speakers, [])
    for name, level in levels.items():
        assert decibels(gains[name]) + rms_dbfs(level) == pytest.approx(-23.0)
    gains, _ = LoudnessTarget("peak", -23.0, 0.95).compute_gains(levels, speakers, [])
    assert [gains[name] * levels[name].peak for name in gains] == pytest.approx([0.95, 0.95])


def test_speakers_are_measured_apart() -> None:
    levels = {"a": measure_level(tone(0.01), RATE), "b": measure_level(tone(0.1), RATE)}
    loudness = LoudnessTarget("speaker", -23.0, 0.95)
    gains, _ = loudness.compute_gains(levels, {"a": "x", "b": "y"}, ["a", "b"])
    assert gains["a"] == pytest.approx(10 * gains["b"], rel=1e-3)
    assert loudness.compute_gains(levels, {"a": "x", "b": "y"}, ["a"])[0] == gains, (
        "held-out speakers too"
    )
