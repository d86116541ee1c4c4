"""Readings of a mel file: its layout, its scale, and the padding at its ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavewright.mel.spec import MelSpec

Values = npt.NDArray[np.float64]
_USUAL_BANDS = {40, 64, 80, 100, 120, 128}


@dataclass(frozen=True)
class MelReading:
    """Reading of a mel file: (n_mels, frames) without constant frames at its ends."""

    values: Values
    layout: str
    linear: bool
    """True if the file holds linear magnitudes; `values` are their logarithms."""
    before: tuple[float, ...] = ()
    """Values of the constant frames that were cut before the first frame."""
    after: tuple[float, ...] = ()

    @property
    def bands(self) -> int:
        """Number of mel bands."""
        return len(self.values)


def mel_readings(array: npt.NDArray[np.floating], *, linear: bool = True) -> list[MelReading]:
    """Possible readings of a mel file, likely ones first.

    Args:
        array: (rows, columns) as the file has it.
        linear: also read values that are nowhere negative as linear magnitudes.
    """
    values = array.astype(np.float64)
    infinite = np.isneginf(values)
    if infinite.any() and not infinite.all():
        values = np.where(infinite, values[~infinite].min(), values)
    both = [("bands_first", values), ("frames_first", values.T)]
    usual_bands = _USUAL_BANDS | band_counts()
    likely = [pair for pair in both if pair[1].shape[0] in usual_bands]
    if len(likely) == 2 and values.shape[0] != values.shape[1]:
        likely.sort(key=lambda pair: roughness(pair[1]))
    candidates = [_cut(oriented, layout, False) for layout, oriented in likely or both]
    if linear and values.min() >= 0:
        positive = values[values > 0]
        least = float(positive.min()) if positive.size else 1.0
        candidates += [
            _cut(np.log(np.maximum(oriented, least)), layout, True) for layout, oriented in likely
        ]
    return [reading for reading in candidates if reading.values.shape[1] >= 4]


def band_counts() -> set[int]:
    """Band counts of the presets."""
    return {MelSpec.preset(name).n_mels for name in MelSpec.presets()}


def roughness(values: Values) -> float:
    """Ratio of changes along frames to changes along bands; below 1 for speech, bands first.

    The mean spectrum is removed first, since its slope is the same in all frames.
    """
    even = values - values.mean(axis=1, keepdims=True)
    along = np.abs(np.diff(values, axis=1)).mean()
    across = np.abs(np.diff(values, axis=0)).mean()
    slope = np.abs(np.diff(even, axis=0)).mean()
    return float(along / max(min(across, slope), 1e-12))


def _cut(values: Values, layout: str, linear: bool) -> MelReading:
    even = np.ptp(values, axis=0) < 1e-6
    if even.all():
        return MelReading(values, layout, linear)
    first, last = int(np.argmin(even)), len(even) - int(np.argmin(even[::-1]))
    return MelReading(
        values[:, first:last],
        layout,
        linear,
        tuple(values[0, :first].tolist()),
        tuple(values[0, last:].tolist()),
    )
