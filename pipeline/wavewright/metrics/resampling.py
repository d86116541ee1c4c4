"""A waveform as a metric with a sample rate of its own hears it."""

from __future__ import annotations

import numpy as np

from wavewright.audio.files import resample


def heard_at(rate: int, wav: np.ndarray, sample_rate: int) -> np.ndarray:
    """(samples,) at `sample_rate` Hz to float32 at `rate` Hz within [-1, 1].

    What is beyond the scale is clipped first, as in a file; it never wraps. What resampling adds to
    that is no distortion of the waveform's own, so it is scaled back.
    """
    heard = resample(np.clip(wav, -1.0, 1.0).astype(np.float32), sample_rate, rate)
    scaled: np.ndarray = heard / max(1.0, float(np.abs(heard).max(initial=0.0)))
    return scaled
