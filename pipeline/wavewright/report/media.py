"""What readers hear and see of each utterance, embedded in the page within a budget of bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from wavewright.audio import Wav, load_wav, to_pcm16
from wavewright.metrics.logmel import measured_mel
from wavewright.metrics.metric import Condition, Undefined
from wavewright.report.figures import data_uri, mel_image
from wavewright.report.results import NATURAL, Results, System, Utterance
from wavewright.report.sound import flac

Item = TypeVar("Item")


@dataclass(frozen=True)
class Clip:
    """One sound of one utterance: a player, a picture and its numbers.

    Attributes:
        system: who speaks.
        condition: id, or empty for the recording itself.
        label: "hifigan:v3, copy-synthesis".
        seconds: its duration.
        audio: FLAC as a data: address.
        image: log-mel as a data: address; empty for a clip too short to have one.
        file: its wav, relative to the page.
        numbers: "mel L1 0.312", one per metric.
    """

    system: System
    condition: str
    label: str
    seconds: float
    audio: str
    image: str
    file: str
    numbers: list[str]

    @property
    def description(self) -> str:
        """Alternative text of the image."""
        numbers = f" {', '.join(self.numbers)}." if self.numbers else ""
        return f"Mel spectrogram of {self.label}: {self.seconds:.2f} s.{numbers}"


@dataclass(frozen=True)
class Article:
    """One utterance of the listening section; `grid` has a row of clips per system."""

    utterance: Utterance
    natural: Clip
    grid: list[tuple[System, list[Clip | None]]]

    def size(self) -> int:
        """Characters that its media add to the page."""
        clips = [self.natural, *(clip for _, row in self.grid for clip in row if clip)]
        return sum(len(clip.audio) + len(clip.image) for clip in clips)


def wav_file(system: str, condition: str, utterance: str) -> str:
    """Where a sound lies, relative to the report's folder."""
    return f"wavs/{system}/{condition or 'recording'}/{utterance}.wav"


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """`count` of the items, spread over the whole list."""
    if count >= len(items):
        return list(items)
    return [items[round(i * (len(items) - 1) / max(1, count - 1))] for i in range(count)]


def articles(results: Results, folder: Path, *, shown: int, budget: int) -> Iterator[Article]:
    """Up to `shown` utterances, spread over the test set, while `budget` bytes last."""
    spent = 0
    for utterance in evenly(results.utterances, shown):
        article = _article(results, folder, utterance)
        spent += article.size()
        if spent > budget:
            return
        yield article


def _article(results: Results, folder: Path, utterance: Utterance) -> Article:
    values = {
        (v.system, v.condition, v.metric): v.value
        for v in results.values
        if v.utterance == utterance.id
    }
    natural = next(system for system in results.systems if system.id == NATURAL)
    grid = []
    for system in results.systems:
        if system.id == NATURAL:
            continue
        row: list[Clip | None] = []
        for condition in results.present():
            numbers = [
                f"{metric.title} {value:.3f}"
                for metric in results.metrics_of(condition.id)
                if (value := values.get((system.id, condition.id, metric.id))) is not None
            ]
            label = f"{system.title}, {condition.in_sentence}"
            row.append(_clip(folder, system, condition.id, utterance.id, label, numbers))
        if any(row):
            grid.append((system, row))
    recording = _clip(folder, natural, "", utterance.id, "the recording", [])
    if recording is None:
        raise FileNotFoundError(folder / wav_file(NATURAL, "", utterance.id))
    return Article(utterance, recording, grid)


def _clip(
    folder: Path,
    system: System,
    condition: Condition | str,
    utterance: str,
    label: str,
    numbers: list[str],
) -> Clip | None:
    file = wav_file(system.id, condition, utterance)
    if not (folder / file).is_file():
        return None
    wav, sample_rate = load_wav(folder / file)
    return Clip(
        system=system,
        condition=condition,
        label=f"{utterance}, {label}",
        seconds=len(wav) / sample_rate,
        audio=flac(to_pcm16(wav), sample_rate),
        image=_picture(wav, sample_rate),
        file=file,
        numbers=numbers,
    )


def _picture(wav: Wav, sample_rate: int) -> str:
    try:
        return data_uri("image/webp", mel_image(measured_mel(wav, sample_rate)))
    except Undefined:
        return ""
