"""Contract of text-to-mel models: AcousticModel, its batches and its outputs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

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
        alignment_targets: (B, frames) float32, fractional index of the symbol spoken at each
            frame, NaN where unknown; or None. See `acoustic/alignment_targets.py`.
        speaker: (B,) int64, indices into the model's speakers; None for a single-speaker model.
        f0: (B, frames) in Hz, 0 where unvoiced and in the padding; None unless the model learns
            from pitch.
    """

    text: Tensor
    text_lengths: Tensor
    mel: Tensor
    mel_lengths: Tensor
    ids: list[str]
    alignment_targets: Tensor | None = None
    speaker: Tensor | None = None
    f0: Tensor | None = None

    def seconds(self, spec: MelSpec) -> float:
        """Seconds of speech in the batch, without padding."""
        return float(self.mel_lengths.sum()) * spec.hop_length / spec.sample_rate

    def to(self, device: torch.device) -> TextBatch:
        """Copy the batch to a device."""

        def moved(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.to(device, non_blocking=True)

        return TextBatch(
            self.text.to(device, non_blocking=True),
            self.text_lengths.to(device, non_blocking=True),
            self.mel.to(device, non_blocking=True),
            self.mel_lengths.to(device, non_blocking=True),
            self.ids,
            moved(self.alignment_targets),
            moved(self.speaker),
            moved(self.f0),
        )


@dataclass(frozen=True)
class AcousticOutput:
    """Mel and attention of one synthesized utterance.

    Attributes:
        mel: (n_mels, frames) float32, in the model's convention.
        alignment: (steps, symbols); each row sums to one.
        stopped: True if the stop gate ended the utterance, False if the length limit did; with
            teacher forcing, whether the gate was open at the last step.
    """

    mel: Tensor
    alignment: Tensor
    stopped: bool

    @property
    def scores(self) -> AlignmentScores:
        """Scores of the alignment: does it read the text in order, and to the end?"""
        return score_alignment(self.alignment)


def utterance_seed(seed: int, utterance: str) -> int:
    """Seed of one utterance's noise, independent of batch, order and process."""
    digest = hashlib.sha256(f"{seed}/{utterance}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class AcousticModel(Model):
    """Model that turns symbol indices into mels.

    Noise of an utterance comes from its own seed alone, so a batch equals its items.
    """

    #: Whether training and teacher forcing read `TextBatch.f0`.
    learns_from_pitch: ClassVar[bool] = False

    @property
    def uses_alignment_targets(self) -> bool:
        """True if training uses `TextBatch.alignment_targets`."""
        return False

    @property
    def needs_alignment_targets(self) -> bool:
        """True if utterances without alignment targets can be neither learned nor forced."""
        return False

    @property
    def reads_phones(self) -> bool:
        """True if recordings are encoded by the phones of their TextGrids, not by their texts."""
        return False

    @property
    def speakers(self) -> tuple[str, ...]:
        """Speaker names; empty for a single-speaker model."""
        return ()

    def speaker_index(self, name: str) -> int:
        """Index of a speaker, as in `TextBatch.speaker`; 0 for a single-speaker model.

        Raises:
            WavewrightError: unknown name, or no name although the model has several speakers.
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

    def load_partial(self, source: AcousticModel) -> list[str]:
        """Load another model's weights; return the names of what it did not have.

        Raises:
            WavewrightError: the weights do not fit.
        """
        self.load_inference_state(source.inference_state())
        return []

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols by the indices that `encode_text` returns."""
        raise WavewrightError(f"'{self.name}' does not read text")

    @property
    def language(self) -> str:
        """Language code of the phonemes that it reads, as in espeak-ng; empty for letters."""
        return ""

    def encode_text(self, text: str) -> list[int]:
        """Symbol indices of a text, as `generate` and `TextBatch.text` take them.

        Raises:
            WavewrightError: the text is empty or has unknown symbols.
        """
        raise WavewrightError(f"'{self.name}' does not read text")

    def generate(
        self,
        text: Sequence[int],
        *,
        seed: int,
        max_seconds: float | None = None,
        speaker: str = "",
    ) -> AcousticOutput:
        """Synthesize one text free-running; requires eval mode.

        Args:
            text: from `encode_text`.
            seed: seed of all noise.
            max_seconds: upper limit of the duration; None derives one from the text's length.
            speaker: speaker name; empty for a single-speaker model.
        """
        speakers = [speaker] if speaker else []
        return self.generate_batch(
            [text], seeds=[seed], max_seconds=max_seconds, speakers=speakers
        )[0]

    def generate_batch(
        self,
        texts: Sequence[Sequence[int]],
        *,
        seeds: Sequence[int],
        max_seconds: float | None,
        speakers: Sequence[str] = (),
    ) -> list[AcousticOutput]:
        """Synthesize several texts in one batch, each with its own seed and speaker."""
        raise WavewrightError(f"'{self.name}' cannot synthesize free-running")

    def teacher_force(self, batch: TextBatch, seeds: Sequence[int]) -> list[AcousticOutput]:
        """Predict ground-truth-aligned (GTA) mels of recordings; requires eval mode.

        Args:
            batch: texts and natural mels.
            seeds: noise seed of each utterance; see `utterance_seed`.

        Returns:
            Outputs in the batch's order; each mel has exactly its recording's number of frames.
        """
        return self.teacher_force_with_losses(batch, seeds)[1]

    def teacher_force_with_losses(
        self, batch: TextBatch, seeds: Sequence[int]
    ) -> tuple[dict[str, Tensor], list[AcousticOutput]]:
        """Teacher-force a batch; return the terms of the training loss by name, and the outputs."""
        raise WavewrightError(f"'{self.name}' cannot be teacher-forced")

    def require_eval(self) -> None:
        """Raise in training mode: dropout and batch statistics would corrupt the mels."""
        if self.training:
            raise WavewrightError(f"'{self.name}' is in training mode: call eval() first")
