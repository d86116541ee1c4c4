"""A waveform as a metric with a sample rate of its own hears it."""

from __future__ import annotations

import numpy as np

from wavewright.audio import resample


def heard_at(rate: int, wav: np.ndarray, sample_rate: int) -> np.ndarray:
    """(samples,) at `sample_rate` Hz to float32 at `rate` Hz within [-1, 1], clipped, not wrapped.

    Resampling overshoots the ends of the scale at a clipped sample.
    """
    heard = resample(wav.astype(np.float32), sample_rate, rate)
    return np.clip(heard, -1.0, 1.0)
