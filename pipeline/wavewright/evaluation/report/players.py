"""Articles of the listening section, built within a budget of bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from wavewright.audio.files import Wav, load_wav, to_pcm16
from wavewright.evaluation.layout import wav_file
from wavewright.evaluation.report.contours import (
    PitchContour,
    contour_chart,
    pitch_contour,
    pitch_range,
)
from wavewright.evaluation.report.formatting import decimal_places, format_fixed
from wavewright.evaluation.report.media import Article, PlayerClip, SelectedUtterance
from wavewright.evaluation.results import NATURAL, Results, System
from wavewright.metrics.logmel import metric_log_mel
from wavewright.metrics.metric import MAX_DURATION_MISMATCH, Condition, Undefined
from wavewright.webpage import sound
from wavewright.webpage.figures import data_uri, difference_image, mel_image

PlayerFormat = Literal["flac", "mp3"]


def build_articles(
    results: Results,
    folder: Path,
    selection: Sequence[SelectedUtterance],
    *,
    budget: int,
    sounds: PlayerFormat,
) -> Iterator[Article]:
    """Build the articles of the selected utterances while `budget` bytes last.

    An utterance whose sounds find no room keeps its pictures, and its players read the wavs
    beside the page; one whose pictures find no room either is left out.
    """
    limits = pitch_range([_load_recording(folder, one).pitch for one in selection])
    used = 0
    for one in selection:
        article = _build_article(results, folder, one, limits, sounds)
        if used + article.size() > budget:
            article = article.as_links()
        if used + article.size() <= budget:
            used += article.size()
            yield article


class _Audio(NamedTuple):
    """A sound with its pitch and log-mel."""

    wav: Wav
    sample_rate: int
    pitch: PitchContour | None
    mel: np.ndarray | None


def _load(path: Path) -> _Audio:
    wav, sample_rate = load_wav(path)
    try:
        mel = metric_log_mel(wav, sample_rate)
    except Undefined:
        mel = None
    return _Audio(wav, sample_rate, pitch_contour(wav, sample_rate), mel)


def _load_recording(folder: Path, selection: SelectedUtterance) -> _Audio:
    return _load(folder / wav_file(NATURAL, "", selection.utterance.id))


def _build_article(
    results: Results,
    folder: Path,
    selection: SelectedUtterance,
    limits: tuple[float, float],
    sounds: PlayerFormat,
) -> Article:
    natural = next(system for system in results.systems if system.id == NATURAL)
    recording = _load_recording(folder, selection)
    builder = _ClipBuilder(results, folder, selection.utterance.id, recording, limits, sounds)
    grid = []
    for system in results.systems:
        if system.id != NATURAL:
            row = [builder.clip(system, c.id) for c in results.evaluated_conditions()]
            if any(row):
                grid.append((system, row))
    clip = builder.build(natural, "", "the recording", recording, [])
    return Article(selection, clip, grid)


class _ClipBuilder:
    """Builds the clips of one utterance."""

    def __init__(
        self,
        results: Results,
        folder: Path,
        utterance: str,
        recording: _Audio,
        limits: tuple[float, float],
        sounds: PlayerFormat,
    ) -> None:
        self.results, self.folder, self.utterance = results, folder, utterance
        self.recording, self.limits, self.sounds = recording, limits, sounds
        self.values = {
            (v.system, v.condition, v.metric): v.value
            for v in results.values
            if v.utterance == utterance
        }
        self.titles = {c.id: c.title_in_sentence for c in results.conditions}

    def clip(self, system: System, condition: Condition) -> PlayerClip | None:
        """Clip of a system's copy of the utterance; None where it has no wav."""
        path = self.folder / wav_file(system.id, condition, self.utterance)
        if not path.is_file():
            return None
        numbers = [
            f"{metric.title} {format_fixed(value, decimal_places([value]))}"
            for metric in self.results.metrics_for(condition)
            if metric.phones is None
            and (value := self.values.get((system.id, condition, metric.id))) is not None
        ]
        label = f"{system.title}, {self.titles[condition]}"
        return self.build(system, condition, label, _load(path), numbers)

    def build(
        self, system: System, condition: str, label: str, audio: _Audio, numbers: list[str]
    ) -> PlayerClip:
        """Build a clip; its pictures are compared with the recording's if their times agree."""
        lossy = self.sounds == "mp3" and sound.can_encode_mp3(audio.sample_rate)
        encode = sound.mp3_uri if lossy else sound.flac_uri
        aligned = bool(condition) and self._same_timing(condition, audio)
        broad = self.recording.pitch if aligned or not condition else None
        thin = audio.pitch if condition else None
        return PlayerClip(
            system=system,
            condition=condition,
            label=f"{self.utterance}, {label}",
            seconds=len(audio.wav) / audio.sample_rate,
            audio=encode(to_pcm16(audio.wav), audio.sample_rate),
            lossy=lossy,
            image="" if audio.mel is None else data_uri("image/webp", mel_image(audio.mel)),
            difference=self._difference(audio) if aligned else "",
            pitch=contour_chart(broad, thin, self.limits, system.title),
            file=wav_file(system.id, condition, self.utterance),
            numbers=numbers,
        )

    def _same_timing(self, condition: str, audio: _Audio) -> bool:
        ours, true = (len(one.wav) / one.sample_rate for one in (audio, self.recording))
        return condition != "tts" and abs(ours - true) <= MAX_DURATION_MISMATCH * max(ours, true)

    def _difference(self, audio: _Audio) -> str:
        true = self.recording
        if audio.mel is None or true.mel is None or audio.sample_rate != true.sample_rate:
            return ""
        return data_uri("image/webp", difference_image(audio.mel, true.mel))
