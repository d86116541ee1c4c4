"""What readers hear and see of each utterance, embedded in the page within a budget of bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from markupsafe import Markup

from wavewright.audio import Wav, load_wav, to_pcm16
from wavewright.metrics.logmel import measured_mel
from wavewright.metrics.metric import LONGEST_MISMATCH, Condition, Undefined
from wavewright.report import contours, sound
from wavewright.report.contours import Contour
from wavewright.report.digits import decimals, fixed
from wavewright.report.figures import data_uri, difference_image, mel_image
from wavewright.report.results import NATURAL, Results, System, Utterance

Sounds = Literal["flac", "mp3"]
Item = TypeVar("Item")
_MARKUP = 1500  # characters around one clip


@dataclass(frozen=True)
class Choice:
    """An utterance to listen to, and who is heard first.

    `reason` is empty for those that are not among the worst.
    """

    utterance: Utterance
    reason: str = ""
    system: str = ""
    condition: str = ""


@dataclass(frozen=True)
class Clip:
    """One sound of one utterance: a player, pictures and its numbers.

    Attributes:
        system: who speaks.
        condition: id, or empty for the recording itself.
        label: "hifigan:v3, copy-synthesis".
        seconds: its duration.
        audio: the sound as a data: address, or its file's where the page has no room for it.
        lossy: it is not what was measured, but an MP3 of it.
        image: log-mel as a data: address; empty for a clip too short to have one.
        difference: candidate less recording as a data: address; empty where timing is another.
        pitch: chart of F0 over the recording's; empty where there is none.
        file: its wav, relative to the page.
        numbers: "mel L1 0.312", one per metric.
    """

    system: System
    condition: str
    label: str
    seconds: float
    audio: str
    lossy: bool
    image: str
    difference: str
    pitch: Markup
    file: str
    numbers: list[str]

    @property
    def description(self) -> str:
        """Alternative text of the image."""
        numbers = f" {', '.join(self.numbers)}." if self.numbers else ""
        return f"Mel spectrogram of {self.label}: {self.seconds:.2f} s.{numbers}"

    @property
    def linked(self) -> bool:
        """Its sound lies beside the page."""
        return self.audio == self.file

    def size(self) -> int:
        """Characters that it adds to the page, roughly."""
        return sum(map(len, (self.audio, self.image, self.difference, self.pitch))) + _MARKUP


@dataclass(frozen=True)
class Article:
    """One utterance of the listening section; `grid` has a row of clips per system."""

    choice: Choice
    natural: Clip
    grid: list[tuple[System, list[Clip | None]]]

    @property
    def utterance(self) -> Utterance:
        """What is said."""
        return self.choice.utterance

    @property
    def linked(self) -> bool:
        """Its sounds lie beside the page."""
        return self.natural.linked

    def size(self) -> int:
        """Characters that it adds to the page, roughly."""
        clips = [self.natural, *(clip for _, row in self.grid for clip in row if clip)]
        return sum(clip.size() for clip in clips)

    def without_sounds(self) -> Article:
        """The same with players that read the wavs beside the page."""
        grid = [(system, [clip and _linked(clip) for clip in row]) for system, row in self.grid]
        return replace(self, natural=_linked(self.natural), grid=grid)


def wav_file(system: str, condition: str, utterance: str) -> str:
    """Where a sound lies, relative to the report's folder."""
    return f"wavs/{system}/{condition or 'recording'}/{utterance}.wav"


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """`count` of the items, spread over the whole list."""
    if count >= len(items):
        return list(items)
    return [items[round(i * (len(items) - 1) / max(1, count - 1))] for i in range(count)]


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
            row = [made.clip(system, condition.id) for condition in results.present()]
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


def _linked(clip: Clip) -> Clip:
    return replace(clip, audio=clip.file, lossy=False)
