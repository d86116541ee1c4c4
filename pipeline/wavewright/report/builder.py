"""The page: one HTML file that opens from disk, loads nothing and shows everything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from wavewright.files import write_text
from wavewright.metrics.metric import Condition
from wavewright.report import figures, tables
from wavewright.report.media import articles
from wavewright.report.page import render
from wavewright.report.results import NATURAL, Results, Speed
from wavewright.report.summary import ranking
from wavewright.report.verdict import answers, headline_metric

_TEMPLATE = "evaluation.html.j2"


@dataclass(frozen=True)
class Training:
    """How the vocoders learned: (step, mel L1 on development clips) by name, and who does not."""

    curves: Mapping[str, Sequence[tuple[int, float]]]
    levels: Mapping[str, float]


def write_report(
    folder: Path,
    results: Results,
    speed: Speed | None,
    *,
    training: Training | None = None,
    attention: bytes | None = None,
    run: Mapping[str, str] | None = None,
    shown: int = 12,
    megabytes: float = 25.0,
) -> Path:
    """Write results.json, results.csv, report.md, speed.json and index.html into `folder`.

    Args:
        folder: holds `wavs/SYSTEM/CONDITION/ID.wav`, the recordings as
            `wavs/natural/recording/ID.wav`.
        results: what was measured.
        speed: what was timed; None where nothing could be.
        training: curves to draw.
        attention: a PNG of the acoustic model's attention.
        run: what else to tell of this run, such as its date; written to run.json.
        shown: most utterances to embed.
        megabytes: largest page; fewer utterances are embedded to stay below it.

    Returns:
        The page's path.
    """
    files = {
        "results.json": results.model_dump_json(indent=1) + "\n",
        "results.csv": tables.results_csv(results),
        "report.md": tables.results_markdown(results, speed),
    }
    if speed is not None:
        files["speed.json"] = speed.model_dump_json(indent=1) + "\n"
    if run:
        files["run.json"] = json.dumps(dict(run), indent=1) + "\n"
    page = _context(results, speed, training, attention)
    around = len(render(_TEMPLATE, {**page, "articles": []}).encode())
    budget = int(megabytes * 1e6) - around
    page["articles"] = list(articles(results, folder, shown=shown, budget=budget))
    files["index.html"] = render(_TEMPLATE, page)
    for name, text in files.items():
        write_text(folder / name, text)
    return folder / "index.html"


def _context(
    results: Results, speed: Speed | None, training: Training | None, attention: bytes | None
) -> dict[str, Any]:
    by_id = {system.id: system for system in results.systems}
    levels = list(training.levels) if training else []
    return {
        "title": results.title,
        "version": results.versions["wavewright"],
        "results": results,
        "speed": speed,
        "answers": answers(results),
        "tables": {c.id: tables.summary_table(results, c) for c in results.present()},
        "charts": {c.id: _chart(results, c.id) for c in results.present()},
        "details": {c.id: _details(results, c.id) for c in results.present()},
        "aim": tables.aim,
        "parameters": tables.parameters,
        "arrows": tables.ARROWS,
        "names": {system.id: system.title for system in results.systems},
        "titles": {condition.id: condition.in_sentence for condition in results.conditions},
        "plain": {metric.name: metric.title for metric in results.metrics if metric.band is None},
        "band_limited": results.band_limited,
        "speeds": [(by_id[row.system], row) for row in speed.systems] if speed else [],
        "curve": _curve(training),
        "level": " and ".join(levels),
        "attention": figures.data_uri("image/png", attention) if attention else "",
        "scale": figures.data_uri("image/webp", figures.colour_scale()),
        "darkest": figures.DARKEST,
        "brightest": figures.BRIGHTEST,
    }


def _curve(training: Training | None) -> Markup | str:
    curves = {name: curve for name, curve in (training.curves if training else {}).items() if curve}
    if not curves or training is None:
        return ""
    return figures.training_curve(curves, training.levels, "mel L1, logarithmic")


def _chart(results: Results, condition: Condition) -> tuple[str, Markup] | None:
    metric = headline_metric(results, condition)
    if metric is None:
        return None
    names = {system.id: system.title for system in results.systems}
    rows = [
        (names[row.system], row.mean, row.low, row.high)
        for row in ranking(results, condition, metric)
        if row.mean is not None
    ]
    return metric.title, figures.interval_chart(rows)


def _details(
    results: Results, condition: Condition
) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(utterance, system, (value, why undefined) per metric) for every utterance and system."""
    found = {
        (v.utterance, v.system, v.metric): v for v in results.values if v.condition == condition
    }
    rows = []
    for utterance in results.utterances:
        for system in (s for s in results.systems if s.id != NATURAL):
            numbers = []
            for metric in results.metrics_of(condition):
                value = found.get((utterance.id, system.id, metric.id))
                shown = "" if value is None or value.value is None else f"{value.value:.4f}"
                numbers.append((shown, value.reason if value else "absent"))
            rows.append((utterance.id, system.title, numbers))
    return rows
