"""From values to means, intervals, paired tests and rankings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from wavewright.evaluation.results import (
    Difference,
    MetricInfo,
    Summary,
    System,
    Utterance,
    Value,
)
from wavewright.evaluation.statistics import compare_paired, estimate_mean, holm
from wavewright.metrics.metric import Condition

Column = list[float | None]


def distance(metric: MetricInfo, value: float) -> float:
    """How far from a perfect copy: the smaller the better, whatever the metric's direction."""
    return -value if metric.direction == "higher" else abs(value - metric.ideal)


def summarize(
    systems: Iterable[System],
    conditions: Iterable[Condition],
    metrics: Iterable[MetricInfo],
    utterances: Sequence[Utterance],
    values: Iterable[Value],
) -> tuple[tuple[Summary, ...], tuple[Difference, ...]]:
    """Means with intervals, and paired tests between every two candidates."""
    table = {(v.system, v.condition, v.metric, v.utterance): v for v in values}
    everyone, ids = list(systems), [utterance.id for utterance in utterances]
    named = [system.id for system in everyone]
    candidates = {system.id for system in everyone if system.is_candidate}
    speakers = [utterance.speaker for utterance in utterances]
    metrics = list(metrics)
    summary: list[Summary] = []
    differences: list[Difference] = []
    for condition in conditions:
        found: list[Difference] = []
        for metric in (m for m in metrics if condition in m.conditions):
            cells = {
                system: [table.get((system, condition, metric.id, u)) for u in ids]
                for system in named
            }
            columns = {
                system: [None if cell is None else cell.value for cell in column]
                for system, column in cells.items()
                if any(cell is not None for cell in column)
            }
            weights = {
                system: [1.0 if cell is None else cell.weight for cell in column]
                for system, column in cells.items()
            }
            shared = _shared(columns, candidates)
            for system, column in columns.items():
                row = vars(estimate_mean(shared[system], weights[system], speakers))
                row |= {"missing": sum(value is None for value in column)}
                row |= {end: _within(metric, row[end]) for end in ("low", "high")}
                summary.append(Summary(system=system, condition=condition, metric=metric.id, **row))
            compared = {name: column for name, column in shared.items() if name in candidates}
            found += _differences(condition, metric.id, compared, weights, speakers)
        differences += _corrected(found, {metric.id for metric in metrics if metric.is_headline})
    return tuple(summary), tuple(differences)


def _within(metric: MetricInfo, end: float | None) -> float | None:
    """An interval's end, kept inside the range of values."""
    if end is None:
        return None
    lowest = end if metric.lowest is None else max(end, metric.lowest)
    return lowest if metric.highest is None else min(lowest, metric.highest)


def _shared(columns: dict[str, Column], candidates: set[str]) -> dict[str, Column]:
    """The columns with an utterance blanked for all where any candidate that has values lacks one.

    Systems are only comparable on the same utterances; a candidate without any value would leave
    none, and stands aside.
    """
    able = [
        column
        for name, column in columns.items()
        if name in candidates and any(value is not None for value in column)
    ]
    whole = [None not in row for row in zip(*able, strict=True)]
    if not able:
        return columns
    return {
        system: [value if kept else None for value, kept in zip(column, whole, strict=True)]
        for system, column in columns.items()
    }


def _differences(
    condition: Condition,
    metric: str,
    columns: dict[str, Column],
    weights: dict[str, list[float]],
    speakers: Sequence[str],
) -> Iterator[Difference]:
    for a, b in combinations(columns, 2):
        found = compare_paired(columns[a], columns[b], weights[a], weights[b], speakers)
        yield Difference(
            condition=condition,
            metric=metric,
            a=a,
            b=b,
            mean=found.difference.mean,
            low=found.difference.low,
            high=found.difference.high,
            n=found.difference.n,
            p=found.p,
            effect=found.effect,
            test=found.test,
        )


def _corrected(differences: list[Difference], headlines: set[str]) -> list[Difference]:
    """With Holm's correction over all pairs and headline metrics of one condition."""
    family = [gap.p if gap.metric in headlines else None for gap in differences]
    return [
        gap.model_copy(update={"corrected": p})
        for gap, p in zip(differences, holm(family), strict=True)
    ]
