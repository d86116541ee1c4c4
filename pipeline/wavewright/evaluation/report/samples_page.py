"""Page about unconditional samples: their quality, variety and novelty."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from wavewright.audio.files import load_wav, to_pcm16
from wavewright.evaluation.layout import pick_evenly
from wavewright.evaluation.samples_results import GeneratedSound, SamplesResults, SoundSet
from wavewright.io.csv_text import csv_text
from wavewright.io.files import atomic_write, write_text
from wavewright.metrics.logmel import metric_log_mel
from wavewright.metrics.ltas import band_frequencies
from wavewright.metrics.metric import Undefined
from wavewright.webpage.figures import Axis, data_uri, mel_image, svg_chart
from wavewright.webpage.markdown import escape_markdown
from wavewright.webpage.render import render_page
from wavewright.webpage.sound import flac_uri

_TEMPLATE = "samples.html.j2"
_ASSETS = Path(__file__).parent / "assets"
_DASHES = ("", "7 4", "2 3", "9 3 2 3", "1 4")
_COLORS = ("#0b6470", "#b4470f", "#5a3fa0", "#8a6100", "#a3195b")


@dataclass(frozen=True)
class SampleCard:
    """Player of one sound, with its picture."""

    sound: GeneratedSound
    number: int
    seconds: float
    audio: str
    image: str


def write_samples_report(
    folder: Path, results: SamplesResults, *, max_players: int = 12, max_megabytes: float = 25.0
) -> Path:
    """Write index.html, results.json and .csv, report.md and spectrum.png into a folder with wavs.

    Args:
        folder: has the sounds already, where the results say.
        results: what the page shows.
        max_players: most sounds of each system in the page.
        max_megabytes: largest page; fewer sounds are embedded to stay below it.
    """
    from wavewright._version import __version__

    write_text(folder / "results.json", json.dumps(results.model_dump(mode="json"), indent=1))
    write_text(folder / "results.csv", samples_csv(results))
    write_text(folder / "report.md", samples_markdown(results))
    draw_spectra(results, folder / "spectrum.png")
    vocoders = [item for item in results.sets if item.kind == "vocoder"]
    budget = int(max_megabytes * 1e6 / max(1, len(vocoders)))
    page = {
        "title": results.title,
        "version": __version__,
        "results": results,
        "vocoders": vocoders,
        "answer": answer(results),
        "chart": spectrum_chart(results),
        "cards": {item.id: _cards(folder, item, max_players, budget) for item in vocoders},
        "closest": {item.id: closest(item) for item in vocoders},
    }
    path = folder / "index.html"
    write_text(path, render_page(_TEMPLATE, page, folder=_ASSETS))
    return path


def answer(results: SamplesResults) -> str:
    """Summary in a sentence or two: the best vocoders by two metrics."""
    test = next(item for item in results.sets if item.id == "test")
    vocoders = [item for item in results.sets if item.kind == "vocoder"]
    best = max(vocoders, key=lambda item: item.inception)
    text = (
        f"{best.title} has the highest Inception score: {best.inception:.2f} where the test "
        f"split's recordings have {test.inception:.2f} (1 to {len(best.counts)})."
    )
    scored = [item for item in vocoders if item.frechet is not None]
    if scored:
        nearest = min(scored, key=lambda item: item.frechet or 0.0)
        text += (
            f" By the Frechet distance of the classifier's features, {nearest.title} comes "
            f"nearest to the corpus: {nearest.frechet:.1f}; the test split is at "
            f"{test.frechet or 0.0:.1f}."
        )
    return text


def closest(item: SoundSet) -> GeneratedSound:
    """Sound of a set that is nearest to a recording."""
    return min(item.examples, key=lambda sound: sound.distance)


def spectrum_chart(results: SamplesResults) -> Markup:
    """Chart of the long-term spectra of the test split and every vocoder, in dB over Hz."""
    frequencies = band_frequencies(results.mel)
    sets = _charted_sets(results)
    values = np.array([item.ltas for item in sets])
    x = Axis(0, results.mel.sample_rate / 2, 52, 470)
    y = Axis(float(values.min()) - 2, float(values.max()) + 2, 258, 14)
    parts = []
    for tick in y.ticks():
        parts.append(
            Markup(
                '<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>'
                '<text class="tick" x="{3}" y="{4}" text-anchor="end">{5}</text>'
            ).format(x.start, x.stop, y.at(tick), x.start - 8, y.at(tick) + 4, f"{tick:g}")
        )
    for tick in x.ticks():
        parts.append(
            Markup('<text class="tick" x="{0}" y="{1}" text-anchor="middle">{2}</text>').format(
                x.at(tick), y.start + 18, f"{tick:,.0f}"
            )
        )
    parts.append(
        Markup(
            '<text class="tick" x="{0}" y="{1}" text-anchor="middle">Hz</text>'
            '<text class="tick" transform="translate(12 {2}) rotate(-90)" '
            'text-anchor="middle">dB</text>'
        ).format((x.start + x.stop) / 2, y.start + 36, (y.start + y.stop) / 2)
    )
    for index, item in enumerate(sets):
        points = " ".join(
            f"{x.at(f)},{y.at(v)}" for f, v in zip(frequencies, item.ltas, strict=True)
        )
        dashes = _DASHES[index % len(_DASHES)]
        parts.append(
            Markup(
                '<polyline class="series s{0}" stroke-dasharray="{1}" points="{2}"/>'
                '<line class="series s{0}" stroke-dasharray="{1}" x1="484" x2="512" y1="{3}" '
                'y2="{3}"/><text class="label s{0}" x="518" y="{4}">{5}</text>'
            ).format(index % 5, dashes, points, 24 + 20 * index, 28 + 20 * index, item.title)
        )
    apart = "; ".join(f"{i.title} {i.ltas_distance:.1f} dB away" for i in sets if i.id != "test")
    title = f"Long-term spectra by mel band. From the test split's: {apart}."
    return svg_chart(690, 300, title, parts)


def draw_spectra(results: SamplesResults, path: Path) -> None:
    """Draw the long-term spectra as a PNG, for a README."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.6, 3.4), layout="constrained")
    axes = figure.subplots()
    frequencies = band_frequencies(results.mel)
    for index, item in enumerate(_charted_sets(results)):
        (line,) = axes.plot(
            frequencies, item.ltas, color=_COLORS[index % 5], linewidth=1.5, label=item.title
        )
        if dashes := _DASHES[index % 5]:
            line.set_dashes([float(length) / 1.5 for length in dashes.split()])
    axes.set_xlabel("Hz")
    axes.set_ylabel("dB")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    with atomic_write(path) as scratch:
        figure.savefig(scratch, format="png", dpi=110, metadata={"Software": None})


