"""Means, intervals and paired tests of measured values."""

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
    """Distance from a perfect copy: smaller is better, whatever the metric's direction."""
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
    systems, ids = list(systems), [utterance.id for utterance in utterances]
    system_ids = [system.id for system in systems]
    candidates = {system.id for system in systems if system.is_candidate}
    speakers = [utterance.speaker for utterance in utterances]
    metrics = list(metrics)
    summary: list[Summary] = []
    differences: list[Difference] = []
    for condition in conditions:
        in_condition: list[Difference] = []
        for metric in (m for m in metrics if condition in m.conditions):
            cells = {
                system: [table.get((system, condition, metric.id, u)) for u in ids]
                for system in system_ids
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
            shared = _on_shared_utterances(columns, candidates)
            for system, column in columns.items():
                row = vars(estimate_mean(shared[system], weights[system], speakers))
                row |= {"missing": sum(value is None for value in column)}
                row |= {end: _clip(metric, row[end]) for end in ("low", "high")}
                summary.append(Summary(system=system, condition=condition, metric=metric.id, **row))
            candidate_columns = {
                name: column for name, column in shared.items() if name in candidates
            }
            in_condition += _differences(condition, metric.id, candidate_columns, weights, speakers)
        differences += _with_correction(
            in_condition, {metric.id for metric in metrics if metric.is_headline}
        )
    return tuple(summary), tuple(differences)


def _clip(metric: MetricInfo, end: float | None) -> float | None:
    """Clip an interval's end to the metric's range of values."""
    if end is None:
        return None
    lowest = end if metric.lowest is None else max(end, metric.lowest)
    return lowest if metric.highest is None else min(lowest, metric.highest)


def _on_shared_utterances(columns: dict[str, Column], candidates: set[str]) -> dict[str, Column]:
    """Columns without the utterances for which any candidate that has values lacks one.

    Systems are only comparable on the same utterances. A candidate without any value would leave
    none, so it is not counted.
    """
    able = [
        column
        for name, column in columns.items()
        if name in candidates and any(value is not None for value in column)
    ]
    complete = [None not in row for row in zip(*able, strict=True)]
    if not able:
        return columns
    return {
        system: [value if usable else None for value, usable in zip(column, complete, strict=True)]
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
        comparison = compare_paired(columns[a], columns[b], weights[a], weights[b], speakers)
        yield Difference(
            condition=condition,
            metric=metric,
            a=a,
            b=b,
            mean=comparison.difference.mean,
            low=comparison.difference.low,
            high=comparison.difference.high,
            n=comparison.difference.n,
            p=comparison.p,
            effect=comparison.effect,
            test=comparison.test,
        )


def _with_correction(differences: list[Difference], headlines: set[str]) -> list[Difference]:
    """Add Holm's correction over all pairs and headline metrics of one condition."""
    family = [gap.p if gap.metric in headlines else None for gap in differences]
    return [
        gap.model_copy(update={"corrected": p})
        for gap, p in zip(differences, holm(family), strict=True)
    ]
