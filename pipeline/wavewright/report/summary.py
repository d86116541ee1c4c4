"""From values to means, intervals, paired differences and rankings."""

from __future__ import annotations

from collections.abc import Iterable

from wavewright.metrics.metric import Condition
from wavewright.report.results import NATURAL, Difference, MetricInfo, Results, Summary, Value
from wavewright.report.statistics import estimate, paired_difference


def distance(metric: MetricInfo, value: float) -> float:
    """How far from a perfect copy: the smaller the better, whatever the metric's direction."""
    return -value if metric.direction == "higher" else abs(value - metric.ideal)


def ranking(results: Results, condition: Condition, metric: MetricInfo) -> list[Summary]:
    """Rows of the candidates (natural speech left out), the nearest to a perfect copy first."""
    rows = [
        row
        for row in results.summary
        if (row.condition, row.metric) == (condition, metric.id) and row.system != NATURAL
    ]
    defined = [(distance(metric, row.mean), row) for row in rows if row.mean is not None]
    return [row for _, row in sorted(defined, key=lambda pair: (pair[0], pair[1].system))]


def summarise(
    systems: Iterable[str],
    conditions: Iterable[Condition],
    metrics: Iterable[MetricInfo],
    utterances: list[str],
    values: Iterable[Value],
) -> tuple[tuple[Summary, ...], tuple[Difference, ...]]:
    """Means with intervals, and paired differences between every two systems."""
    table = {(v.system, v.condition, v.metric, v.utterance): v.value for v in values}
    named, metrics = list(systems), list(metrics)
    summary: list[Summary] = []
    differences: list[Difference] = []
    for condition in conditions:
        for metric in (m for m in metrics if condition in m.conditions):
            columns = {
                system: [table.get((system, condition, metric.id, u)) for u in utterances]
                for system in named
                if any((system, condition, metric.id, u) in table for u in utterances)
            }
            shared = _shared(columns)
            for system, column in columns.items():
                found = estimate(shared[system])
                undefined = sum(value is None for value in column)
                row = {**vars(found), "missing": undefined}
                summary.append(Summary(system=system, condition=condition, metric=metric.id, **row))
            differences += _differences(condition, metric.id, shared)
    return tuple(summary), tuple(differences)


def _shared(columns: dict[str, list[float | None]]) -> dict[str, list[float | None]]:
    """The columns with an utterance blanked for all where any system that has values lacks one.

    Systems are only comparable on the same utterances; a system without any value would leave
    none, and stands aside.
    """
    able = [column for column in columns.values() if any(value is not None for value in column)]
    whole = [None not in row for row in zip(*able, strict=True)]
    return {
        system: [value if kept else None for value, kept in zip(column, whole, strict=True)]
        for system, column in columns.items()
    }


def _differences(
    condition: Condition, metric: str, columns: dict[str, list[float | None]]
) -> list[Difference]:
    candidates = [system for system in columns if system != NATURAL]
    found = []
    for index, a in enumerate(candidates):
        for b in candidates[index + 1 :]:
            gap = paired_difference(columns[a], columns[b])
            found.append(
                Difference(
                    condition=condition,
                    metric=metric,
                    a=a,
                    b=b,
                    mean=gap.mean,
                    low=gap.low,
                    high=gap.high,
                    n=gap.n,
                )
            )
    return found