def _charted_sets(results: SamplesResults) -> list[SoundSet]:
    return [item for item in results.sets if item.kind == "vocoder" or item.id == "test"]


def _cards(folder: Path, item: SoundSet, max_players: int, budget: int) -> list[SampleCard]:
    cards: list[SampleCard] = []
    spent = 0
    for number, sound in pick_evenly(list(enumerate(item.examples)), max_players):
        wav, rate = load_wav(folder / sound.file)
        try:
            image = data_uri("image/webp", mel_image(metric_log_mel(wav, rate)))
        except Undefined:
            image = ""
        audio = flac_uri(to_pcm16(wav), rate)
        spent += len(audio) + len(image)
        if spent > budget:
            break
        cards.append(SampleCard(sound, number, len(wav) / rate, audio, image))
    return cards


def samples_csv(results: SamplesResults) -> str:
    """One line per sound: system, file, class, probability, nearest recording, distance."""
    rows = [
        (item.id, sound.file, sound.heard, sound.sureness, sound.nearest, sound.distance)
        for item in results.sets
        for sound in item.examples
    ]
    return csv_text([("system", "file", "heard", "sureness", "nearest", "distance"), *rows])


def samples_markdown(results: SamplesResults) -> str:
    """Table of the results as Markdown, to paste into a README."""
    lines = [f"# {escape_markdown(results.title)}", "", escape_markdown(answer(results)), ""]
    lines += [escape_markdown(results.note), ""] if results.note else []
    lines += [
        "| sounds | n | Inception score ↑ | Frechet ↓ | classes heard | to train | to itself "
        "| LTAS, dB ↓ |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [f"| {' | '.join(_row(item))} |" for item in results.sets]
    lines += [
        "",
        f"A classifier that tells {100 * results.accuracy['test']:.1f} % of the test split judges. "
        "Distances are Euclidean between log-mels, to the nearest neighbour in the train split and "
        "in the same set.",
        "",
    ]
    return "\n".join(lines)


def _row(item: SoundSet) -> Sequence[str]:
    return (
        escape_markdown(item.title),
        str(item.sounds),
        f"{item.inception:.2f} ± {item.inception_deviation:.2f}",
        "too few" if item.frechet is None else f"{item.frechet:.2f}",
        f"{item.classes:.1f}",
        f"{item.to_train:.1f}",
        f"{item.to_itself:.1f}",
        f"{item.ltas_distance:.1f}",
    )
