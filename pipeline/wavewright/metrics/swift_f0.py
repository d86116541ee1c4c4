"""Pitch and periodicity by SwiftF0, a small network that ships inside its package.

Source: Nieradzik 2025 (SwiftF0), arXiv:2508.18440; the package swift-f0. It runs at 16 kHz,
every 16 ms, from 47 Hz up to the ceiling of the other trackers, and adds no dither.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np

from wavewright.metrics.metric import Undefined
from wavewright.metrics.resampling import resample_clipped
from wavewright.metrics.world import CACHE_SIZE, CEILING, MIN_SECONDS, HashableWav

RATE = 16000
VOICED_CONFIDENCE = 0.5  # threshold between unvoiced and voiced frames


class SwiftTrack(NamedTuple):
    """F0 in Hz and periodicity in [0, 1], (frames,) each."""

    f0: np.ndarray
    periodicity: np.ndarray


@lru_cache(maxsize=CACHE_SIZE)
def swift_f0_track(wav: HashableWav) -> SwiftTrack:
    """SwiftF0's track of a waveform; F0 is 0 where unvoiced."""
    if len(wav.wav) < MIN_SECONDS * wav.sample_rate:
        raise Undefined(f"shorter than {MIN_SECONDS:g} s")
    resampled = resample_clipped(wav.wav, wav.sample_rate, RATE)
    track = _detector().detect(resampled, RATE, fmax=CEILING)
    voiced = track.confidence >= VOICED_CONFIDENCE
    return SwiftTrack(np.where(voiced, track.pitch_hz, 0.0), track.confidence)


@cache
def _detector() -> Any:
    from swift_f0 import SwiftF0

    return SwiftF0(threads=1)
