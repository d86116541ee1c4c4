"""Pitch contours of the report: F0 by WORLD's dio and stonemask, drawn over each other.

They need pyworld; without it the report has no contours and says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from markupsafe import Markup

from wavewright.metrics.metric import Undefined

FLOOR, CEILING = 71.0, 800.0  # Hz; asked for less than its own 71, dio slips by octaves
STEP = 0.010  # seconds
_SHORTEST = 0.1  # seconds; WORLD was not made for less
_WIDTH, _HEIGHT = 1000, 100  # of a chart, in its own units: it is stretched to the mels' width
_ROOM = 1.3  # beyond the recordings' own range, as a factor


@dataclass(frozen=True)
class PitchContour:
    """F0 contour in Hz every 10 ms, (frames,), 0 where unvoiced, and the sound's duration."""

    hertz: np.ndarray
    seconds: float

    @property
    def voiced(self) -> np.ndarray:
        """F0 of the voiced frames in Hz."""
        return self.hertz[self.hertz > 0]

    @property
    def alt_text(self) -> str:
        """Text alternative of the drawn contour."""
        if not len(self.voiced):
            return "unvoiced throughout"
        share = len(self.voiced) / len(self.hertz)
        return f"median {np.median(self.voiced):.0f} Hz, {share:.0%} of the time voiced"


def pitch_available() -> bool:
    """True if pyworld is installed, so that contours can be computed."""
    return _world() is not None


def pitch_contour(wav: np.ndarray, sample_rate: int) -> PitchContour | None:
    """F0 of a waveform (samples,), float; None where pyworld is missing or the sound too short."""
    world = _world()
    if world is None or len(wav) < _SHORTEST * sample_rate:
        return None
    samples = np.ascontiguousarray(wav, dtype=np.float64)
    search = {"f0_floor": FLOOR, "f0_ceil": CEILING, "frame_period": 1000 * STEP}
    f0, times = world.dio(samples, sample_rate, **search)
    return PitchContour(world.stonemask(samples, f0, times, sample_rate), len(wav) / sample_rate)


def pitch_range(contours: Sequence[PitchContour | None]) -> tuple[float, float]:
    """Range in Hz that all charts of a page share, from its recordings."""
    voiced = np.concatenate([np.zeros(0), *(c.voiced for c in contours if c is not None)])
    if not len(voiced):
        return FLOOR, CEILING
    low, high = np.percentile(voiced, [5, 95])
    return max(FLOOR, float(low) / _ROOM), min(CEILING, float(high) * _ROOM)


def contour_chart(
    recording: PitchContour | None,
    system: PitchContour | None,
    limits: tuple[float, float],
    name: str,
) -> Markup:
    """Chart of both contours over the sound's length, logarithmic in Hz; empty without any.

    Args:
        recording: drawn as a broad line; None where its timing is another.
        system: drawn as a thin line; None in the recording's own chart.
        limits: lowest and highest F0 in Hz; what lies beyond is cut off.
        name: the system's name, for the text alternative.
    """
    both = [("natural", recording, "recording"), ("candidate", system, name)]
    lines = [(style, one, who) for style, one, who in both if one is not None]
    if not lines:
        return Markup("")
    paths = Markup("").join(
        Markup('<path class="{0}" d="{1}"/>').format(style, _path(one, limits))
        for style, one, _ in lines
    )
    text = "; ".join(f"{who}: {one.alt_text}" for _, one, who in lines)
    return Markup(
        '<svg class="contour" viewBox="0 0 {0} {1}" preserveAspectRatio="none" role="img" '
        'aria-label="Pitch from {2:.0f} to {3:.0f} Hz. {4}">{5}</svg>'
    ).format(_WIDTH, _HEIGHT, *limits, text, paths)


def _path(one: PitchContour, limits: tuple[float, float]) -> str:
    """SVG path through the voiced frames, broken where there is no pitch."""
    low, high = limits
    parts, pen_down = [], False
    for index, hertz in enumerate(one.hertz):
        if low <= hertz <= high:
            x = min(_WIDTH, round(_WIDTH * index * STEP / one.seconds))
            y = round(_HEIGHT * (1 - math.log(hertz / low) / math.log(high / low)))
            parts.append(f"{'L' if pen_down else 'M'}{x} {y}")
        pen_down = bool(low <= hertz <= high)
    return "".join(parts)


@cache
def _world() -> Any:
    """Compiled module of pyworld; None where it cannot be imported."""
    from wavewright.metrics import world

    if find_spec("pyworld") is None:
        return None
    try:
        return world.load_pyworld()
    except Undefined:
        return None
