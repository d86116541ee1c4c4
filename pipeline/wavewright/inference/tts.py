"""Voice: an acoustic model and a vocoder that fit each other, and how they read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from wavewright.acoustic import synthesis as reading
from wavewright.acoustic.synthesis import Said, require_readable, rules_for
from wavewright.checkpoints.checkpoint import load_model
from wavewright.errors import MelMismatch, WavewrightError
from wavewright.inference.vocode import open_vocoder, speaking
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import convert_mel, silent_mel
from wavewright.models.acoustic import AcousticModel
from wavewright.models.vocoder import Vocoder
from wavewright.text.symbols import shorten
from wavewright.text.verbalisation.english import TextRules

_PAUSE = 0.2  # seconds between sentences


@dataclass(frozen=True)
class Voice:
    """What speaks.

    Attributes:
        acoustic: in eval mode.
        vocoder: of a convention that the acoustic model's mels can be converted to exactly.
        rules: how numbers and abbreviations are read.
        speaker: of the acoustic model; empty for its only one.
    """

    acoustic: AcousticModel
    vocoder: Vocoder
    rules: TextRules
    speaker: str = ""

    def require_readable(self, text: str, where: str = "") -> None:
        """Raise unless a text can be said; see `reading.require_readable`."""
        require_readable(self.acoustic, text, self.rules, where)

    def read(self, text: str, *, seed: int) -> Iterator[Said]:
        """One text, sentence by sentence; see `reading.read`."""
        return reading.read(self.acoustic, text, seed=seed, rules=self.rules, speaker=self.speaker)

    def read_all(
        self, texts: Mapping[str, str], *, seeds: Mapping[str, int], batch_size: int = reading.BATCH
    ) -> Iterator[tuple[str, list[Said]]]:
        """Many texts, sentences of like length at once; see `reading.read_all`."""
        return reading.read_all(
            self.acoustic,
            texts,
            seeds=seeds,
            rules=self.rules,
            speaker=self.speaker,
            batch_size=batch_size,
        )

    def pause(self) -> Tensor:
        """(n_mels, frames) of the silence between two sentences, as the vocoder takes it."""
        spec = self.acoustic.mel_spec
        frames = max(1, round(_PAUSE * spec.sample_rate / spec.hop_length))
        return self.converted(torch.from_numpy(silent_mel(spec, frames)))

    def converted(self, mel: Tensor) -> Tensor:
        """(n_mels, frames) of the acoustic model, as the vocoder takes it."""
        return convert_mel(
            mel, self.acoustic.mel_spec.bands_first, self.vocoder.mel_spec.bands_first
        )

    def joined(self, said: Sequence[Said]) -> Tensor:
        """(n_mels, frames) of sentences with pauses between, as the vocoder takes it."""
        mels: list[Tensor] = []
        for one in said:
            mels += [self.pause()] if mels else []
            mels.append(self.converted(one.speech.mel))
        return torch.cat(mels, dim=1)


def open_voice(
    acoustic: Path,
    checkpoint: Path,
    *,
    precision: str = "float32",
    engine: str = "fast",
    rules: TextRules | None = None,
    speaker: str = "",
) -> Voice:
    """Load both models.

    Args:
        acoustic: checkpoint of the acoustic model.
        checkpoint: of the vocoder, or the name of one that needs none.
        precision: see `render.vocode_file`.
        engine: see `render.vocode_file`.
        rules: None: what `reading.rules_for` says.
        speaker: who speaks, of whichever of the two tells speakers apart; empty where neither does.

    Raises:
        WavewrightError: one of them is of the other kind, or does not know the speaker.
        MelMismatch: what is not exact in turning one's mels into the other's.
    """
    model, vocoder = load_model(acoustic), open_vocoder(checkpoint, precision, engine)
    if not isinstance(model, AcousticModel):
        raise WavewrightError(f"{acoustic}: holds the vocoder '{model.name}', no acoustic model")
    if speaker and vocoder.speakers:
        vocoder.speaker = speaker
    own = speaker if model.speakers or not vocoder.speakers else ""
    model.speaker_number(own)
    vocoder = speaking(vocoder, model.mel_spec)
    _require_sayable(model.mel_spec, vocoder.mel_spec, acoustic, checkpoint)
    return Voice(model, vocoder, rules or rules_for(model), own)


def _require_sayable(source: MelSpec, target: MelSpec, mine: Path, theirs: Path) -> None:
    """Refuse, before anything is spoken, what cannot be converted exactly."""
    try:
        nothing = torch.empty(source.n_mels, 0)
        convert_mel(nothing, source.bands_first, target.bands_first)
    except MelMismatch:
        source.require_equal(target, mine=f"{mine}", theirs=f"{theirs}")
        raise


def problems_of(said: Iterable[Said], where: str = "") -> list[str]:
    """A sentence on each sentence that did not go well."""
    return [f"{where}{shorten(one.text)}: the model {one.problem}." for one in said if one.problem]
