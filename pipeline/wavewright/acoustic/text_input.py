"""Text input of acoustic models: letters, IPA or ARPAbet, and several speakers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

from pydantic import Field, model_validator

from wavewright.acoustic.lexicon import ARPABET, Lexicon
from wavewright.models.acoustic import AcousticModel
from wavewright.models.config import ModelConfig
from wavewright.text.symbols import IPA_SYMBOLS, SYMBOLS, encode, normalize_text, phonemize


class TextConfig(ModelConfig):
    """Fields of every acoustic model's configuration that say what it reads, and as whom.

    Attributes:
        symbols: input symbols; index 0 is padding.
        phonemes: input instead of letters: the IPA of an espeak-ng language, such as `en-us`, or
            with `arpabet` the phones of TextGrids; None: letters.
        lexicon: phones by word, for texts without a TextGrid; only with `arpabet`.
        speakers: speaker names; empty for a single speaker.
    """

    symbols: tuple[str, ...] = SYMBOLS
    phonemes: str | None = None
    lexicon: Mapping[str, str] = {}
    speakers: tuple[str, ...] = ()
    speaker_width: int = Field(default=64, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _default_to_ipa_symbols(cls, data: Any) -> Any:
        ipa = isinstance(data, dict) and data.get("phonemes") not in (None, "", ARPABET)
        if ipa and "symbols" not in data:
            return {**data, "symbols": IPA_SYMBOLS}
        return data

    @model_validator(mode="after")
    def _require_distinct_speakers(self) -> Self:
        if len(set(self.speakers)) < len(self.speakers) or not all(self.speakers):
            raise ValueError(f"speakers must be different names, found {', '.join(self.speakers)}")
        return self

    @model_validator(mode="after")
    def _require_known_phones(self) -> Self:
        if self.lexicon and self.phonemes != ARPABET:
            raise ValueError(f"lexicon is for phonemes: {ARPABET}")
        for word, phones in self.lexicon.items():
            unknown = [phone for phone in phones.split() if f"@{phone}" not in self.symbols]
            if unknown or not phones.strip():
                raise ValueError(f"lexicon has '{word}' as '{phones}'; allowed: ARPAbet in symbols")
        return self


class TextModel(AcousticModel):
    """Acoustic model whose text input is configured by `TextConfig`."""

    config: TextConfig

    @property
    def reads_phones(self) -> bool:
        """True if the input is the phones of TextGrids."""
        return self.config.phonemes == ARPABET

    @property
    def speakers(self) -> tuple[str, ...]:
        """Speaker names; empty for a single-speaker model."""
        return self.config.speakers

    @property
    def symbols(self) -> tuple[str, ...]:
        """Input symbols by index."""
        return self.config.symbols

    @cached_property
    def lexicon(self) -> Lexicon:
        """Lexicon that turns texts into phones, for a model that reads phones."""
        return Lexicon(self.config.lexicon)

    @property
    def language(self) -> str:
        """Language code of the phonemes that it reads; empty for letters."""
        return self.config.phonemes or ""

    def encode_text(self, text: str) -> list[int]:
        """Symbol indices of a text's letters, or of its phonemes if the model reads those."""
        if self.reads_phones:
            return encode(self.lexicon.phone_text(normalize_text(text)), self.config.symbols)
        if self.config.phonemes:
            return encode(phonemize(text, self.config.phonemes), self.config.symbols)
        return encode(normalize_text(text), self.config.symbols)
