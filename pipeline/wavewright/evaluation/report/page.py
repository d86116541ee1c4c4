"""The page: one HTML file that opens from disk, loads nothing and shows everything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from wavewright.evaluation.report import contours, outliers, overview, tables, utterances
from wavewright.evaluation.report import embedded_data as raw
from wavewright.evaluation.report import formatting as digits
from wavewright.evaluation.report.markdown import results_markdown
from wavewright.evaluation.report.media import Article
from wavewright.evaluation.report.players import Sounds, articles
from wavewright.evaluation.report.verdict import answers, blame
from wavewright.evaluation.results import Results, Speed, SystemSpeed
from wavewright.io.files import write_text
from wavewright.webpage import figures
from wavewright.webpage.render import render

_TEMPLATE = "evaluation.html.j2"
_ASSETS = Path(__file__).parent / "assets"
_STYLE = ("style.css", "evaluation.css")
_SCRIPT = ("script.js", "player.js", "table.js")
_BESIDE = "data: 'self' file:"  # opened from disk, the page's own folder is of no origin


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
    sounds: Sounds = "flac",
) -> Path:
    """Write index.html, report.md, and the data files that they show, into `folder`.

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
        shown: most utterances to listen to: half of them the worst, the others spread evenly.
        megabytes: largest page.
        sounds: embedded lossless (`flac`), or as small `mp3`, which the page says.

    Returns:
        The page's path.
    """
    files = _data_files(results, speed, run)
    page = _context(results, speed, training, attention, run, shown)
    around = len(_render(page, []).encode())
    budget = int(megabytes * 1e6) - around
    found = articles(results, folder, page["choices"], budget=budget, sounds=sounds)
    files["index.html"] = _render(page, list(found))
    for name, text in files.items():
        write_text(folder / name, text)
    return folder / "index.html"


def _data_files(
    results: Results, speed: Speed | None, run: Mapping[str, str] | None
) -> dict[str, str]:
    files = {
        "results.json": results.model_dump_json(indent=1) + "\n",
        "results.schema.json": json.dumps(Results.model_json_schema(), indent=1) + "\n",
        "results.csv": tables.results_csv(results),
        "report.md": results_markdown(results, speed),
    }
    if speed is not None:
        files["speed.json"] = speed.model_dump_json(indent=1) + "\n"
    if run:
        files["run.json"] = json.dumps(dict(run), indent=1) + "\n"
    return files


def _render(page: Mapping[str, Any], shown: list[Article]) -> str:
    beside = any(article.linked for article in shown)
    values = {**page, "articles": shown, "beside": beside}
    media = _BESIDE if beside else "data:"
    return render(_TEMPLATE, values, folder=_ASSETS, style=_STYLE, script=_SCRIPT, media=media)


def _context(
    results: Results,
    speed: Speed | None,
    training: Training | None,
    attention: bytes | None,
    run: Mapping[str, str] | None,
    shown: int,
) -> dict[str, Any]:
    known = outliers.deviations(results)
    every = utterances.rows(results, known)
    data, missing = raw.embedded(results)
    return {
        "title": results.title,
        "version": results.versions["wavewright"],
        "results": results,
        "answers": answers(results),
        "blame": blame(results),
        "tables": {c.id: tables.summary_tables(results, c) for c in results.evaluated_conditions()},
        "charts": {c.id: overview.chart(results, c.id) for c in results.evaluated_conditions()},
        "pairs": {c.id: overview.pairs(results, c.id) for c in results.evaluated_conditions()},
        "scatters": overview.scatters(results, speed),
        "rows": every[: utterances.MOST],
        "row_count": len(every),
        "columns": utterances.columns(results),
        "choices": outliers.choose(results, shown, known),
        "data": data,
        "data_missing": missing,
        "run": run or {},
        **_words(results),
        **_speeds(results, speed),
        **_pictures(training, attention),
    }


def _words(results: Results) -> dict[str, Any]:
    """Functions and names that the template needs to say things."""
    candidates = [system for system in results.systems if system.kind != "natural"]
    return {
        "better_direction": tables.better_direction,
        "parameters": tables.parameters,
        "arrows": tables.ARROWS,
        "fixed": digits.fixed,
        "interval": digits.interval,
        "probability": digits.probability,
        "names": {system.id: system.title for system in results.systems},
        "titles": {condition.id: condition.in_sentence for condition in results.conditions},
        "plain": {m.name: m.title for m in results.metrics if m.band is None and m.phones is None},
        "candidates": candidates,
        "places": {system.id: place for place, system in enumerate(candidates, start=1)},
        "pitched": contours.available(),
    }


def _speeds(results: Results, speed: Speed | None) -> dict[str, Any]:
    by_id = {system.id: system for system in results.systems}
    timed: Sequence[SystemSpeed] = () if speed is None else speed.systems
    return {"speed": speed, "speeds": [(by_id[row.system], row) for row in timed]}


def _pictures(training: Training | None, attention: bytes | None) -> dict[str, Any]:
    return {
        "curve": _curve(training),
        "level": " and ".join(training.levels if training else []),
        "attention": figures.data_uri("image/png", attention) if attention else "",
        "scale": figures.data_uri("image/webp", figures.colour_scale()),
        "difference_scale": figures.data_uri("image/webp", figures.difference_scale()),
        "darkest": figures.DARKEST,
        "brightest": figures.BRIGHTEST,
        "farthest": figures.FARTHEST,
    }


def _curve(training: Training | None) -> Markup | str:
    curves = {name: curve for name, curve in (training.curves if training else {}).items() if curve}
    if not curves or training is None:
        return ""
    return figures.training_curve(curves, training.levels, "mel L1, logarithmic")
