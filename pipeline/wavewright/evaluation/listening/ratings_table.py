"""Ratings as Markdown, to read and to paste into a README."""

from __future__ import annotations

from collections.abc import Iterable

from wavewright.evaluation.listening.results import Ratings, ScoreEstimate
from wavewright.evaluation.statistics import MIN_UNITS
from wavewright.webpage.markdown import escape_markdown
from wavewright.webpage.render import format_count

_METHOD = (
    "95 % intervals by resampling listeners and utterances together (10,000 draws): what to expect "
    "of other listeners and other utterances. p by flipping the signs of the listeners' means, "
    "corrected by Holm's method for the number of comparisons: other listeners, these utterances."
)


def ratings_markdown(ratings: Ratings) -> str:
    """Render the tables of a test, its listeners, exclusions and method as Markdown."""
    listeners, excluded = len(ratings.listeners), len(ratings.excluded)
    devices = ", ".join(
        f"{number} with {escape_markdown(name)}" for name, number in ratings.devices.items()
    )
    lines = [
        f"# {escape_markdown(ratings.title)}",
        "",
        f"“{escape_markdown(ratings.question)}” {ratings.kind.upper()}, "
        f"{format_count(listeners, 'listener')} ({devices}), "
        f"{format_count(ratings.utterances, 'utterance')}, median "
        f"{ratings.median_seconds:.1f} s per answer; "
        f"{format_count(excluded, 'listener')} left out.",
    ]
    if listeners < MIN_UNITS or ratings.utterances < MIN_UNITS:
        lines += [
            "",
            f"**Too few:** below {MIN_UNITS} listeners or {MIN_UNITS} utterances there are no "
            f"intervals, below {MIN_UNITS} listeners no tests.",
        ]
    lines += ["", *_tables(ratings), "", _METHOD]
    if ratings.excluded:
        lines += ["", "Left out:", ""]
        lines += [
            f"- {escape_markdown(one.listener)}: {escape_markdown(one.reason)}"
            for one in ratings.excluded
        ]
    return "\n".join([*lines, ""])


def _tables(ratings: Ratings) -> list[str]:
    if ratings.kind == "mos":
        return [*_scores(ratings), "", *_differences(ratings)]
    return _preferences(ratings) if ratings.kind == "ab" else _discriminations(ratings)


def _scores(ratings: Ratings) -> list[str]:
    rows = (
        (escape_markdown(r.system), f"{r.score.mean:.2f}", _interval(r.score))
        for r in ratings.scores
    )
    return _table(("system", "MOS ↑", "95 %"), rows)


def _differences(ratings: Ratings) -> list[str]:
    rows = (
        (
            escape_markdown(row.a),
            escape_markdown(row.b),
            f"{row.difference.mean:+.2f}",
            _interval(row.difference, "+"),
            _chance(row.p),
            _chance(row.p_holm),
        )
        for row in ratings.differences
    )
    return _table(("a", "b", "a - b", "95 %", "p", "p (Holm)"), rows)


def _preferences(ratings: Ratings) -> list[str]:
    rows = (
        (
            escape_markdown(row.a),
            escape_markdown(row.b),
            str(row.for_a),
            str(row.neither),
            str(row.for_b),
            f"{row.share.mean:.2f}",
            _interval(row.share),
            _chance(row.p_holm),
        )
        for row in ratings.preferences
    )
    heads = ("a preferred", "neither", "b preferred", "share of a", "95 %", "p (Holm)")
    return _table(("a", "b", *heads), rows)


def _discriminations(ratings: Ratings) -> list[str]:
    rows = (
        (
            escape_markdown(row.system),
            str(row.right),
            str(row.answers),
            f"{row.share.mean:.2f}",
            _interval(row.share),
            _chance(row.p_binomial),
            _chance(row.p_holm),
        )
        for row in ratings.discriminations
    )
    heads = ("system", "right", "answers", "share", "95 %", "p (binomial)", "p (Holm)")
    return _table(heads, rows)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    marks = ["---" if head in ("system", "a", "b") else "---:" for head in heads]
    return [
        f"| {' | '.join(heads)} |",
        f"|{'|'.join(marks)}|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _interval(estimate: ScoreEstimate, sign: str = "") -> str:
    if estimate.low is None or estimate.high is None:
        return "too few"
    return f"[{estimate.low:{sign}.2f}, {estimate.high:{sign}.2f}]"


def _chance(p: float | None) -> str:
    if p is None:
        return "too few"
    return "≤ 0.001" if p <= 0.001 else f"{p:.3f}"
