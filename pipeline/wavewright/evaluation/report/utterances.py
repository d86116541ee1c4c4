"""The table of every value: a row per utterance, system and condition, the worst first."""

from __future__ import annotations

from dataclasses import dataclass

from wavewright.evaluation.report.formatting import decimals, fixed
from wavewright.evaluation.report.outliers import ODD, Key
from wavewright.evaluation.report.verdict import headline_metric
from wavewright.evaluation.results import (
    NATURAL,
    ConditionInfo,
    MetricInfo,
    Results,
    System,
    Utterance,
    Value,
)

MOST = 3000  # rows that a browser sorts at once


@dataclass(frozen=True)
class Number:
    """One value: its text, or why there is none; `odd` says how far out it lies, worse above 0."""

    text: str
    odd: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """Every value of one system's copy of one utterance.

    `worse` is how many standard deviations its headline metric is worse than the system's mean;
    None where it has none.
    """

    utterance: Utterance
    system: System
    condition: ConditionInfo
    worse: float | None
    numbers: list[Number]

    @property
    def worse_text(self) -> str:
        """For a cell."""
        return "" if self.worse is None else fixed(self.worse, 1, signed=True)


def columns(results: Results) -> list[MetricInfo]:
    """Metrics that were measured anywhere, in the order they were asked for."""
    measured = {value.metric for value in results.values}
    return [metric for metric in results.metrics if metric.id in measured]


def rows(results: Results, known: dict[Key, float]) -> list[Row]:
    """All rows, those whose headline metric is worst beside the system's others first.

    Args:
        results: the evaluation.
        known: `outliers.deviations(results)`.
    """
    table = {(v.system, v.condition, v.metric, v.utterance): v for v in results.values}
    metrics = columns(results)
    places = {
        metric.id: decimals(v.value for v in results.values if v.metric == metric.id)
        for metric in metrics
    }
    found = []
    for condition in results.evaluated_conditions():
        metric = headline_metric(results, condition.id)
        head = "" if metric is None else metric.id
        for system in (s for s in results.systems if s.id != NATURAL):
            for utterance in results.utterances:
                keys: list[Key] = [(system.id, condition.id, m.id, utterance.id) for m in metrics]
                if any(key in table for key in keys):
                    worse = known.get((system.id, condition.id, head, utterance.id))
                    numbers = [
                        _number(table.get(key), places[key[2]], known.get(key, 0.0)) for key in keys
                    ]
                    found.append(Row(utterance, system, condition, worse, numbers))
    return sorted(found, key=lambda row: -(row.worse if row.worse is not None else -1e9))


def _number(value: Value | None, places: int, z: float) -> Number:
    if value is None:
        return Number("")
    if value.value is None:
        return Number("", reason=value.reason)
    odd = f"{fixed(z, 1, signed=True)} SD" if abs(z) > ODD else ""
    return Number(fixed(value.value, places), odd)
