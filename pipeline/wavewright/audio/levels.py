"""Clipping and silence of a waveform, by the codes of 16-bit audio."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CLIPPED_LEVEL = 32766.5 / 32768
"""Magnitude from which a sample counts as clipped: it rounds to the last 16-bit code."""
SILENT_PEAK = 0.5 / 32768
"""Largest magnitude of a silent waveform: every sample rounds to the 16-bit code 0."""


def clipped_share(wav: npt.NDArray[np.floating]) -> float:
    """Share of the samples (samples,) at full scale, 0 to 1."""
    return float(np.mean(np.abs(wav) >= CLIPPED_LEVEL))


def is_silent(wav: npt.NDArray[np.floating]) -> bool:
    """True if all samples round to 0 in 16 bits."""
    return not np.any(np.abs(wav) > SILENT_PEAK)
