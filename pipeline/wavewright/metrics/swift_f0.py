"""Pitch and periodicity by SwiftF0: a small network that comes inside its package.

Source: Nieradzik 2025 (SwiftF0), arXiv:2508.18440; the package swift-f0. It hears at 16 kHz, looks
every 16 ms from 47 Hz up to where the other trackers end, and adds no dither.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np

from wavewright.metrics.metric import Undefined
from wavewright.metrics.resampling import heard_at
from wavewright.metrics.world import CEILING, KEPT, SHORTEST, Sound

RATE = 16000
VOICED = 0.5  # the network is calibrated so that this confidence divides voiced from unvoiced


class SwiftTrack(NamedTuple):
    """F0 in Hz and periodicity in [0, 1], (frames,) each."""

    f0: np.ndarray
    periodicity: np.ndarray


@lru_cache(maxsize=KEPT)
def swift_track(sound: Sound) -> SwiftTrack:
    """What SwiftF0 finds; F0 is 0 where unvoiced."""
    if len(sound.wav) < SHORTEST * sound.sample_rate:
        raise Undefined(f"shorter than {SHORTEST:g} s")
    heard = heard_at(RATE, sound.wav, sound.sample_rate)
    found = _detector().detect(heard, RATE, fmax=CEILING)
    voiced = found.confidence >= VOICED
    return SwiftTrack(np.where(voiced, found.pitch_hz, 0.0), found.confidence)


@cache
def _detector() -> Any:
    from swift_f0 import SwiftF0

    return SwiftF0(threads=1)
