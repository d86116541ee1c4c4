"""Measures of quality: true on made signals, and flags where they should be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wavewright.audio.files import Wav
from wavewright.audio.loudness import measure_level
from wavewright.data.corpus.quality import (
    Quality,
    block_power,
    measure_quality,
    quality_flags,
    speaking_rate_flags,
)

RATE = 22050


def speech_like(snr: float, seconds: float = 4.0, level: float = 0.1, pauses: float = 0.3) -> Wav:
    """Bursts of tone with pauses, in white noise `snr` dB below the bursts."""
    rng = np.random.default_rng(1)
    time = np.arange(round(seconds * RATE)) / RATE
    active = (time % 1.0) >= pauses
    tone = level * math.sqrt(2) * np.sin(2 * np.pi * 300 * time) * active
    noise = level * 10 ** (-snr / 20) * rng.standard_normal(len(time))
    return (tone + noise).astype(np.float32)


def quality(wav: Wav) -> Quality:
    return measure_quality(wav, RATE, measure_level(wav, RATE))


def flags(wav: Wav) -> set[str]:
    level = measure_level(wav, RATE)
    found = measure_quality(wav, RATE, level)
    return set(quality_flags(wav, len(wav) / RATE, level, found))


@pytest.mark.parametrize("snr", [10.0, 20.0, 30.0, 40.0, 55.0])
def test_the_noise_is_found_in_the_pauses(snr: float) -> None:
    assert quality(speech_like(snr)).snr_db == pytest.approx(snr, abs=2.0)


def test_an_offset_is_no_noise() -> None:
    found = quality(speech_like(40.0) + np.float32(0.3))
    assert found.snr_db == pytest.approx(40.0, abs=2.0)
    assert found.level_dbfs == pytest.approx(-20.0, abs=0.3)


def test_level_and_peak_are_those_of_the_tone() -> None:
    found = quality(speech_like(60.0))
    assert found.level_dbfs == pytest.approx(-20.0, abs=0.3)
    assert found.peak_dbfs == pytest.approx(-17.0, abs=0.3)


@pytest.mark.parametrize("pauses", [0.1, 0.3, 0.7])
def test_the_share_of_silence(pauses: float) -> None:
    assert quality(speech_like(70.0, pauses=pauses)).silence_share == pytest.approx(
        pauses, abs=0.03
    )


def test_digital_silence_is_not_infinitely_quiet() -> None:
    wav = speech_like(200.0)
    assert 60 < quality(wav).snr_db < 101


def test_too_short_for_an_estimate() -> None:
    assert math.isnan(quality(speech_like(30.0, seconds=0.4)).snr_db)


def test_block_power_is_the_mean_square_without_the_mean() -> None:
    wav = speech_like(20.0, seconds=1.0) + np.float32(0.1)
    centred = wav.astype(np.float64) - wav.mean(dtype=np.float64)
    block = round(0.01 * RATE)
    expected = np.square(centred[: len(wav) // block * block].reshape(-1, block)).mean(axis=1)
    np.testing.assert_allclose(block_power(wav, RATE), expected, rtol=1e-4, atol=1e-9)
    assert len(block_power(wav[:3], RATE)) == 1


@pytest.mark.parametrize(
    ("wav", "flag"),
    [
        (speech_like(5.0), "noisy"),
        (speech_like(40.0, level=0.002), "quiet"),
        (speech_like(70.0, pauses=0.8), "mostly_silence"),
        (speech_like(40.0, seconds=0.4, pauses=0.0), "short"),
        ((20 * speech_like(40.0)).clip(-1, 1), "clipped"),
        (20 * speech_like(40.0), "over_full_scale"),
        (speech_like(40.0) + np.float32(0.05), "offset"),
    ],
)
def test_flags_fire_where_they_should(wav: Wav, flag: str) -> None:
    assert flag in flags(wav)
    assert flags(speech_like(40.0)) == set()


def test_texts_that_do_not_go_with_their_audio() -> None:
    rng = np.random.default_rng(0)
    rates = {
        f"u{i}": float(rate) for i, rate in enumerate(15 * np.exp(0.1 * rng.standard_normal(60)))
    }
    assert speaking_rate_flags(rates) == {}
    assert speaking_rate_flags({**rates, "long": 40.0, "cut": 4.0, "none": math.nan}) == {
        "long": "fast_text",
        "cut": "slow_text",
    }


def test_a_few_utterances_say_nothing() -> None:
    assert speaking_rate_flags({"a": 10.0, "b": 11.0, "c": 100.0}) == {}
