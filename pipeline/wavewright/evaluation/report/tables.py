"""Means for people: the cells of the summary tables, and `results.csv` for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from wavewright.evaluation.report.formatting import decimals, fixed, interval
from wavewright.evaluation.report.ranking import groups, ranking
from wavewright.evaluation.report.verdict import difference_of
from wavewright.evaluation.results import (
    NATURAL,
    ConditionInfo,
    MetricInfo,
    Results,
    Summary,
    System,
)
from wavewright.evaluation.statistics import MIN_UNITS
from wavewright.io.csv_text import csv_text
from wavewright.metrics.metric import Condition

ARROWS = {"lower": "↓", "higher": "↑", "ideal": "→"}
_BETTER = {"lower": "lower is better", "higher": "higher is better"}
_WIDEST = 7  # metrics in one table


@dataclass(frozen=True)
class Cell:
    """One mean in a table.

    Attributes:
        mean: empty where the system has no values.
        interval: of 95 %, or "too few".
        rank: `best`, `tie` (not told apart from the best) or empty.
        letters: two systems that share one are not told apart.
        remark: what a reader should know besides.
    """

    mean: str
    interval: str = ""
    rank: str = ""
    letters: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Table:
    """Systems by metrics, under one condition."""

    title: str
    metrics: list[MetricInfo]
    rows: list[tuple[System, list[Cell]]]


def better_direction(metric: MetricInfo) -> str:
    """Which way is better, in words."""
    return _BETTER.get(metric.direction, f"nearer to {metric.ideal:g} is better")


def parameters(system: System) -> str:
    """How many, for a table."""
    return "unknown" if system.parameters is None else f"{system.parameters:,}"


def summary_tables(results: Results, condition: ConditionInfo) -> list[Table]:
    """Every system that has values under `condition`, natural speech first.

    What ranks systems comes first, each metric beside its band-limited variant; then what only has
    an ideal, such as a lag; then a table for each metric that is split by classes of phones.
    """
    columns = {
        metric.id: _column(results, condition.id, metric)
        for metric in results.metrics_of(condition.id)
    }
    return [
        Table(title, metrics, rows)
        for title, metrics in _groups_of(results.metrics_of(condition.id), condition.title)
        if (rows := _rows(results.systems, [columns[metric.id] for metric in metrics]))
    ]


def _groups_of(metrics: Sequence[MetricInfo], condition: str) -> list[tuple[str, list[MetricInfo]]]:
    """(title, metrics) of every table."""
    order = {name: place for place, name in enumerate(dict.fromkeys(m.name for m in metrics))}
    whole = sorted((m for m in metrics if m.phones is None), key=lambda m: order[m.name])
    found = [
        (condition if start == 0 else f"{condition}, further metrics", ranked[start:end])
        for ranked in [[m for m in whole if m.direction != "ideal"]]
        for start, end in _parts(len(ranked))
    ]
    checks = [m for m in whole if m.direction == "ideal"]
    found += [(f"{condition}, checks", checks[a:b]) for a, b in _parts(len(checks))]
    for name in order:
        by_class = [m for m in metrics if m.name == name and m.phones is not None]
        title = (
            f"{condition}, {by_class[0].title.partition(',')[0]} by class of phones"
            if by_class
            else ""
        )
        found += [(title, by_class[a:b]) for a, b in _parts(len(by_class))]
    return found


def _parts(count: int) -> list[tuple[int, int]]:
    """Ends of parts that are about equally long and not too wide for a page."""
    parts = -(-count // _WIDEST)
    edges = [round(i * count / parts) for i in range(parts + 1)] if parts else []
    return list(pairwise(edges))


def _rows(
    systems: Sequence[System], columns: Sequence[dict[str, Cell]]
) -> list[tuple[System, list[Cell]]]:
    rows = [(s, [column.get(s.id, Cell("")) for column in columns]) for s in systems]
    return [(system, cells) for system, cells in rows if any(cell.mean for cell in cells)]


def _column(results: Results, condition: Condition, metric: MetricInfo) -> dict[str, Cell]:
    """Cells of one metric, by system."""
    means = [
        row for row in results.summary if (row.condition, row.metric) == (condition, metric.id)
    ]
    places = decimals(row.mean for row in means)
    ranks = _ranks(results, condition, metric)
    letters = groups(results, condition, metric)
    telling = len(letters) > 2 and any(row.n >= MIN_UNITS for row in means)
    return {
        row.system: _cell(
            row, places, ranks.get(row.system, ""), letters.get(row.system, "") if telling else ""
        )
        for row in means
    }


def _cell(row: Summary, places: int, rank: str, letters: str) -> Cell:
    remark = f"{row.missing} undefined" if row.missing else ""
    if row.mean is None:
        return Cell("undefined", remark=remark)
    mean = fixed(row.mean, places)
    if row.system == NATURAL:
        return Cell(mean, remark=remark)
    if row.low is None or row.high is None:
        return Cell(mean, "too few" if row.n < MIN_UNITS else "", rank, letters, remark)
    return Cell(mean, interval(row.low, row.high, places), rank, letters, remark)


def _ranks(results: Results, condition: Condition, metric: MetricInfo) -> dict[str, str]:
    """`best` and `tie` by system; nothing where there is nobody to compare with."""
    ranked = [row.system for row in ranking(results, condition, metric)]
    if len(ranked) < 2 or metric.direction == "ideal":
        return {}
    found = {ranked[0]: "best"}
    for system in ranked[1:]:
        gap = difference_of(results, condition, metric, ranked[0], system)
        if gap is not None and not gap.significant:
            found[system] = "tie"
    return found


def results_csv(results: Results) -> str:
    """One line per value: system, condition, utterance, speaker, metric, value, weight, reason."""
    speakers = {utterance.id: utterance.speaker for utterance in results.utterances}
    rows = [("system", "condition", "utterance", "speaker", "metric", "value", "weight", "reason")]
    for row in results.values:
        value = "" if row.value is None else repr(row.value)
        speaker = speakers.get(row.utterance, "")
        names = (row.system, row.condition, row.utterance, speaker, row.metric)
        rows.append((*names, value, repr(row.weight), row.reason))
    return csv_text(rows)
