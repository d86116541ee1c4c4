"""Triangular filters on a mel scale, to the last bit those of librosa.

They need NumPy alone; librosa's module brings all of SciPy's signal processing and statistics,
which every process that computes a mel would load. Sources of the scales: Slaney's Auditory Toolbox
(1998), and O'Shaughnessy's formula as the HTK Book has it.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

MelScale = Literal["slaney", "htk"]
_LINEAR = 200.0 / 3  # Hz per mel of Slaney's scale below its bend
_BEND_HZ = 1000.0
_BEND_MEL = _BEND_HZ / _LINEAR
_LOG_STEP = np.log(6.4) / 27.0  # of Slaney's scale above the bend


def mel_frequencies(
    count: int, fmin: float, fmax: float, scale: MelScale = "slaney"
) -> npt.NDArray[np.float64]:
    """Frequencies (count,) in Hz, evenly spaced on a mel scale from `fmin` to `fmax`."""
    mels = np.linspace(_hz_to_mel(fmin, scale), _hz_to_mel(fmax, scale), count)
    if scale == "htk":
        return np.asarray(700.0 * (10.0 ** (mels / 2595.0) - 1.0))
    above = mels >= _BEND_MEL
    frequencies = _LINEAR * mels
    frequencies[above] = _BEND_HZ * np.exp(_LOG_STEP * (mels[above] - _BEND_MEL))
    return frequencies


def triangular_filters(
    sample_rate: int,
    n_fft: int,
    n_mels: int,
    *,
    fmin: float,
    fmax: float | None,
    scale: MelScale,
    norm: Literal["slaney"] | None,
) -> npt.NDArray[np.float32]:
    """Filters (n_mels, 1 + n_fft // 2), each from its neighbours' centers to its own.

    Args:
        sample_rate: in Hz.
        n_fft: samples per frame.
        n_mels: number of bands.
        fmin: lower edge of the first band, in Hz.
        fmax: upper edge of the last band, in Hz; None is half the sample rate.
        scale: mel scale of the edges.
        norm: "slaney" gives every band the same area; with None its peak is 1.
    """
    edges = mel_frequencies(n_mels + 2, fmin, sample_rate / 2 if fmax is None else fmax, scale)
    distances = np.subtract.outer(edges, np.fft.rfftfreq(n_fft, 1.0 / sample_rate))
    widths = np.diff(edges)[:, None]
    rising = -distances[:-2] / widths[:-1]
    falling = distances[2:] / widths[1:]
    filters: npt.NDArray[np.float32]
    filters = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    if norm == "slaney":
        filters *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    empty = int(((filters.max(axis=1) == 0) & (edges[:-2] != 0)).sum())
    if empty:
        warnings.warn(
            f"{empty} of {n_mels} mel bands hold no FFT bin and stay silent; raise n_fft or lower "
            "n_mels",
            stacklevel=2,
        )
    return filters


def _hz_to_mel(frequency: float, scale: MelScale) -> Any:
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + frequency / 700.0)
    if frequency >= _BEND_HZ:
        return _BEND_MEL + np.log(frequency / _BEND_HZ) / _LOG_STEP
    return frequency / _LINEAR
