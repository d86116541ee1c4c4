"""Table of every value: a row per utterance, system and condition, the worst first."""

from __future__ import annotations

from dataclasses import dataclass

from wavewright.evaluation.report.formatting import decimal_places, format_fixed
from wavewright.evaluation.report.outliers import OUTLIER, Deviations, ValueKey
from wavewright.evaluation.report.verdict import Rankings
from wavewright.evaluation.results import (
    NATURAL,
    ConditionInfo,
    MetricInfo,
    Results,
    System,
    Utterance,
    Value,
)

MAX_ROWS = 3000  # rows that a browser sorts at once


@dataclass(frozen=True)
class ValueCell:
    """One value in the table.

    Attributes:
        text: the value; empty where there is none.
        outlier: how far out it lies, worse above 0; empty within three standard deviations.
        reason: why the value is undefined.
    """

    text: str
    outlier: str = ""
    reason: str = ""


@dataclass(frozen=True)
class UtteranceRow:
    """Every value of one system's copy of one utterance.

    `worse` is how many standard deviations its headline metric is worse than the system's mean;
    None where it has none.
    """

    utterance: Utterance
    system: System
    condition: ConditionInfo
    worse: float | None
    cells: list[ValueCell]

    @property
    def worse_text(self) -> str:
        """Text of `worse` for a table."""
        return "" if self.worse is None else format_fixed(self.worse, 1, signed=True)


def measured_metrics(results: Results) -> list[MetricInfo]:
    """Metrics with at least one value, in the order in which they were asked for."""
    names = {value.metric for value in results.values}
    return [metric for metric in results.metrics if metric.id in names]


def utterance_rows(
    results: Results, rankings: Rankings, deviations: Deviations
) -> list[UtteranceRow]:
    """All rows, those whose headline metric is worst beside the system's others first.

    Args:
        results: the evaluation.
        rankings: `rank_conditions(results)`.
        deviations: `outliers.standard_deviations(results)`.
    """
    table = {(v.system, v.condition, v.metric, v.utterance): v for v in results.values}
    metrics = measured_metrics(results)
    places = {
        metric.id: decimal_places(v.value for v in results.values if v.metric == metric.id)
        for metric in metrics
    }
    rows = []
    for condition, ranking in rankings.items():
        headline = "" if ranking.headline is None else ranking.headline.metric.id
        for system in (s for s in results.systems if s.id != NATURAL):
            for utterance in results.utterances:
                keys: list[ValueKey] = [(system.id, condition, m.id, utterance.id) for m in metrics]
                if any(key in table for key in keys):
                    worse = deviations.get((system.id, condition, headline, utterance.id))
                    cells = [
                        _cell(table.get(key), places[key[2]], deviations.get(key, 0.0))
                        for key in keys
                    ]
                    rows.append(UtteranceRow(utterance, system, ranking.condition, worse, cells))
    return sorted(rows, key=lambda row: -(row.worse if row.worse is not None else -1e9))


def _cell(value: Value | None, places: int, z: float) -> ValueCell:
    if value is None:
        return ValueCell("")
    if value.value is None:
        return ValueCell("", reason=value.reason)
    outlier = f"{format_fixed(z, 1, signed=True)} SD" if abs(z) > OUTLIER else ""
    return ValueCell(format_fixed(value.value, places), outlier)
