"""HTML page of an evaluation: one file that opens from disk and loads nothing from the network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from wavewright.evaluation.report import formatting, tables
from wavewright.evaluation.report.charts import forest_plot
from wavewright.evaluation.report.contours import pitch_available
from wavewright.evaluation.report.embedded_data import embed_results
from wavewright.evaluation.report.markdown import report_markdown
from wavewright.evaluation.report.media import Article
from wavewright.evaluation.report.overview import headline_chart, speed_chart
from wavewright.evaluation.report.players import PlayerFormat, build_articles
from wavewright.evaluation.report.utterances import MAX_ROWS, measured_metrics
from wavewright.evaluation.report.view import ReportView, build_view
from wavewright.evaluation.results import Results, Speed
from wavewright.io.files import write_text
from wavewright.webpage import figures
from wavewright.webpage.render import render_page

_TEMPLATE = "evaluation.html.j2"
_ASSETS = Path(__file__).parent / "assets"
_STYLE = ("style.css", "evaluation.css")
_SCRIPT = ("script.js", "player.js", "table.js")
_LINKED_MEDIA = "data: 'self' file:"  # opened from disk, the page's own folder is of no origin


@dataclass(frozen=True)
class TrainingCurves:
    """Validation of the vocoders while they trained.

    Attributes:
        curves: (step, mel L1 on development clips) by name of the vocoder.
        levels: mel L1 of systems that do not train, by name.
    """

    curves: Mapping[str, Sequence[tuple[int, float]]]
    levels: Mapping[str, float]


def write_report(
    folder: Path,
    results: Results,
    speed: Speed | None,
    *,
    training: TrainingCurves | None = None,
    attention: bytes | None = None,
    run: Mapping[str, str] | None = None,
    max_players: int = 12,
    max_megabytes: float = 25.0,
    sounds: PlayerFormat = "flac",
) -> Path:
    """Write index.html, report.md and their data files into `folder`.

    Data files are results.json with its results.schema.json, results.csv, speed.json and run.json.
    The page holds its sounds and pictures up to a size; the sounds of utterances beyond it are
    played from `wavs/` beside the page, and an utterance whose pictures find no room either is
    left to `wavs/` altogether.

    Args:
        folder: holds `wavs/SYSTEM/CONDITION/ID.wav`, the recordings as
            `wavs/natural/recording/ID.wav`.
        results: what was measured.
        speed: what was timed; None if nothing was.
        training: curves to draw.
        attention: a PNG of the acoustic model's attention.
        run: how the evaluation was made (command, commit, machine), as text by name.
        max_players: most utterances to listen to: half of them the worst, the others spread evenly.
        max_megabytes: largest page.
        sounds: embedded lossless (`flac`), or as small `mp3`, which the page says.

    Returns:
        Path of the page.
    """
    view = build_view(results, speed, max_players=max_players)
    page = _context(view, training, attention, run)
    budget = int(max_megabytes * 1e6) - len(_render(page, []).encode())
    articles = list(build_articles(results, folder, view.selection, budget=budget, sounds=sounds))
    files = {**_data_files(view, run), "index.html": _render(page, articles)}
    for name, text in files.items():
        write_text(folder / name, text)
    return folder / "index.html"


def _data_files(view: ReportView, run: Mapping[str, str] | None) -> dict[str, str]:
    files = {
        "results.json": view.results.model_dump_json(indent=1) + "\n",
        "results.schema.json": json.dumps(Results.model_json_schema(), indent=1) + "\n",
        "results.csv": tables.results_csv(view.results),
        "report.md": report_markdown(view),
    }
    if view.speed is not None:
        files["speed.json"] = view.speed.model_dump_json(indent=1) + "\n"
    if run:
        files["run.json"] = json.dumps(dict(run), indent=1) + "\n"
    return files


def _render(page: Mapping[str, Any], articles: Sequence[Article]) -> str:
    linked = any(article.linked for article in articles)
    values = {**page, "articles": articles, "linked": linked}
    media = _LINKED_MEDIA if linked else "data:"
    return render_page(_TEMPLATE, values, folder=_ASSETS, style=_STYLE, script=_SCRIPT, media=media)


def _context(
    view: ReportView,
    training: TrainingCurves | None,
    attention: bytes | None,
    run: Mapping[str, str] | None,
) -> dict[str, Any]:
    results = view.results
    data, data_missing = embed_results(results)
    return {
        "title": results.title,
        "version": results.versions["wavewright"],
        "view": view,
        "results": results,
        "speed": view.speed,
        "rows": view.rows[:MAX_ROWS],
        "row_count": len(view.rows),
        "columns": measured_metrics(results),
        "data": data,
        "data_missing": data_missing,
        "run": run or {},
        **_charts(view),
        **_formats(),
        **_names(results),
        **_pictures(training, attention),
    }


def _charts(view: ReportView) -> dict[str, Any]:
    rankings = {name: condition.ranking for name, condition in view.conditions.items()}
    speed = {name: speed_chart(one, view.titles, view.speed) for name, one in rankings.items()}
    return {
        "charts": {name: headline_chart(one, view.titles) for name, one in rankings.items()},
        "forest_plot": forest_plot,
        "speed_charts": {name: chart for name, chart in speed.items() if chart is not None},
    }


def _formats() -> dict[str, Any]:
    """Functions with which the templates format values."""
    return {
        "arrows": tables.ARROWS,
        "better_direction": tables.better_direction,
        "format_parameters": tables.format_parameters,
        "format_fixed": formatting.format_fixed,
        "format_interval": formatting.format_interval,
        "format_p": formatting.format_p,
    }


def _names(results: Results) -> dict[str, Any]:
    candidates = [system for system in results.systems if system.kind != "natural"]
    return {
        "condition_titles": {c.id: c.title_in_sentence for c in results.conditions},
        "plain": {m.name: m.title for m in results.metrics if m.band is None and m.phones is None},
        "candidates": candidates,
        "places": {system.id: place for place, system in enumerate(candidates, start=1)},
        "pitch_available": pitch_available(),
    }


def _pictures(training: TrainingCurves | None, attention: bytes | None) -> dict[str, Any]:
    return {
        "curve": _curve(training),
        "level": " and ".join(training.levels if training else []),
        "attention": figures.data_uri("image/png", attention) if attention else "",
        "scale": figures.data_uri("image/webp", figures.color_scale()),
        "difference_scale": figures.data_uri("image/webp", figures.difference_scale()),
        "darkest": figures.DARKEST,
        "brightest": figures.BRIGHTEST,
        "farthest": figures.FARTHEST,
    }


def _curve(training: TrainingCurves | None) -> Markup | str:
    curves = {name: curve for name, curve in (training.curves if training else {}).items() if curve}
    if not curves or training is None:
        return ""
    return figures.training_curve(curves, training.levels, "mel L1, logarithmic")
