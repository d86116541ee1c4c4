"""Figures of the data report with their captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from wavewright.data.corpus.report.charts import Bins, bars, histogram, ranges
from wavewright.data.corpus.report.measures import (
    LEVEL,
    LEVEL_AFTER,
    MEASURES,
    Measure,
    drop_unknown,
)
from wavewright.data.corpus.report.phones import PhoneStatistics
from wavewright.webpage.render import format_count, printable

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
_SHOWN_SPEAKERS = 20


@dataclass(frozen=True)
class Figure:
    """Picture with title and caption."""

    title: str
    picture: Markup
    caption: str


def measure_figures(values: Mapping[str, Floats]) -> list[Figure]:
    """Histograms of all measures with known values."""
    figures = []
    for measure in (
        measure for measure in MEASURES if measure.has_histogram and measure.id in values
    ):
        column = drop_unknown(values[measure.id])
        if len(column):
            before = drop_unknown(values["level"]) if measure is LEVEL_AFTER else None
            figures.append(_figure(measure, column, before, len(values[measure.id])))
    return figures


def _figure(measure: Measure, column: Floats, before: Floats | None, total: int) -> Figure:
    changed = before is not None and len(before) == len(column) and not np.allclose(before, column)
    low, middle, high = (float(q) for q in np.quantile(column, (0.05, 0.5, 0.95)))
    words = f"Median {measure.show(middle)}"
    if low < high:
        words += f", 90 % between {measure.number(low)} and {measure.show(high)}."
    else:
        words += " for nearly all."
    least, most = measure.show(float(column.min())), measure.show(float(column.max()))
    label = f"Histogram of {measure.title.lower()} from {least} to {most}. {words}"
    picture, bins = histogram(column, measure.unit, label, before=before if changed else None)
    words += _beyond(bins, least, most)
    if len(column) < total:
        words += f" Not known of {total - len(column):,}."
    if before is not None and len(before):
        words += (
            f" Outline: as recorded, median {measure.show(float(np.median(before)))}."
            if changed
            else " As recorded: no gain was applied."
        )
    return Figure(measure.title, picture, words)


def _beyond(bins: Bins, least: str, most: str) -> str:
    words = ""
    if bins.below:
        words += f" {bins.below:,} further left, down to {least}."
    if bins.above:
        words += f" {bins.above:,} further right, up to {most}."
    return words


def speaker_figure(usable: pd.DataFrame) -> Figure | None:
    """Bars of time by speaker, longest first; None for a single speaker."""
    table = usable.groupby("speaker").agg(
        seconds=("seconds", "sum"), utterances=("id", "size"), level=("level_dbfs", "median")
    )
    if len(table) < 2:
        return None
    table = table.reset_index().sort_values(["seconds", "speaker"], ascending=[False, True])
    total = float(table["seconds"].sum()) or 1.0
    lines = [
        (str(name), float(seconds), _speaker_note(float(seconds), int(utterances), float(level)))
        for name, seconds, utterances, level in table.head(_SHOWN_SPEAKERS).itertuples(index=False)
    ]
    least = table.iloc[-1]
    caption = (
        f"{len(table):,} speakers: time, utterances and median level as recorded. The most heard "
        f"has {lines[0][1] / total:.1%} of the time, the least heard has "
        f"{format_duration(float(least['seconds']))} in "
        f"{format_count(int(least['utterances']), 'utterance')}."
    )
    rest = table.iloc[_SHOWN_SPEAKERS:]
    if len(rest):
        share = float(rest["seconds"].sum()) / total
        caption += f" The {len(rest):,} not drawn have {share:.1%} together."
    label = "Time by speaker: " + "; ".join(f"{printable(name)} {note}" for name, _, note in lines)
    return Figure("Speakers", bars(lines, label), caption)


def _speaker_note(seconds: float, utterances: int, level: float) -> str:
    return f"{format_duration(seconds)}, {utterances:,} utt., {LEVEL.show(level)}"


def format_duration(seconds: float) -> str:
    """Format a duration: `12 s`, `3.4 min`, `5.2 h`."""
    if seconds < 100:
        return f"{seconds:.0f}\u00a0s"
    if seconds < 6000:
        return f"{seconds / 60:.1f}\u00a0min"
    return f"{seconds / 3600:,.1f}\u00a0h"


def phone_figure(classes: Sequence[PhoneStatistics]) -> Figure | None:
    """Durations of each phone class; None without phones."""
    if not classes:
        return None
    rows = [(row.name, row.low * 1000, row.middle * 1000, row.high * 1000) for row in classes]
    medians = "; ".join(f"{name} {middle:.0f} ms" for name, _, middle, _ in rows)
    picture = ranges(rows, "ms", f"Median durations: {medians}.")
    return Figure("Durations by class", picture, "Dot: median; line: the middle 90 %.")
