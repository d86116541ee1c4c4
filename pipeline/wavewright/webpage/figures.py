"""Pictures of reports: mel images as small WebP files, charts as inline SVG.

Charts have no colors of their own; the page's style sheet sets them, for light and dark.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

DARKEST, BRIGHTEST = -11.5, 2.0  # ln amplitude; the same in every image of every report
FARTHEST = 20.0  # dB either way; the same in every difference image of every report
_DECIBELS = 20 / math.log(10)  # of one unit of ln amplitude
_WIDEST_IMAGE = 480
_WEBP = {"quality": 78, "method": 4}
_MARKS = ("circle", "square", "triangle", "diamond", "cross")


def data_uri(kind: str, data: bytes) -> str:
    """`data:` address of a file's bytes."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def mel_image(mel: np.ndarray, darkest: float = DARKEST, brightest: float = BRIGHTEST) -> bytes:
    """Render a log-mel (n_mels, frames) as a WebP, magma between two values, low bands below."""
    return _image(mel, darkest, brightest, "magma")


def difference_image(candidate: np.ndarray, recording: np.ndarray) -> bytes:
    """Render the difference of two log-mels (ln amplitude) in dB, candidate less recording.

    Only frames that both have are drawn. Red is louder than the recording, blue quieter, white
    equal; the scale ends at `FARTHEST`.
    """
    frames = min(candidate.shape[1], recording.shape[1])
    gap = _DECIBELS * (candidate[:, :frames] - recording[:, :frames])
    return _image(gap, -FARTHEST, FARTHEST, "RdBu_r")


