"""Makes the articles of the listening section, within a budget of bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from wavewright.audio.files import Wav, load_wav, to_pcm16
from wavewright.evaluation.layout import wav_file
from wavewright.evaluation.report import contours
from wavewright.evaluation.report.contours import Contour
from wavewright.evaluation.report.formatting import decimals, fixed
from wavewright.evaluation.report.media import Article, Choice, Clip
from wavewright.evaluation.results import NATURAL, Results, System
from wavewright.metrics.logmel import measured_mel
from wavewright.metrics.metric import LONGEST_MISMATCH, Condition, Undefined
from wavewright.webpage import sound
from wavewright.webpage.figures import data_uri, difference_image, mel_image

Sounds = Literal["flac", "mp3"]


def articles(
    results: Results, folder: Path, choices: Sequence[Choice], *, budget: int, sounds: Sounds
) -> Iterator[Article]:
    """The chosen utterances while `budget` bytes last.

    An utterance whose sounds find no room keeps its pictures, and its players read the wavs
    beside the page; one whose pictures find no room either is left out.
    """
    limits = contours.span([_recording(folder, choice)[2] for choice in choices])
    spent = 0
    for choice in choices:
        article = _article(results, folder, choice, limits, sounds)
        if spent + article.size() > budget:
            article = article.without_sounds()
        if spent + article.size() <= budget:
            spent += article.size()
            yield article


class _Heard(NamedTuple):
    """A sound as it was read, and what is drawn of it."""

    wav: Wav
    sample_rate: int
    pitch: Contour | None
    mel: np.ndarray | None


def _heard(path: Path) -> _Heard:
    wav, sample_rate = load_wav(path)
    try:
        mel = measured_mel(wav, sample_rate)
    except Undefined:
        mel = None
    return _Heard(wav, sample_rate, contours.contour(wav, sample_rate), mel)


def _recording(folder: Path, choice: Choice) -> _Heard:
    return _heard(folder / wav_file(NATURAL, "", choice.utterance.id))


def _article(
    results: Results, folder: Path, choice: Choice, limits: tuple[float, float], sounds: Sounds
) -> Article:
    natural = next(system for system in results.systems if system.id == NATURAL)
    recording = _recording(folder, choice)
    made = _Maker(results, folder, choice.utterance.id, recording, limits, sounds)
    grid = []
    for system in results.systems:
        if system.id != NATURAL:
            row = [made.clip(system, condition.id) for condition in results.evaluated_conditions()]
            if any(row):
                grid.append((system, row))
    return Article(choice, made.make(natural, "", "the recording", recording, []), grid)


class _Maker:
    """Makes the clips of one utterance."""

    def __init__(
        self,
        results: Results,
        folder: Path,
        utterance: str,
        recording: _Heard,
        limits: tuple[float, float],
        sounds: Sounds,
    ) -> None:
        self.results, self.folder, self.utterance = results, folder, utterance
        self.recording, self.limits, self.sounds = recording, limits, sounds
        self.values = {
            (v.system, v.condition, v.metric): v.value
            for v in results.values
            if v.utterance == utterance
        }
        self.titles = {c.id: c.in_sentence for c in results.conditions}

    def clip(self, system: System, condition: Condition) -> Clip | None:
        """What a system made of the utterance; None where it made nothing."""
        path = self.folder / wav_file(system.id, condition, self.utterance)
        if not path.is_file():
            return None
        numbers = [
            f"{metric.title} {fixed(value, decimals([value]))}"
            for metric in self.results.metrics_of(condition)
            if metric.phones is None
            and (value := self.values.get((system.id, condition, metric.id))) is not None
        ]
        label = f"{system.title}, {self.titles[condition]}"
        return self.make(system, condition, label, _heard(path), numbers)

    def make(
        self, system: System, condition: str, label: str, heard: _Heard, numbers: list[str]
    ) -> Clip:
        """A clip of a sound; its pictures are compared with the recording's if times agree."""
        lossy = self.sounds == "mp3" and sound.can_mp3(heard.sample_rate)
        encode = sound.mp3 if lossy else sound.flac
        alike = bool(condition) and self._same_timing(condition, heard)
        broad = self.recording.pitch if alike or not condition else None
        thin = heard.pitch if condition else None
        return Clip(
            system=system,
            condition=condition,
            label=f"{self.utterance}, {label}",
            seconds=len(heard.wav) / heard.sample_rate,
            audio=encode(to_pcm16(heard.wav), heard.sample_rate),
            lossy=lossy,
            image="" if heard.mel is None else data_uri("image/webp", mel_image(heard.mel)),
            difference=self._difference(heard) if alike else "",
            pitch=contours.chart(broad, thin, self.limits, system.title),
            file=wav_file(system.id, condition, self.utterance),
            numbers=numbers,
        )

    def _same_timing(self, condition: str, heard: _Heard) -> bool:
        ours, true = (len(one.wav) / one.sample_rate for one in (heard, self.recording))
        return condition != "tts" and abs(ours - true) <= LONGEST_MISMATCH * max(ours, true)

    def _difference(self, heard: _Heard) -> str:
        true = self.recording
        if heard.mel is None or true.mel is None or heard.sample_rate != true.sample_rate:
            return ""
        return data_uri("image/webp", difference_image(heard.mel, true.mel))
