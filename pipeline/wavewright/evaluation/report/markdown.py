"""`report.md`: verdicts and tables of a report, to paste into a README."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wavewright.evaluation.report.tables import (
    ARROWS,
    SummaryCell,
    SummaryTable,
    format_parameters,
)
from wavewright.evaluation.report.view import ReportView
from wavewright.evaluation.results import Results, Speed
from wavewright.webpage.markdown import escape_markdown
from wavewright.webpage.render import format_count


def report_markdown(view: ReportView) -> str:
    """Render verdicts, tables and speeds as Markdown.

    Names and texts of others are escaped: they can neither break a table nor bring HTML in.
    """
    results = view.results
    minutes = results.seconds / 60
    speakers = f" of {format_count(len(results.speakers), 'speaker')}" if results.speakers else ""
    split = f", {escape_markdown(results.split)} split" if results.split else ""
    lines = [
        f"# {escape_markdown(results.title)}",
        "",
        f"{escape_markdown(results.corpus)}{split}: {len(results.utterances)} of "
        f"{format_count(results.split_size, 'utterance')}{speakers}, "
        f"{minutes:.1f} min of speech at {results.sample_rate} Hz.",
    ]
    lines += ["", escape_markdown(results.note)] if results.note else []
    lines += ["", escape_markdown(view.bottleneck)] if view.bottleneck else []
    for condition in results.conditions:
        lines += ["", f"## {condition.title}", ""]
        if condition.absent:
            lines.append(escape_markdown(condition.absent))
        else:
            condition_view = view.conditions[condition.id]
            lines.append(escape_markdown(condition_view.verdict))
            lines += [line for table in condition_view.tables for line in _table(table)]
    lines += ["", "## Notes", "", *_notes(results)]
    return "\n".join([*lines, *(_speed_lines(view, view.speed) if view.speed else []), ""])


def _table(table: SummaryTable) -> list[str]:
    heads = [f"{escape_markdown(m.title)} {ARROWS[m.direction]}" for m in table.metrics]
    lines = ["", f"{table.title}:", "", *_head(["system", *heads])]
    for system, cells in table.rows:
        kind = " (anchor)" if system.kind == "anchor" else ""
        lines.append(_row([escape_markdown(system.title) + kind, *map(_cell_text, cells)]))
    return lines


def _cell_text(cell: SummaryCell) -> str:
    mean = f"**{cell.mean}**" if cell.rank == "best" else cell.mean
    tie = "≈" if cell.rank == "tie" else ""
    return " ".join(part for part in (mean, tie, cell.interval, cell.remark) if part)


def _notes(results: Results) -> list[str]:
    events = len(results.events)
    lines = [
        "Means over utterances with 95 % studentised bootstrap intervals; bold is the best, ≈ is "
        "not told apart from it (Wilcoxon signed-rank tests with Holm's correction).",
    ]
    lines += [
        f"\nNot measured: {escape_markdown(n)} ({escape_markdown(why)})."
        for n, why in results.absent_metrics.items()
    ]
    lines += [
        f"\n{escape_markdown(system.title)}: its output was given the right mel afterwards, by "
        f"{system.refine} iterations of mel consistency; in copy-synthesis alone."
        for system in results.systems
        if system.refine
    ]
    lines += [f"\nFailures and exclusions: {events}, see results.json."] if events else []
    return lines


def _speed_lines(view: ReportView, speed: Speed) -> list[str]:
    rows = {row.system: row for row in speed.systems}
    lines = [
        "",
        "## Speed",
        "",
        "Real-time factor: seconds of computing per second of audio, median of "
        f"{speed.repeats}; {escape_markdown(speed.device)}, "
        f"{format_count(speed.threads, 'thread')}.",
        "",
        *_head(["system", "parameters", "real-time factor ↓", "first sound, ms ↓", "memory, MB ↓"]),
    ]
    for system in view.results.systems:
        if row := rows.get(system.id):
            first = "" if row.first_sound is None else f"{1000 * row.first_sound:.0f}"
            memory = "" if row.memory is None else f"{row.memory:.0f}"
            numbers = [format_parameters(system), f"{row.real_time_factor:.3g}", first, memory]
            lines.append(_row([escape_markdown(system.title), *numbers]))
    return lines


def _head(names: Sequence[str]) -> list[str]:
    return [_row(names), "|---|" + "---:|" * (len(names) - 1)]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
