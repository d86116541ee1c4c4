"""Charts of the data report: histograms, bars, ranges and waveforms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from wavewright.webpage.figures import Axis, svg_chart
from wavewright.webpage.render import printable

Floats = npt.NDArray[np.float64]
_MOST_BARS = 30
_WIDTH, _HEIGHT = 340, 170
_WIDE, _NAMES = 500, 156  # of bars and ranges; where names end
_COLUMNS = 240  # of a waveform
_LONGEST_NAME = 16


@dataclass(frozen=True)
class Bins:
    """Counts of values in bins of one width, without the few that lie far from all others.

    Attributes:
        edges: (bins + 1,) rising.
        counts: (bins,).
        below, above: number of values beyond the first and the last edge.
    """

    edges: Floats
    counts: npt.NDArray[np.int64]
    below: int
    above: int


def round_step(span: float, most: int) -> float:
    """Smallest of 1, 2, 2.5 and 5 times a power of ten that divides `span` into at most `most`."""
    power = 10.0 ** math.floor(math.log10(span / most))
    return next(m * power for m in (1, 2, 2.5, 5, 10, 20) if span / (m * power) <= most)


def common_edges(values: Floats, most: int = _MOST_BARS) -> Floats:
    """Edges of up to `most` bins: over all values, or the middle 99 % where few lie far out."""
    low, high = (float(edge) for edge in np.quantile(values, (0.005, 0.995)))
    reach = (high - low) or max(abs(low), 1.0) * 0.1
    least, largest = float(values.min()), float(values.max())
    low = least if low - least <= 0.5 * reach else low
    high = largest if largest - high <= 0.5 * reach else high
    step = round_step((high - low) or reach, max(most - 1, 1))
    first, last = math.floor(low / step + 1e-6), math.floor(high / step + 1e-6) + 1
    return np.round(np.arange(first, last + 1) * step, 10)


def binned(values: Floats, edges: Floats) -> Bins:
    """Count values from `edges[0]` to before `edges[-1]`."""
    counts, _ = np.histogram(values, edges)
    # numpy counts the last edge as inside.
    below, above = int((values < edges[0]).sum()), int((values > edges[-1]).sum())
    return Bins(edges, counts.astype(np.int64), below, above)


def histogram(
    values: Floats, unit: str, label: str, *, before: Floats | None = None
) -> tuple[Markup, Bins]:
    """Bars over up to 30 bins with a line at the median.

    Args:
        values: (n,) finite, at least one.
        unit: written under the axis.
        label: text alternative of the picture.
        before: other values of the same quantity, drawn as an outline.
    """
    values = np.round(values, 9)  # what was computed to be 0.1 is not a little less
    together = values if before is None else np.concatenate([values, before])
    edges = common_edges(together, min(_MOST_BARS, math.ceil(3 * math.sqrt(len(values)))))
    bins = binned(values, edges)
    outline = None if before is None else binned(before, edges).counts
    highest = max(int(bins.counts.max()), 1, 0 if outline is None else int(outline.max()))
    x = Axis(float(edges[0]), float(edges[-1]), 44, _WIDTH - 18)
    y = Axis(0, highest * 1.04, _HEIGHT - 36, 8)
    parts = [_frame(x, y, unit)]
    parts += [_bar(x, y, bins, int(index), unit) for index in np.flatnonzero(bins.counts)]
    if outline is not None:
        parts.append(_steps(x, y, edges, outline))
    middle = x.at(min(max(float(np.median(values)), x.low), x.high))
    parts.append(
        Markup('<line class="middle" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(
            middle, y.stop, y.start
        )
    )
    return svg_chart(_WIDTH, _HEIGHT, label, parts), bins


def _frame(x: Axis, y: Axis, unit: str) -> Markup:
    heights = [tick for tick in y.ticks() if tick == int(tick)]
    parts = [
        Markup(
            '<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>'
            '<text class="tick" x="{3}" y="{4}" text-anchor="end">{5}</text>'
        ).format(x.start, x.stop, y.at(tick), x.start - 6, y.at(tick) + 4, f"{tick:,.0f}")
        for tick in heights[:: 1 + len(heights) // 5]
    ]
    places = x.ticks()
    parts += [
        Markup('<text class="tick" x="{0}" y="{1}" text-anchor="middle">{2}</text>').format(
            x.at(tick), y.start + 15, f"{tick:g}".replace("-", "\u2212")
        )
        for tick in places
    ]
    parts.append(
        Markup('<text class="tick" x="{0}" y="{1}" text-anchor="middle">{2}</text>').format(
            (x.start + x.stop) / 2, y.start + 32, unit
        )
    )
    return Markup("").join(parts)


def _bar(x: Axis, y: Axis, bins: Bins, index: int, unit: str) -> Markup:
    start, stop = float(bins.edges[index]), float(bins.edges[index + 1])
    count = int(bins.counts[index])
    left, top = x.at(start), min(y.at(count), y.start - 1.0)  # one utterance is still seen
    return Markup(
        '<rect class="bar" x="{0}" y="{1}" width="{2}" height="{3}"><title>{4}</title></rect>'
    ).format(
        left,
        top,
        round(max(x.at(stop) - left - 0.8, 0.5), 2),
        round(y.start - top, 2),
        f"{start:g} to {stop:g} {unit}: {count:,}",
    )


def _steps(x: Axis, y: Axis, edges: Floats, counts: npt.NDArray[np.int64]) -> Markup:
    points = [f"{x.at(float(edges[0]))},{y.start}"]
    for start, stop, count in zip(edges, edges[1:], counts, strict=False):
        height = y.at(int(count))
        points += [f"{x.at(float(start))},{height}", f"{x.at(float(stop))},{height}"]
    points.append(f"{x.at(float(edges[-1]))},{y.start}")
    return Markup('<polyline class="outline" points="{0}"/>').format(" ".join(points))


def bars(rows: Sequence[tuple[str, float, str]], label: str) -> Markup:
    """Horizontal bars from zero, one row each: (name, length, label at its end)."""
    x = Axis(0, max([length for _, length, _ in rows] + [1e-12]), _NAMES, 280)
    parts = []
    for index, (name, length, note) in enumerate(rows):
        top = 4 + 24 * index
        parts.append(
            Markup(
                '<text class="name" x="{6}" y="{0}" text-anchor="end">{1}</text>'
                '<rect class="bar" x="{7}" y="{2}" width="{3}" height="16"/>'
                '<text class="tick" x="{4}" y="{0}">{5}</text>'
            ).format(
                top + 13,
                _short(name),
                top,
                max(round(x.at(length) - _NAMES, 2), 1),
                x.at(length) + 8,
                note,
                _NAMES - 8,
                _NAMES,
            )
        )
    return svg_chart(_WIDE, 8 + 24 * len(rows), label, parts)


def ranges(rows: Sequence[tuple[str, float, float, float]], unit: str, label: str) -> Markup:
    """Dots with lines around them on an axis from zero: (name, low, middle, high)."""
    x = Axis(0, max(high for *_, high in rows) * 1.03, _NAMES, _WIDE - 20)
    floor = 10 + 26 * len(rows)
    parts = [
        Markup(
            '<line class="grid" x1="{0}" x2="{0}" y1="4" y2="{1}"/>'
            '<text class="tick" x="{0}" y="{2}" text-anchor="middle">{3}</text>'
        ).format(x.at(tick), floor, floor + 16, f"{tick:g}")
        for tick in x.ticks()
    ]
    for index, (name, low, middle, high) in enumerate(rows):
        y = 18 + 26 * index
        parts.append(
            Markup(
                '<text class="name" x="{6}" y="{0}" text-anchor="end">{1}</text>'
                '<line class="interval" x1="{2}" x2="{3}" y1="{4}" y2="{4}"/>'
                '<circle class="mark s0" cx="{5}" cy="{4}" r="4.5"/>'
            ).format(
                y + 4,
                _short(name),
                x.at(low),
                x.at(high),
                y,
                x.at(middle),
                _NAMES - 8,
            )
        )
    parts.append(
        Markup('<text class="tick" x="{2}" y="{0}" text-anchor="middle">{1}</text>').format(
            floor + 34, unit, (x.start + x.stop) / 2
        )
    )
    return svg_chart(_WIDE, floor + 42, label, parts)


def _short(name: str) -> str:
    """A name that fits before its bar."""
    text = printable(name)
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…"


def waveform(pcm: npt.NDArray[np.int16], label: str) -> Markup:
    """The range that the samples (n,) take in each of up to 240 columns, at full scale."""
    columns = np.array_split(pcm.astype(np.int32), min(_COLUMNS, max(1, len(pcm))))
    tops = [32 - round(int(column.max()) / 1024) for column in columns]
    floors = [32 - round(int(column.min()) / 1024) for column in columns]
    there = [f"{index} {top}" for index, top in enumerate(tops)]
    back = [f"{index} {floor + 1}" for index, floor in reversed(list(enumerate(floors)))]
    return Markup(
        '<svg class="waveform" viewBox="0 -1 {0} 67" preserveAspectRatio="none" role="img" '
        'aria-label="{1}"><path d="M{2}Z"/></svg>'
    ).format(len(columns) - 1 or 1, label, "L".join(there + back))
