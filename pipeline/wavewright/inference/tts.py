"""TTS: an acoustic model and a vocoder with compatible mels, loaded for synthesis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from wavewright.acoustic import synthesis
from wavewright.acoustic.synthesis import BATCH_SIZE, SentenceResult, default_text_rules
from wavewright.checkpoints.checkpoint import load_model
from wavewright.errors import MelMismatch, WavewrightError
from wavewright.inference.vocode import match_mel_spec, open_vocoder
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import convert_mel, silent_mel
from wavewright.models.acoustic import AcousticModel
from wavewright.models.vocoder import Vocoder
from wavewright.text.symbols import shorten
from wavewright.text.verbalisation.english import TextRules

_PAUSE = 0.2  # seconds between sentences


@dataclass(frozen=True)
class TTS:
    """Acoustic model and vocoder, ready for synthesis.

    Attributes:
        acoustic: in eval mode.
        vocoder: its mel spec is one that the acoustic model's mels convert to exactly.
        rules: how numbers and abbreviations are read.
        speaker: speaker of the acoustic model; empty for a single-speaker model.
    """

    acoustic: AcousticModel
    vocoder: Vocoder
    rules: TextRules
    speaker: str = ""

    def require_readable(self, text: str, where: str = "") -> None:
        """Raise if a text cannot be synthesized; see `synthesis.require_readable`."""
        synthesis.require_readable(self.acoustic, text, self.rules, where)

    def synthesize_text(self, text: str, *, seed: int) -> Iterator[SentenceResult]:
        """Synthesize one text, sentence by sentence; see `synthesis.synthesize_text`."""
        return synthesis.synthesize_text(
            self.acoustic, text, seed=seed, rules=self.rules, speaker=self.speaker
        )

    def synthesize_texts(
        self, texts: Mapping[str, str], *, seeds: Mapping[str, int], batch_size: int = BATCH_SIZE
    ) -> Iterator[tuple[str, list[SentenceResult]]]:
        """Synthesize many texts in batches; see `synthesis.synthesize_texts`."""
        return synthesis.synthesize_texts(
            self.acoustic,
            texts,
            seeds=seeds,
            rules=self.rules,
            speaker=self.speaker,
            batch_size=batch_size,
        )

    def pause_mel(self) -> Tensor:
        """Silence between two sentences, (n_mels, frames), in the vocoder's convention."""
        spec = self.acoustic.mel_spec
        frames = max(1, round(_PAUSE * spec.sample_rate / spec.hop_length))
        return self.convert_to_vocoder(torch.from_numpy(silent_mel(spec, frames)))

    def convert_to_vocoder(self, mel: Tensor) -> Tensor:
        """Convert a mel (n_mels, frames) of the acoustic model to the vocoder's convention."""
        return convert_mel(
            mel, self.acoustic.mel_spec.bands_first, self.vocoder.mel_spec.bands_first
        )

    def join_sentences(self, sentences: Sequence[SentenceResult]) -> Tensor:
        """Concatenate sentences with pauses, (n_mels, frames), in the vocoder's convention."""
        mels: list[Tensor] = []
        for sentence in sentences:
            mels += [self.pause_mel()] if mels else []
            mels.append(self.convert_to_vocoder(sentence.output.mel))
        return torch.cat(mels, dim=1)


def load_tts(
    acoustic: Path,
    checkpoint: Path,
    *,
    precision: str = "float32",
    engine: str = "fast",
    rules: TextRules | None = None,
    speaker: str = "",
) -> TTS:
    """Load an acoustic model and a vocoder, and check that their mels are compatible.

    Args:
        acoustic: checkpoint of the acoustic model.
        checkpoint: checkpoint of the vocoder, or the name of one that needs no training.
        precision: see `vocode_mel_file`.
        engine: see `vocode_mel_file`.
        rules: text rules; None selects `default_text_rules`.
        speaker: speaker name, for whichever of the two models is multi-speaker; else empty.

    Raises:
        WavewrightError: a checkpoint of the wrong kind, or an unknown speaker.
        MelMismatch: names the fields in which the mels cannot be converted exactly.
    """
    model, vocoder = load_model(acoustic), open_vocoder(checkpoint, precision, engine)
    if not isinstance(model, AcousticModel):
        raise WavewrightError(f"{acoustic}: holds the vocoder '{model.name}', no acoustic model")
    if speaker and vocoder.speakers:
        vocoder.speaker = speaker
    own_speaker = speaker if model.speakers or not vocoder.speakers else ""
    model.speaker_index(own_speaker)
    vocoder = match_mel_spec(vocoder, model.mel_spec)
    _require_compatible(model.mel_spec, vocoder.mel_spec, acoustic, checkpoint)
    return TTS(model, vocoder, rules or default_text_rules(model), own_speaker)


def _require_compatible(source: MelSpec, target: MelSpec, mine: Path, theirs: Path) -> None:
    """Raise, before anything is synthesized, if mels cannot be converted exactly."""
    try:
        empty = torch.empty(source.n_mels, 0)
        convert_mel(empty, source.bands_first, target.bands_first)
    except MelMismatch:
        source.require_equal(target, mine=f"{mine}", theirs=f"{theirs}")
        raise


def describe_failures(sentences: Iterable[SentenceResult], prefix: str = "") -> list[str]:
    """One message for each sentence whose synthesis failed."""
    return [f"{prefix}{shorten(s.text)}: the model {s.failure}." for s in sentences if s.failure]
