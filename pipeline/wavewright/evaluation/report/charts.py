"""Charts that compare systems: forest plots of paired differences, and speed against quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from wavewright.evaluation.report.formatting import (
    MINUS,
    decimal_places,
    format_fixed,
    format_interval,
    format_p,
)
from wavewright.evaluation.report.pairwise import SystemPair
from wavewright.evaluation.results import MetricInfo
from wavewright.webpage.figures import Axis, point_mark, svg_chart

_LETTER = 6.9  # pixels that a letter of 13 pixels is wide, on average
_LONGEST_NAME = 20
_ROW = 26
_PLOT = 290


@dataclass(frozen=True)
class SpeedPoint:
    """A system in the scatter plot: its real-time factor, mean and interval.

    `index` is the system's among all; it has the same mark and color in every plot.
    """

    name: str
    index: int
    factor: float
    mean: float
    low: float | None
    high: float | None


def forest_plot(pairs: Sequence[SystemPair], metric: MetricInfo) -> Markup:
    """Forest plot of mean paired differences with their intervals, one row for each pair.

    Full marks are significant differences, hollow ones are not.
    """
    edges = [v for pair in pairs for v in (pair.mean, pair.low, pair.high) if v is not None]
    low, high = min(0.0, *edges), max(0.0, *edges)
    room = 0.04 * ((high - low) or 1.0)
    names = [f"{_short(p.better.title)} {MINUS} {_short(p.worse.title)}" for p in pairs]
    left = 14 + _LETTER * max(map(len, names))
    x = Axis(low - room, high + room, left, left + _PLOT)
    floor = 10 + _ROW * len(pairs)
    texts = [
        f"{name}: {_pair_text(pair, decimal_places(edges))}"
        for name, pair in zip(names, pairs, strict=True)
    ]
    parts = [_ticks(x, floor), _zero(x, floor)]
    for index, pair in enumerate(pairs):
        y = 22 + _ROW * index
        parts += [
            _label(left - 12, y, names[index], "name", "end"),
            _line(x, y, pair.low, pair.high),
        ]
        parts.append(_dot(x.at(pair.mean), y, pair.significant, texts[index]))
    unit = f"difference in {_unit(metric)}"
    parts.append(_label((x.start + x.stop) / 2, floor + 34, unit, "tick", "middle"))
    title = f"Paired differences in {metric.title}. {'; '.join(texts)}."
    return svg_chart(round(left + _PLOT + 24), floor + 44, title, parts)


def scatter_plot(points: Sequence[SpeedPoint], metric: MetricInfo) -> Markup:
    """Scatter plot of quality against real-time factor, logarithmic, faster to the left."""
    factors = [point.factor for point in points]
    x = Axis(min([*factors, 0.5]) / 1.6, max([*factors, 1.0]) * 1.6, 64, 470, logarithmic=True)
    edges = [v for p in points for v in (p.mean, p.low, p.high) if v is not None]
    room = 0.12 * ((max(edges) - min(edges)) or 1.0)
    y = Axis(min(edges) - room, max(edges) + room, 262, 16)
    parts = [_levels(y, x), _powers(x, 262)]
    heights = _label_heights(points, y)
    for index, point in enumerate(points):
        parts.append(_whisker(x.at(point.factor), y, point))
        text = f"{point.name}: real-time factor {point.factor:.3g}, {metric.title} {point.mean:.3f}"
        parts.append(point_mark(point.index, x.at(point.factor), y.at(point.mean), text))
        side = x.at(point.factor) > 340
        parts.append(
            _label(
                x.at(point.factor) + (-11 if side else 11),
                heights[index],
                _short(point.name),
                f"label s{point.index % 5}",
                "end" if side else "start",
            )
        )
    parts.append(
        _label(267, 302, "real-time factor (logarithmic; left is faster)", "tick", "middle")
    )
    better = "down" if metric.direction == "lower" else "up"
    parts.append(
        Markup(
            '<text class="tick" transform="translate(14 139) rotate(-90)" '
            'text-anchor="middle">{0}</text>'
        ).format(f"{_unit(metric)} ({better} is better)")
    )
    values = "; ".join(f"{p.name} {p.factor:.3g} and {p.mean:.3f}" for p in points)
    return svg_chart(490, 312, f"Real-time factor and {metric.title}: {values}.", parts)


def _pair_text(pair: SystemPair, places: int) -> str:
    ends = (
        ""
        if pair.low is None or pair.high is None
        else f" {format_interval(pair.low, pair.high, places, signed=True)}"
    )
    p = "" if pair.corrected is None else f", p {_equals(pair.corrected)}"
    return f"{format_fixed(pair.mean, places, signed=True)}{ends}{p}"


def _dot(x: float, y: float, significant: bool, title: str) -> Markup:
    return Markup(
        '<circle class="dot {0}" cx="{1}" cy="{2}" r="4.5"><title>{3}</title></circle>'
    ).format("apart" if significant else "alike", x, y, title)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _unit(metric: MetricInfo) -> str:
    return f"{metric.title}, {metric.unit}" if metric.unit else metric.title


def _equals(p: float) -> str:
    text = format_p(p)
    return text if text.startswith("<") else f"= {text}"


def _label(x: float, y: float, text: str, style: str, anchor: str) -> Markup:
    return Markup('<text class="{0}" x="{1:.1f}" y="{2:.1f}" text-anchor="{3}">{4}</text>').format(
        style, x, y + 4, anchor, text
    )


def _ticks(x: Axis, floor: float) -> Markup:
    return Markup("").join(
        Markup(
            '<line class="grid" x1="{0}" x2="{0}" y1="6" y2="{1}"/>'
            '<text class="tick" x="{0}" y="{2}" text-anchor="middle">{3}</text>'
        ).format(x.at(tick), floor, floor + 16, f"{tick:g}".replace("-", MINUS))
        for tick in x.ticks()
    )


def _zero(x: Axis, floor: float) -> Markup:
    return Markup('<line class="zero" x1="{0}" x2="{0}" y1="6" y2="{1}"/>').format(x.at(0), floor)


def _line(x: Axis, y: float, low: float | None, high: float | None) -> Markup:
    if low is None or high is None:
        return Markup("")
    return Markup('<line class="interval" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>').format(
        x.at(low), x.at(high), y
    )


def _whisker(x: float, y: Axis, point: SpeedPoint) -> Markup:
    if point.low is None or point.high is None:
        return Markup("")
    return Markup('<line class="whisker" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(
        x, y.at(point.low), y.at(point.high)
    )


def _levels(y: Axis, x: Axis) -> Markup:
    return Markup("").join(
        Markup(
            '<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>'
            '<text class="tick" x="{3}" y="{4}" text-anchor="end">{5}</text>'
        ).format(x.start, x.stop, y.at(tick), x.start - 8, y.at(tick) + 4, f"{tick:g}")
        for tick in y.ticks()
    )


def _powers(x: Axis, floor: float) -> Markup:
    """Ticks at the powers of ten, or at 1, 2, 5 where there would be fewer than three."""
    ticks = x.ticks()
    powers = [tick for tick in ticks if f"{tick:e}".startswith("1.0")]
    lines = [
        Markup('<text class="tick" x="{0}" y="{1}" text-anchor="middle">{2}</text>').format(
            x.at(tick), floor + 18, f"{tick:g}"
        )
        for tick in (powers if len(powers) > 2 else ticks)
    ]
    lines.append(
        Markup(
            '<line class="level" x1="{0}" x2="{0}" y1="16" y2="{1}"/>'
            '<text class="tick" x="{0}" y="12" text-anchor="middle">real time</text>'
        ).format(x.at(1.0), floor)
    )
    return Markup("").join(lines)


def _label_heights(points: Sequence[SpeedPoint], y: Axis, gap: float = 15.0) -> list[float]:
    """Heights of the labels, pushed apart so that none covers another."""
    heights = [0.0] * len(points)
    last = float("-inf")
    for place in sorted(range(len(points)), key=lambda i: y.at(points[i].mean)):
        last = heights[place] = max(y.at(points[place].mean), last + gap)
    return heights
