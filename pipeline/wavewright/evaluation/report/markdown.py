"""`report.md`: the report's answers and tables, to paste into a README."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wavewright.evaluation.report.tables import ARROWS, Cell, parameters, summary_tables
from wavewright.evaluation.report.verdict import answers, blame
from wavewright.evaluation.results import ConditionInfo, Results, Speed
from wavewright.webpage.markdown import plain
from wavewright.webpage.render import count


def results_markdown(results: Results, speed: Speed | None) -> str:
    """The answers, tables and speeds as Markdown.

    Text of anybody's making can neither break a table nor bring HTML in.
    """
    minutes = results.seconds / 60
    speakers = f" of {count(len(results.speakers), 'speaker')}" if results.speakers else ""
    split = f", {plain(results.split)} split" if results.split else ""
    lines = [
        f"# {plain(results.title)}",
        "",
        f"{plain(results.corpus)}{split}: {len(results.utterances)} of "
        f"{count(results.split_size, 'utterance')}{speakers}, {minutes:.1f} min of speech at "
        f"{results.sample_rate} Hz.",
    ]
    lines += ["", plain(results.note)] if results.note else []
    lines += ["", plain(sentence)] if (sentence := blame(results)) else []
    sentences = answers(results)
    for condition in results.conditions:
        lines += ["", f"## {condition.title}", ""]
        if condition.absent:
            lines.append(plain(condition.absent))
        else:
            lines.append(plain(sentences[condition.id]))
            lines += _tables(results, condition)
    lines += ["", "## Notes", "", *_notes(results)]
    return "\n".join([*lines, *(_speed_lines(results, speed) if speed else []), ""])


def _tables(results: Results, condition: ConditionInfo) -> list[str]:
    lines = []
    for table in summary_tables(results, condition):
        heads = [f"{plain(m.title)} {ARROWS[m.direction]}" for m in table.metrics]
        lines += ["", f"{table.title}:", "", *_grid(["system", *heads])]
        for system, cells in table.rows:
            kind = " (anchor)" if system.kind == "anchor" else ""
            lines.append(_row([plain(system.title) + kind, *map(_shown, cells)]))
    return lines


def _shown(cell: Cell) -> str:
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
        f"\nNot measured: {plain(n)} ({plain(why)})." for n, why in results.absent_metrics.items()
    ]
    lines += [f"\nFailures and exclusions: {events}, see results.json."] if events else []
    return lines


def _speed_lines(results: Results, speed: Speed) -> list[str]:
    rows = {row.system: row for row in speed.systems}
    lines = [
        "",
        "## Speed",
        "",
        "Real-time factor: seconds of computing per second of audio, median of "
        f"{speed.repeats}; {plain(speed.device)}, {count(speed.threads, 'thread')}.",
        "",
        *_grid(["system", "parameters", "real-time factor ↓", "first sound, ms ↓", "memory, MB ↓"]),
    ]
    for system in results.systems:
        if row := rows.get(system.id):
            first = "" if row.first_sound is None else f"{1000 * row.first_sound:.0f}"
            memory = "" if row.memory is None else f"{row.memory:.0f}"
            numbers = [parameters(system), f"{row.real_time_factor:.3g}", first, memory]
            lines.append(_row([plain(system.title), *numbers]))
    return lines


def _grid(heads: Sequence[str]) -> list[str]:
    return [_row(heads), "|---|" + "---:|" * (len(heads) - 1)]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