def _image(values: np.ndarray, low: float, high: float, colormap: str) -> bytes:
    from matplotlib.image import imsave

    step = max(1, math.ceil(values.shape[1] / _WIDEST_IMAGE))
    columns = np.array_split(values, max(1, values.shape[1] // step), axis=1)
    reduced = np.stack([column.mean(axis=1) for column in columns], axis=1)
    buffer = io.BytesIO()
    imsave(
        buffer,
        reduced,
        vmin=low,
        vmax=high,
        cmap=colormap,
        origin="lower",
        format="webp",
        pil_kwargs=_WEBP,
    )
    return buffer.getvalue()


def color_scale() -> bytes:
    """Color scale of `mel_image` from darkest to brightest, as a WebP."""
    return mel_image(np.tile(np.linspace(DARKEST, BRIGHTEST, 240), (8, 1)))


def difference_scale() -> bytes:
    """Color scale of `difference_image` from quieter to louder, as a WebP."""
    return _image(np.tile(np.linspace(-1, 1, 240), (8, 1)), -1, 1, "RdBu_r")


@dataclass(frozen=True)
class Axis:
    """Axis over [low, high] with round ticks, drawn between two pixels."""

    low: float
    high: float
    start: float
    stop: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Pixel of a value."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        share = (self._scaled(value) - low) / ((high - low) or 1.0)
        return round(self.start + share * (self.stop - self.start), 2)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.logarithmic else value

    def ticks(self) -> list[float]:
        """Round values within the axis: 1, 2, 5, 10 where it is logarithmic."""
        if self.logarithmic:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = [round(m * 10.0**power, 10) for power in powers for m in (1, 2, 5)]
            return [step for step in steps if self.low <= step <= self.high]
        span = (self.high - self.low) or 1.0
        power = 10.0 ** math.floor(math.log10(span))
        step = next(m * power for m in (0.1, 0.2, 0.25, 0.5, 1, 2) if span / (m * power) <= 7)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(i * step, 10) for i in range(first, last + 1)]


def training_curve(
    curves: Mapping[str, Sequence[tuple[int, float]]], levels: Mapping[str, float], unit: str
) -> Markup:
    """Chart of curves over training steps on a logarithmic scale, with constant levels.

    Args:
        curves: (step, positive value) points by name, in order of steps; none empty.
        levels: values that do not train, by name.
        unit: label of the vertical axis.
    """
    points = [point for curve in curves.values() for point in curve]
    values = [value for _, value in points] + list(levels.values())
    x = Axis(0, max(step for step, _ in points) or 1, 52, 450)
    lowest = max(min(values), 1e-3)
    y = Axis(lowest * 0.85, max(max(values), lowest) * 1.1, 258, 14, logarithmic=True)
    parts = [_grid(x, y, unit)]
    heights = _spread_labels({**levels, **{n: c[-1][1] for n, c in curves.items()}}, y)
    for name, level in levels.items():
        parts.append(
            Markup('<line class="level" x1="52" x2="450" y1="{0}" y2="{0}"/>').format(y.at(level))
        )
        parts.append(_end_label(name, level, heights[name], "level-label"))
    for index, (name, curve) in enumerate(curves.items()):
        path = " ".join(f"{x.at(step)},{y.at(value)}" for step, value in curve)
        parts.append(Markup('<polyline class="series s{0}" points="{1}"/>').format(index % 5, path))
        parts += [
            point_mark(index, x.at(s), y.at(v), f"{name}, step {s:,}: {v:.3f}") for s, v in curve
        ]
        parts.append(_end_label(name, curve[-1][1], heights[name], f"label s{index % 5}"))
    summary = "; ".join(
        [f"{n} goes from {c[0][1]:.3f} to {c[-1][1]:.3f}" for n, c in curves.items()]
        + [f"{n} stays at {v:.3f}" for n, v in levels.items()]
    )
    return svg_chart(610, 300, f"{unit} over training steps. {summary}.", parts)


def interval_chart(rows: Sequence[tuple[str, float, float | None, float | None]]) -> Markup:
    """Chart of means with their intervals, one row each: (name, mean, low, high)."""
    edges = [v for _, mean, low, high in rows for v in (mean, low, high) if v is not None]
    left = max(130, 14 + 7 * max(len(name) for name, *_ in rows))
    x = Axis(min(0, *edges), max(max(edges) * 1.05, 1e-9), left, left + 340)
    height = 34 + 30 * len(rows)
    floor = height - 28
    parts: list[Markup] = []
    for tick in x.ticks():
        parts.append(
            Markup(
                '<line class="grid" x1="{0}" x2="{0}" y1="6" y2="{1}"/>'
                '<text class="tick" x="{0}" y="{2}" text-anchor="middle">{3}</text>'
            ).format(x.at(tick), floor, floor + 18, f"{tick:g}")
        )
    for index, (name, mean, low, high) in enumerate(rows):
        y = 22 + 30 * index
        parts.append(
            Markup('<text class="name" x="{0}" y="{1}" text-anchor="end">{2}</text>').format(
                left - 12, y + 5, name
            )
        )
        if low is not None and high is not None:
            parts.append(
                Markup('<line class="interval" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>').format(
                    x.at(low), x.at(high), y
                )
            )
        parts.append(point_mark(0, x.at(mean), y, f"{name}: {mean:.3f}"))
    text = "; ".join(f"{name} {mean:.3f}" for name, mean, _, _ in rows)
    return svg_chart(left + 360, height, f"Means with 95 % intervals: {text}.", parts)


def svg_chart(width: int, height: int, title: str, parts: Sequence[Markup]) -> Markup:
    """Inline SVG that scales; `title` is its text alternative."""
    return Markup(
        '<svg class="chart" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" '
        'aria-label="{2}">{3}</svg>'
    ).format(width, height, title, Markup("").join(parts))


def _grid(x: Axis, y: Axis, unit: str) -> Markup:
    parts = [
        Markup(
            '<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>'
            '<text class="tick" x="{3}" y="{4}" text-anchor="end">{5}</text>'
        ).format(x.start, x.stop, y.at(tick), x.start - 8, y.at(tick) + 4, f"{tick:g}")
        for tick in y.ticks()
    ]
    parts += [
        Markup('<text class="tick" x="{0}" y="{1}" text-anchor="middle">{2}</text>').format(
            x.at(tick), y.start + 18, f"{tick:,.0f}"
        )
        for tick in x.ticks()
        if tick == int(tick)
    ]
    parts.append(
        Markup(
            '<text class="tick" x="{0}" y="{1}" text-anchor="middle">training step</text>'
            '<text class="tick" transform="translate(12 {2}) rotate(-90)" '
            'text-anchor="middle">{3}</text>'
        ).format((x.start + x.stop) / 2, y.start + 36, (y.start + y.stop) / 2, unit)
    )
    return Markup("").join(parts)


def _spread_labels(ends: Mapping[str, float], y: Axis, gap: float = 16.0) -> dict[str, float]:
    """Pixel heights for labels at the lines' ends, pushed apart so that none covers another."""
    heights: dict[str, float] = {}
    lowest = -math.inf
    for name, value in sorted(ends.items(), key=lambda item: y.at(item[1])):
        lowest = max(y.at(value), lowest + gap)
        heights[name] = lowest
    return heights


def _end_label(name: str, value: float, height: float, style: str) -> Markup:
    return Markup('<text class="{0}" x="460" y="{1}">{2} {3}</text>').format(
        style, height + 4, name, f"{value:.3f}"
    )


def point_mark(index: int, x: float, y: float, title: str) -> Markup:
    """Point in the shape of its series, so that color is not the only difference."""
    shape = _MARKS[index % len(_MARKS)]
    outline = {
        "square": f"M{x - 3.5} {y - 3.5}h7v7h-7z",
        "triangle": f"M{x} {y - 4.5}l4.5 8h-9z",
        "diamond": f"M{x} {y - 5}l5 5l-5 5l-5-5z",
        "cross": f"M{x - 4} {y - 1.2}h2.8v-2.8h2.4v2.8h2.8v2.4h-2.8v2.8h-2.4v-2.8h-2.8z",
    }
    tip = Markup("<title>{0}</title>").format(escape(title))
    if shape == "circle":
        return Markup('<circle class="mark s{0}" cx="{1}" cy="{2}" r="4">{3}</circle>').format(
            index % 5, x, y, tip
        )
    return Markup('<path class="mark s{0}" d="{1}">{2}</path>').format(
        index % 5, outline[shape], tip
    )
