"""Players and pictures of the utterances in a report: clips, and the articles that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from wavewright.evaluation.results import System, Utterance

_MARKUP = 1500  # characters around one clip


@dataclass(frozen=True)
class SelectedUtterance:
    """An utterance to listen to, and the system and condition that play first.

    `reason` is empty for those that are not among the worst.
    """

    utterance: Utterance
    reason: str = ""
    system: str = ""
    condition: str = ""


@dataclass(frozen=True)
class PlayerClip:
    """One sound of one utterance: a player, pictures and its numbers.

    Attributes:
        system: the speaking system.
        condition: id, or empty for the recording itself.
        label: "hifigan:v3, copy-synthesis".
        seconds: its duration.
        audio: `data:` address of the sound, or its file where the page has no room for it.
        lossy: True for an MP3 of what was measured.
        image: log-mel as a `data:` address; empty for a clip too short to have one.
        difference: candidate less recording as a `data:` address; empty where timings differ.
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
    numbers: Sequence[str]

    @property
    def description(self) -> str:
        """Alternative text of the image."""
        numbers = f" {', '.join(self.numbers)}." if self.numbers else ""
        return f"Mel spectrogram of {self.label}: {self.seconds:.2f} s.{numbers}"

    @property
    def linked(self) -> bool:
        """True if the sound lies beside the page."""
        return self.audio == self.file

    def size(self) -> int:
        """Approximate number of characters that it adds to the page."""
        return sum(map(len, (self.audio, self.image, self.difference, self.pitch))) + _MARKUP

    def as_link(self) -> PlayerClip:
        """Copy that plays the wav beside the page."""
        return replace(self, audio=self.file, lossy=False)


@dataclass(frozen=True)
class Article:
    """One utterance of the listening section; `clip_rows` has a row of clips per system."""

    selection: SelectedUtterance
    natural: PlayerClip
    clip_rows: Sequence[tuple[System, Sequence[PlayerClip | None]]]

    @property
    def utterance(self) -> Utterance:
        """Utterance that all clips speak."""
        return self.selection.utterance

    @property
    def linked(self) -> bool:
        """True if the sounds lie beside the page."""
        return self.natural.linked

    def size(self) -> int:
        """Approximate number of characters that it adds to the page."""
        clips = [self.natural, *(clip for _, row in self.clip_rows for clip in row if clip)]
        return sum(clip.size() for clip in clips)

    def as_links(self) -> Article:
        """Copy whose players read the wavs beside the page."""
        rows = [
            (system, [clip and clip.as_link() for clip in row]) for system, row in self.clip_rows
        ]
        return replace(self, natural=self.natural.as_link(), clip_rows=rows)
