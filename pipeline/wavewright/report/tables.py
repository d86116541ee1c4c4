"""The same numbers for people and programs: cells of the page, `results.csv`, `report.md`."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

from wavewright.metrics.metric import Condition
from wavewright.report.page import count
from wavewright.report.results import NATURAL, ConditionInfo, MetricInfo, Results, Speed, System
from wavewright.report.summary import ranking
from wavewright.report.verdict import answers, difference_of

ARROWS = {"lower": "↓", "higher": "↑", "ideal": "→"}
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
AIMS = {"lower": "lower is better", "higher": "higher is better"}


@dataclass(frozen=True)
class Cell:
    """One mean in a table. `rank` is `best`, `tie` (not told apart from the best) or empty."""

    mean: str
    interval: str = ""
    rank: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Table:
    """Systems by metrics, under one condition."""

    condition: ConditionInfo
    metrics: list[MetricInfo]
    rows: list[tuple[System, list[Cell]]]


def aim(metric: MetricInfo) -> str:
    """Which way is better, in words."""
    return AIMS.get(metric.direction, f"nearer to {metric.ideal:g} is better")


def summary_table(results: Results, condition: ConditionInfo) -> Table:
    """Every system that has values under `condition`, natural speech first."""
    metrics = results.metrics_of(condition.id)
    rows = []
    for system in results.systems:
        cells = [_cell(results, system.id, condition.id, metric) for metric in metrics]
        if any(cell.mean for cell in cells):
            rows.append((system, cells))
    return Table(condition, metrics, rows)


def _cell(results: Results, system: str, condition: Condition, metric: MetricInfo) -> Cell:
    row = results.summary_of(system, condition, metric.id)
    if row is None:
        return Cell("")
    remark = f"{row.missing} undefined" if row.missing else ""
    if row.mean is None:
        return Cell("undefined", remark=remark)
    interval = "" if row.low is None or system == NATURAL else f"[{row.low:.3f}, {row.high:.3f}]"
    rank = "" if system == NATURAL else _rank(results, system, condition, metric)
    return Cell(f"{row.mean:.3f}", interval, rank, remark)


def _rank(results: Results, system: str, condition: Condition, metric: MetricInfo) -> str:
    ranked = ranking(results, condition, metric)
    if len(ranked) < 2 or metric.direction == "ideal":
        return ""
    if ranked[0].system == system:
        return "best"
    gap = difference_of(results, condition, metric, ranked[0].system, system)
    return "" if gap is None or gap.told_apart else "tie"


def results_csv(results: Results) -> str:
    """One line per value: system, condition, utterance, metric, value, reason."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["system", "condition", "utterance", "metric", "value", "reason"])
    for row in results.values:
        value = "" if row.value is None else repr(row.value)
        writer.writerow([row.system, row.condition, row.utterance, row.metric, value, row.reason])
    return text.getvalue()


def results_markdown(results: Results, speed: Speed | None) -> str:
    """The summary as Markdown, to paste into a README."""
    minutes = results.seconds / 60
    split = f", {results.split} split" if results.split else ""
    lines = [
        f"# {_plain(results.title)}",
        "",
        f"{_plain(results.corpus)}{split}: {len(results.utterances)} of "
        f"{count(results.split_size, 'utterance')}, {minutes:.1f} min of speech at "
        f"{results.sample_rate} Hz.",
    ]
    lines += ["", _plain(results.note)] if results.note else []
    sentences = answers(results)
    for condition in results.conditions:
        lines += ["", f"## {condition.title}", ""]
        if condition.absent:
            lines.append(condition.absent)
            continue
        table = summary_table(results, condition)
        lines += [_plain(sentences[condition.id]), ""]
        heads = [f"{m.title} {ARROWS[m.direction]}" for m in table.metrics]
        lines.append("| system | " + " | ".join(heads) + " |")
        lines.append("|---|" + "---:|" * len(heads))
        for system, cells in table.rows:
            shown = [
                f"**{cell.mean}**" if cell.rank == "best" else cell.mean or "" for cell in cells
            ]
            joined = " | ".join(
                f"{mean} {cell.interval}".strip() for mean, cell in zip(shown, cells, strict=True)
            )
            lines.append(f"| {_plain(system.title)} | {joined} |")
    lines += ["", *_speed_lines(results, speed)] if speed else []
    return "\n".join([*lines, ""])


def _speed_lines(results: Results, speed: Speed) -> list[str]:
    factors = {row.system: row.real_time_factor for row in speed.systems}
    lines = [
        "Means over utterances with 95 % bootstrap intervals. Real-time factors (seconds of "
        f"computing per second of audio, median of {speed.repeats}): {speed.device}, "
        f"{count(speed.threads, 'thread')}.",
        "",
        "| system | parameters | real-time factor |",
        "|---|---:|---:|",
    ]
    for system in results.systems:
        if system.id in factors:
            lines.append(
                f"| {_plain(system.title)} | {parameters(system)} | {factors[system.id]:.3g} |"
            )
    return lines


def parameters(system: System) -> str:
    """How many, for a table."""
    return "unknown" if system.parameters is None else f"{system.parameters:,}"


def _plain(text: str) -> str:
    """Text that cannot break a Markdown table or smuggle HTML in."""
    return _TAG.sub("&lt;", text.replace("|", "\\|").replace("\n", " "))
