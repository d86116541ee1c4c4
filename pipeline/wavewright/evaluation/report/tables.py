"""Summary tables: the text of every cell, and `results.csv` for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from wavewright.evaluation.report.formatting import decimal_places, format_fixed, format_interval
from wavewright.evaluation.report.ranking import ConditionRanking, MetricRanking
from wavewright.evaluation.results import NATURAL, MetricInfo, Results, Summary, System
from wavewright.evaluation.statistics import MIN_UNITS
from wavewright.io.csv_text import csv_text

ARROWS = {"lower": "↓", "higher": "↑", "ideal": "→"}
_BETTER = {"lower": "lower is better", "higher": "higher is better"}
_WIDEST = 7  # metrics in one table


@dataclass(frozen=True)
class SummaryCell:
    """One mean in a table.

    Attributes:
        mean: empty where the system has no values.
        interval: 95 % interval, or "too few".
        rank: `best`, `tie` (not significantly different from the best) or empty.
        letters: group letters; two systems that share one do not differ significantly.
        remark: note for the reader.
    """

    mean: str
    interval: str = ""
    rank: str = ""
    letters: str = ""
    remark: str = ""


@dataclass(frozen=True)
class SummaryTable:
    """Systems by metrics, under one condition."""

    title: str
    metrics: Sequence[MetricInfo]
    rows: Sequence[tuple[System, Sequence[SummaryCell]]]


def better_direction(metric: MetricInfo) -> str:
    """Phrase that says which values are better, such as `lower is better`."""
    return _BETTER.get(metric.direction, f"nearer to {metric.ideal:g} is better")


def format_parameters(system: System) -> str:
    """Number of a system's parameters, for a table."""
    return "unknown" if system.parameters is None else f"{system.parameters:,}"


def summary_tables(
    ranking: ConditionRanking, systems: Sequence[System]
) -> tuple[SummaryTable, ...]:
    """Tables of all systems that have values under one condition, natural speech first.

    Metrics that rank systems come first, each beside its band-limited variant; then those that
    only have an ideal, such as a lag; then a table for each metric that is split by classes of
    phones.
    """
    columns = {name: _column(one) for name, one in ranking.metrics.items()}
    metrics = [one.metric for one in ranking.metrics.values()]
    return tuple(
        SummaryTable(title, group, rows)
        for title, group in _split_metrics(metrics, ranking.condition.title)
        if (rows := _rows(systems, [columns[metric.id] for metric in group]))
    )


def _split_metrics(
    metrics: Sequence[MetricInfo], condition: str
) -> list[tuple[str, list[MetricInfo]]]:
    """(title, metrics) of every table."""
    order = {name: index for index, name in enumerate(dict.fromkeys(m.name for m in metrics))}
    all_phones = sorted((m for m in metrics if m.phones is None), key=lambda m: order[m.name])
    ranked = [m for m in all_phones if m.direction != "ideal"]
    groups = [
        (condition if start == 0 else f"{condition}, further metrics", ranked[start:end])
        for start, end in _parts(len(ranked))
    ]
    checks = [m for m in all_phones if m.direction == "ideal"]
    groups += [(f"{condition}, checks", checks[a:b]) for a, b in _parts(len(checks))]
    for name in order:
        by_class = [m for m in metrics if m.name == name and m.phones is not None]
        if by_class:
            title = f"{condition}, {by_class[0].title.partition(',')[0]} by class of phones"
            groups += [(title, by_class[a:b]) for a, b in _parts(len(by_class))]
    return groups


def _parts(count: int) -> list[tuple[int, int]]:
    """Bounds of about equally long parts that are not too wide for a page."""
    parts = -(-count // _WIDEST)
    edges = [round(i * count / parts) for i in range(parts + 1)] if parts else []
    return list(pairwise(edges))


def _rows(
    systems: Sequence[System], columns: Sequence[Mapping[str, SummaryCell]]
) -> list[tuple[System, list[SummaryCell]]]:
    rows = [(s, [column.get(s.id, SummaryCell("")) for column in columns]) for s in systems]
    return [(system, cells) for system, cells in rows if any(cell.mean for cell in cells)]


def _column(ranking: MetricRanking) -> dict[str, SummaryCell]:
    """Cells of one metric, by system."""
    places = decimal_places(row.mean for row in ranking.means)
    ranks = _ranks(ranking)
    with_letters = len(ranking.letters) > 2 and any(row.n >= MIN_UNITS for row in ranking.means)
    letters = ranking.letters if with_letters else {}
    return {
        row.system: _cell(row, places, ranks.get(row.system, ""), letters.get(row.system, ""))
        for row in ranking.means
    }


def _cell(row: Summary, places: int, rank: str, letters: str) -> SummaryCell:
    remark = f"{row.missing} undefined" if row.missing else ""
    if row.mean is None:
        return SummaryCell("undefined", remark=remark)
    mean = format_fixed(row.mean, places)
    if row.system == NATURAL:
        return SummaryCell(mean, remark=remark)
    if row.low is None or row.high is None:
        return SummaryCell(mean, "too few" if row.n < MIN_UNITS else "", rank, letters, remark)
    return SummaryCell(mean, format_interval(row.low, row.high, places), rank, letters, remark)


def _ranks(ranking: MetricRanking) -> dict[str, str]:
    """`best` and `tie` by system; empty where only one system is ranked."""
    if len(ranking.ranked) < 2 or ranking.metric.direction == "ideal":
        return {}
    best, *others = [row.system for row in ranking.ranked]
    ranks = {best: "best"}
    for system in others:
        difference = ranking.difference(best, system)
        if difference is not None and not difference.significant:
            ranks[system] = "tie"
    return ranks


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
