"""A mel as it was given: which way round, and what is padding at its ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavewright.mel.spec import MelSpec

Values = npt.NDArray[np.float64]
_USUAL_BANDS = {40, 64, 80, 100, 120, 128}


@dataclass(frozen=True)
class Given:
    """One reading of a mel file: (n_mels, frames) without constant frames at its ends."""

    values: Values
    layout: str
    linear: bool
    """The values were linear magnitudes; here they are logarithms."""
    before: tuple[float, ...] = ()
    """Values of the constant frames that were cut off before the first frame."""
    after: tuple[float, ...] = ()

    @property
    def bands(self) -> int:
        """Number of mel bands."""
        return len(self.values)


def readings(array: npt.NDArray[np.floating], *, linear: bool = True) -> list[Given]:
    """The readings that are possible, likely ones first.

    Args:
        array: (rows, columns) as the file has it.
        linear: also read values that are nowhere negative as linear magnitudes.
    """
    values = array.astype(np.float64)
    lost = np.isneginf(values)
    if lost.any() and not lost.all():
        values = np.where(lost, values[~lost].min(), values)
    both = [("bands_first", values), ("frames_first", values.T)]
    known = _USUAL_BANDS | band_counts()
    likely = [pair for pair in both if pair[1].shape[0] in known]
    if len(likely) == 2 and values.shape[0] != values.shape[1]:
        likely.sort(key=lambda pair: roughness(pair[1]))
    made = [_cut(turned, layout, False) for layout, turned in likely or both]
    if linear and values.min() >= 0:
        positive = values[values > 0]
        least = float(positive.min()) if positive.size else 1.0
        made += [_cut(np.log(np.maximum(turned, least)), layout, True) for layout, turned in likely]
    return [given for given in made if given.values.shape[1] >= 4]


def band_counts() -> set[int]:
    """Numbers of bands that presets have."""
    return {MelSpec.preset(name).n_mels for name in MelSpec.presets()}


def roughness(values: Values) -> float:
    """How much a step along the frames changes, beside a step along the bands; speech is < 1.

    Bands of a frame differ by the spectrum's slope, which stays; so it is taken away first.
    """
    even = values - values.mean(axis=1, keepdims=True)
    along = np.abs(np.diff(values, axis=1)).mean()
    across = np.abs(np.diff(values, axis=0)).mean()
    slope = np.abs(np.diff(even, axis=0)).mean()
    return float(along / max(min(across, slope), 1e-12))


def _cut(values: Values, layout: str, linear: bool) -> Given:
    even = np.ptp(values, axis=0) < 1e-6
    if even.all():
        return Given(values, layout, linear)
    first, last = int(np.argmin(even)), len(even) - int(np.argmin(even[::-1]))
    return Given(
        values[:, first:last],
        layout,
        linear,
        tuple(values[0, :first].tolist()),
        tuple(values[0, last:].tolist()),
    )
