"""What readers hear and see of each utterance: clips, and the articles that hold them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from markupsafe import Markup

from wavewright.evaluation.results import System, Utterance

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


def _linked(clip: Clip) -> Clip:
    return replace(clip, audio=clip.file, lossy=False)
