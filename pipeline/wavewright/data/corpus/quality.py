"""Quality of a recording, measured from its samples: numbers and flags."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from wavewright.audio.files import Wav
from wavewright.audio.levels import clipped_share
from wavewright.audio.loudness import SpeechLevel, decibels

_BLOCK = 0.01  # seconds
_SILENCE = 40.0  # dB below the loudest 50 ms from where a block counts as silence
_QUIETEST = 1e-10  # power, -100 dBFS: digital silence is not infinitely quiet

#: Thresholds of the flags.
QUIET_DBFS = -45.0
NOISY_DB = 15.0
SILENCE_SHARE = 0.6
CLIPPED_SHARE = 1e-3
OFFSET = 0.02
SHORT_SECONDS = 0.5
_ODD = 5.0  # robust standard deviations from the corpus's median speaking rate
_ENOUGH = 20  # utterances that make a median


@dataclass(frozen=True, slots=True)
class Quality:
    """Measures of one utterance as recorded, after trimming; NaN is not known.

    Attributes:
        level_dbfs: RMS of the active speech, the 50 ms within 30 dB of the loudest.
        peak_dbfs: level of the largest sample.
        snr_db: mean power of the active speech over the power that the quietest twentieth of the
            10 ms blocks stay below. It takes pauses for noise: without any it is too low. Not of
            less than half a second.
        silence_share: share of 10 ms blocks that are 40 dB below the loudest 50 ms.
        clipped_share: share of samples at full scale (`audio.levels`).
    """

    level_dbfs: float = math.nan
    peak_dbfs: float = math.nan
    snr_db: float = math.nan
    silence_share: float = math.nan
    clipped_share: float = math.nan


def block_power(wav: Wav, sample_rate: int) -> np.ndarray:
    """Mean power of every 10 ms block without the DC offset: (blocks,) float64, at least one."""
    block = min(max(1, round(_BLOCK * sample_rate)), len(wav))
    blocks = wav[: len(wav) // block * block].reshape(-1, block)
    mean = float(wav.mean(dtype=np.float64))
    # Within a block float32 sums are exact enough; the mean is taken off afterwards.
    squares = np.einsum("ij,ij->i", blocks, blocks).astype(np.float64) / block
    means = blocks.mean(axis=1, dtype=np.float64)
    power: np.ndarray = np.maximum(squares - 2 * mean * means + mean * mean, 0.0)
    return power


def measure_quality(wav: Wav, sample_rate: int, level: SpeechLevel) -> Quality:
    """Quality of (samples,) float32 whose level has been measured."""
    power = block_power(wav, sample_rate)
    noise = max(float(np.quantile(power, 0.05)), _QUIETEST)
    long_enough = len(power) * _BLOCK >= SHORT_SECONDS
    speech = max(level.energy / max(level.samples, 1), _QUIETEST)
    silent = power < level.loudest**2 * 10 ** (-_SILENCE / 10)
    return Quality(
        level_dbfs=10 * math.log10(speech),
        peak_dbfs=decibels(level.peak),
        snr_db=10 * math.log10(max(speech - noise, _QUIETEST) / noise) if long_enough else math.nan,
        silence_share=float(silent.mean()),
        clipped_share=clipped_share(wav),
    )


def quality_flags(wav: Wav, seconds: float, level: SpeechLevel, quality: Quality) -> Iterator[str]:
    """Flag the oddities of one utterance."""
    if level.peak > 1.0:
        yield "over_full_scale"
    elif quality.clipped_share > CLIPPED_SHARE:
        yield "clipped"
    if abs(float(wav.mean(dtype=np.float64))) > OFFSET:
        yield "offset"
    if quality.level_dbfs < QUIET_DBFS:
        yield "quiet"
    if quality.snr_db < NOISY_DB:
        yield "noisy"
    if quality.silence_share > SILENCE_SHARE:
        yield "mostly_silence"
    if seconds < SHORT_SECONDS:
        yield "short"


def speaking_rate_flags(rates: Mapping[str, float]) -> dict[str, str]:
    """Flags `fast_text` and `slow_text` by id, for texts that do not match the audio's length.

    Args:
        rates: characters per second by id. The corpus is its own measure: odd is what lies five
            robust standard deviations (of the logarithm) from the median. Few utterances, or
            utterances without text, have no measure.
    """
    logs = {name: math.log(rate) for name, rate in rates.items() if rate > 0}
    if len(logs) < _ENOUGH:
        return {}
    values = np.array(list(logs.values()))
    middle = float(np.median(values))
    spread = max(1.4826 * float(np.median(np.abs(values - middle))), 0.05)
    far = {name: (value - middle) / spread for name, value in logs.items()}
    return {
        name: "fast_text" if distance > 0 else "slow_text"
        for name, distance in far.items()
        if abs(distance) > _ODD
    }
