"""Pitch contours of the report: F0 by WORLD's dio and stonemask, drawn over each other.

They need pyworld; where it is missing the report goes without and says so.
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
class Contour:
    """F0 in Hz every 10 ms, (frames,), 0 where unvoiced, of a sound of so many seconds."""

    hertz: np.ndarray
    seconds: float

    @property
    def voiced(self) -> np.ndarray:
        """The voiced frames' F0."""
        return self.hertz[self.hertz > 0]

    @property
    def words(self) -> str:
        """For those who cannot see it."""
        if not len(self.voiced):
            return "unvoiced throughout"
        share = len(self.voiced) / len(self.hertz)
        return f"median {np.median(self.voiced):.0f} Hz, {share:.0%} of the time voiced"


def available() -> bool:
    """Whether contours can be found here."""
    return _world() is not None


def contour(wav: np.ndarray, sample_rate: int) -> Contour | None:
    """F0 of a waveform (samples,), float; None where pyworld is missing or the sound too short."""
    world = _world()
    if world is None or len(wav) < _SHORTEST * sample_rate:
        return None
    samples = np.ascontiguousarray(wav, dtype=np.float64)
    search = {"f0_floor": FLOOR, "f0_ceil": CEILING, "frame_period": 1000 * STEP}
    f0, times = world.dio(samples, sample_rate, **search)
    return Contour(world.stonemask(samples, f0, times, sample_rate), len(wav) / sample_rate)


def span(contours: Sequence[Contour | None]) -> tuple[float, float]:
    """The range in Hz that all charts of a page share, from its recordings."""
    voiced = np.concatenate([np.zeros(0), *(c.voiced for c in contours if c is not None)])
    if not len(voiced):
        return FLOOR, CEILING
    low, high = np.percentile(voiced, [5, 95])
    return max(FLOOR, float(low) / _ROOM), min(CEILING, float(high) * _ROOM)


def chart(
    recording: Contour | None, system: Contour | None, limits: tuple[float, float], name: str
) -> Markup:
    """Both contours over the length of the sound, on a logarithmic scale; empty without any.

    Args:
        recording: drawn as a broad line; None where its timing is another.
        system: drawn as a thin line; None in the recording's own chart.
        limits: lowest and highest F0 in Hz; what lies beyond is cut off.
        name: whose it is, for those who cannot see it.
    """
    both = [("natural", recording, "recording"), ("candidate", system, name)]
    lines = [(style, one, who) for style, one, who in both if one is not None]
    if not lines:
        return Markup("")
    paths = Markup("").join(
        Markup('<path class="{0}" d="{1}"/>').format(style, _path(one, limits))
        for style, one, _ in lines
    )
    words = "; ".join(f"{who}: {one.words}" for _, one, who in lines)
    return Markup(
        '<svg class="contour" viewBox="0 0 {0} {1}" preserveAspectRatio="none" role="img" '
        'aria-label="Pitch from {2:.0f} to {3:.0f} Hz. {4}">{5}</svg>'
    ).format(_WIDTH, _HEIGHT, *limits, words, paths)


def _path(one: Contour, limits: tuple[float, float]) -> str:
    """A line through the voiced frames, broken where there is no pitch."""
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
    """The compiled part of pyworld, or None."""
    from wavewright.metrics import world

    if find_spec("pyworld") is None:
        return None
    try:
        return world.compiled()
    except Undefined:
        return None
