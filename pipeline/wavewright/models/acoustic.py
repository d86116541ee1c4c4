"""AcousticModel: the contract between text-to-mel models and the stages that use them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from wavewright.errors import WavewrightError, shorten_list
from wavewright.mel.spec import MelSpec
from wavewright.models.alignment_scores import AlignmentScores, score_alignment
from wavewright.models.base import Model


@dataclass
class TextBatch:
    """Utterances with their text, padded to the longest.

    Attributes:
        text: (B, symbols) int64, padded with 0.
        text_lengths: (B,) int64.
        mel: (B, n_mels, frames), padded with the spec's silence.
        mel_lengths: (B,) int64, in frames.
        ids: the utterances.
        places: (B, frames) float32, the symbol spoken at each frame as a fractional number, NaN
            where it is not known; or None. See `places.word_places`.
        speaker: (B,) int64, numbers of the model's speakers; None for a model of one voice.
    """

    text: Tensor
    text_lengths: Tensor
    mel: Tensor
    mel_lengths: Tensor
    ids: list[str]
    places: Tensor | None = None
    speaker: Tensor | None = None

    def seconds(self, spec: MelSpec) -> float:
        """Of speech in the batch."""
        return float(self.mel_lengths.sum()) * spec.hop_length / spec.sample_rate

    def to(self, device: torch.device) -> TextBatch:
        """The same batch on a device."""
        return TextBatch(
            self.text.to(device, non_blocking=True),
            self.text_lengths.to(device, non_blocking=True),
            self.mel.to(device, non_blocking=True),
            self.mel_lengths.to(device, non_blocking=True),
            self.ids,
            None if self.places is None else self.places.to(device, non_blocking=True),
            None if self.speaker is None else self.speaker.to(device, non_blocking=True),
        )


@dataclass(frozen=True)
class Speech:
    """One spoken utterance.

    Attributes:
        mel: (n_mels, frames) float32, in the model's convention.
        alignment: (steps, symbols); each row sums to one.
        stopped: the model itself found the end, rather than reaching a limit; with teacher
            forcing, whether it would have stopped at the last step.
    """

    mel: Tensor
    alignment: Tensor
    stopped: bool

    @property
    def scores(self) -> AlignmentScores:
        """How well the alignment reads the text from its start to its end."""
        return score_alignment(self.alignment)


def utterance_seed(seed: int, utterance: str) -> int:
    """A seed for one utterance's noise: it depends on no batch, order or process."""
    digest = hashlib.sha256(f"{seed}/{utterance}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class AcousticModel(Model):
    """Turns numbered symbols into mels.

    Noise for an utterance comes from its own seed alone, so that a batch equals its items.
    """

    kind: ClassVar[Literal["vocoder", "acoustic"]] = "acoustic"

    @property
    def learns_places(self) -> bool:
        """Whether training makes use of `TextBatch.places`."""
        return False

    @property
    def reads_phones(self) -> bool:
        """Whether recordings are told it by the phones of their TextGrids, not by their texts."""
        return False

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names of those it can speak as; empty for one voice."""
        return ()

    def speaker_number(self, name: str) -> int:
        """What `TextBatch.speaker` calls one of several speakers; 0 for a model of one voice.

        Raises:
            WavewrightError: no name where there are several, or one that is not known.
        """
        if name in self.speakers:
            return self.speakers.index(name)
        if not name and not self.speakers:
            return 0
        wrong = f"cannot speak as '{name}'" if name else "has several speakers: name one of them"
        known = (
            f"Speakers: {shorten_list(self.speakers)}." if self.speakers else "It has one voice."
        )
        raise WavewrightError(f"'{self.name}' {wrong}. {known}")

    def adopt(self, source: AcousticModel) -> list[str]:
        """Start from another model's weights; returns what of this one it did not have.

        Raises:
            WavewrightError: the weights do not fit.
        """
        self.load_inference_state(source.inference_state())
        return []

    @property
    def symbols(self) -> tuple[str, ...]:
        """What the numbers of `encode_text` stand for."""
        raise WavewrightError(f"'{self.name}' does not read text")

    @property
    def language(self) -> str:
        """Whose phonemes it reads, as espeak-ng calls it; empty if it reads letters."""
        return ""

    def encode_text(self, text: str) -> list[int]:
        """Numbers of a text's symbols, as `speak` and `TextBatch.text` take them.

        Raises:
            WavewrightError: the text is empty or has symbols that the model does not know.
        """
        raise WavewrightError(f"'{self.name}' does not read text")

    def speak(
        self,
        text: Sequence[int],
        *,
        seed: int,
        max_seconds: float | None = None,
        speaker: str = "",
    ) -> Speech:
        """Say one text freely, in eval mode.

        Args:
            text: from `encode_text`.
            seed: of all noise.
            max_seconds: where to stop at the latest; None means a limit by the text's length.
            speaker: whose voice, of a model that has several.
        """
        speakers = [speaker] if speaker else []
        return self.speak_all([text], seeds=[seed], max_seconds=max_seconds, speakers=speakers)[0]

    def speak_all(
        self,
        texts: Sequence[Sequence[int]],
        *,
        seeds: Sequence[int],
        max_seconds: float | None,
        speakers: Sequence[str] = (),
    ) -> list[Speech]:
        """`speak` for several texts at once, each with its own seed and speaker."""
        raise WavewrightError(f"'{self.name}' cannot speak freely")

    def teacher_forced(self, batch: TextBatch, seeds: Sequence[int]) -> list[Speech]:
        """Mels that follow the recordings frame by frame (GTA mels), in eval mode.

        Args:
            batch: texts and natural mels.
            seeds: of each utterance's noise; see `utterance_seed`.

        Returns:
            In the batch's order; each mel has exactly its recording's number of frames.
        """
        return self.follow(batch, seeds)[1]

    def follow(
        self, batch: TextBatch, seeds: Sequence[int]
    ) -> tuple[dict[str, Tensor], list[Speech]]:
        """`teacher_forced`, and the terms of the training loss on the way, by name."""
        raise WavewrightError(f"'{self.name}' cannot follow recordings")

    def require_eval(self) -> None:
        """Raise in training mode, where dropout and batch statistics would spoil the mels."""
        if self.training:
            raise WavewrightError(f"'{self.name}' is in training mode: call eval() first")
