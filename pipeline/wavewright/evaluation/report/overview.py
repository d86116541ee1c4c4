"""What the page shows of each condition as a whole: intervals, pairs, speed against quality."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from wavewright.evaluation.report import charts as comparisons
from wavewright.evaluation.report import formatting as digits
from wavewright.evaluation.report.pairwise import Pairing, drawn, pairings
from wavewright.evaluation.report.ranking import ranking
from wavewright.evaluation.report.verdict import headline_metric
from wavewright.evaluation.results import MetricInfo, Results, Speed
from wavewright.metrics.metric import Condition
from wavewright.webpage import figures


@dataclass(frozen=True)
class Pairs:
    """All pairs of systems under one metric, and their chart."""

    metric: MetricInfo
    chart: Markup
    drawn: int
    rows: list[Pairing]
    places: int


def chart(results: Results, condition: Condition) -> tuple[str, Markup] | None:
    """Title and interval chart of the headline metric; None where nothing ranks systems."""
    metric = headline_metric(results, condition)
    if metric is None:
        return None
    names = {system.id: system.title for system in results.systems}
    rows = [
        (names[row.system], row.mean, row.low, row.high)
        for row in ranking(results, condition, metric)
        if row.mean is not None
    ]
    return metric.title, figures.interval_chart(rows)


def pairs(results: Results, condition: Condition) -> list[Pairs]:
    """By metric: headline metrics first, then those confined to a band."""
    ranked = [
        metric
        for metric in results.metrics_of(condition)
        if metric.direction != "ideal" and metric.phones is None
    ]
    found = []
    for metric in sorted(ranked, key=lambda metric: not metric.is_headline):
        rows = pairings(results, condition, metric)
        if rows:
            places = digits.decimals(v for row in rows for v in (row.mean, row.low, row.high))
            some = drawn(rows)
            found.append(Pairs(metric, comparisons.forest(some, metric), len(some), rows, places))
    return found


def scatters(results: Results, speed: Speed | None) -> dict[Condition, tuple[str, Markup]]:
    """Speed against the headline metric, by condition."""
    factors = {row.system: row.real_time_factor for row in speed.systems} if speed else {}
    names = {system.id: system.title for system in results.systems}
    found = {}
    for condition in results.evaluated_conditions():
        metric = headline_metric(results, condition.id)
        if metric is None:
            continue
        points = [
            comparisons.Point(
                names[row.system],
                list(names).index(row.system) - 1,
                factors[row.system],
                row.mean,
                row.low,
                row.high,
            )
            for row in ranking(results, condition.id, metric)
            if row.system in factors and row.mean is not None
        ]
        if len(points) > 1:
            found[condition.id] = (metric.title, comparisons.scatter(points, metric))
    return found
