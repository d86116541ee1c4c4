"""Resampling for metrics that work at one fixed sample rate."""

from __future__ import annotations

import numpy as np

from wavewright.audio.files import resample


def resample_clipped(wav: np.ndarray, sample_rate: int, target_rate: int) -> np.ndarray:
    """Clip to [-1, 1], as a wav file does, then resample; float32 within [-1, 1].

    Resampling can overshoot. That is no distortion of the waveform itself, so the result is scaled
    down to [-1, 1] instead of being clipped again.

    Args:
        wav: (samples,).
        sample_rate: rate of `wav` in Hz.
        target_rate: rate of the result in Hz.
    """
    clipped = np.clip(wav, -1.0, 1.0).astype(np.float32)
    resampled = resample(clipped, sample_rate, target_rate)
    scaled: np.ndarray = resampled / max(1.0, float(np.abs(resampled).max(initial=0.0)))
    return scaled
