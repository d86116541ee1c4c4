"""Text normalisation, symbols of acoustic models, and phonemes.

Phonemes come from espeak-ng (GPL-3.0). This is the only module that imports `phonemizer` and
`espeakng_loader`, and only inside functions.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

from wavewright.errors import MissingExtra, WavewrightError

PAD = "_"
_PUNCTUATION = tuple("!'(),.:;? ")
_CAPITALS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
_VOWELS = re.findall(r"\w+", "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW")
_CONSONANTS = re.findall(r"\w+", "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH")
_ARPABET = sorted([*_VOWELS, *_CONSONANTS, *(f"{vowel}{n}" for vowel in _VOWELS for n in range(3))])

SYMBOLS: tuple[str, ...] = (
    PAD,
    "-",
    *_PUNCTUATION,
    *_CAPITALS,
    *_LETTERS,
    *(f"@{phone}" for phone in _ARPABET),
)
"""The 148 symbols of NVIDIA's Tacotron 2, in its order: a symbol's index is the model's input."""

IPA_SYMBOLS: tuple[str, ...] = (
    PAD,
    "-",
    *_PUNCTUATION,
    *_LETTERS,
    *"æçðøħŋœβθχ",
    *map(chr, range(0x0250, 0x02B0)),
    *"ʰʲʷˈˌːˑ˞ˠˤᵻ",
    *"\u0303\u0325\u0329\u032a\u032f\u0361",
)
"""Symbols of `phonemize`: punctuation, letters, the Unicode block of the IPA, stress, length."""

# Characters with a plain spelling. Quotation marks are silent, so they are dropped.
_SPELLING = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛ʼ`´′", "'"),
        **dict.fromkeys('"“”„‟«»″', ""),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        **dict.fromkeys("[⟨", "("),
        **dict.fromkeys("]⟩", ")"),
        "…": "...",
        "&": " and ",
        "ß": "ss",
        "æ": "ae",
        "Æ": "ae",
        "œ": "oe",
        "Œ": "oe",
        "ø": "o",
        "Ø": "o",
        "ł": "l",
        "Ł": "l",
        "đ": "d",
        "Đ": "d",
        "ð": "th",
        "Ð": "th",
        "þ": "th",
        "Þ": "th",
    }
)
_BRACED = re.compile(r"(\{[^{}]*\})")


def normalize_text(text: str) -> str:
    """Normalize a text to `SYMBOLS`, as far as that needs no knowledge of the language.

    Lower case, single spaces, plain quotes and dashes, Latin letters without accents, `&` as "and".
    Silent quotation marks and invisible formatting characters are dropped. Everything else stays,
    so that `unknown_symbols` or `encode` can report it: numbers are not spelled out, and other
    scripts are not transliterated. `{HH AH0 L OW1}`, ARPAbet in braces, is kept as it is.
    """
    parts = _BRACED.split(text)
    parts[::2] = map(_plain, parts[::2])
    return re.sub(r"\s+", " ", "".join(parts)).strip()


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", text.translate(_SPELLING)).translate(_SPELLING)
    visible = (c for c in text if unicodedata.category(c) != "Cf")
    return "".join(map(_without_accent, visible)).lower()


def _without_accent(character: str) -> str:
    base = unicodedata.normalize("NFD", character)[0]
    return base if base.isascii() and base.isalpha() else character


def unknown_symbols(text: str, symbols: Sequence[str] = SYMBOLS) -> list[str]:
    """Characters and `{PHONES}` of a text that `encode` would refuse, sorted, each once."""
    known = _usable(tuple(symbols))
    return sorted({token for token in _tokens(text) if token not in known})


def find_symbol(symbols: Collection[str], text: str) -> int | None:
    """Find the first character of a text that normalizes to one of the given symbols.

    Args:
        symbols: result of `unknown_symbols`.
        text: text before `normalize_text`.

    Returns:
        Index of the character; None if there is none.
    """
    position = 0
    for part in _BRACED.split(text):
        for piece in [part] if part.startswith("{") else part:
            if not set(_tokens(normalize_text(piece))).isdisjoint(symbols):
                return position
            position += len(piece)
    return None


def encode(text: str, symbols: Sequence[str] = SYMBOLS) -> list[int]:
    """Encode a text as symbol indices for an acoustic model.

    Args:
        text: result of `normalize_text` or `phonemize`. ARPAbet may stand in braces, separated by
            spaces: `turn left on {HH AW1 S T AH0 N} street`.
        symbols: the model's symbols; the first is padding and never part of a text.

    Returns:
        One index per symbol, at least one.

    Raises:
        WavewrightError: the text is empty, or has unknown symbols (all are named).
    """
    if not text.strip():
        raise WavewrightError("cannot encode an empty text")
    numbers = _usable(tuple(symbols))
    unknown = unknown_symbols(text, symbols)
    if unknown:
        raise WavewrightError(
            f"cannot encode {shorten(text)}: no symbol for {describe_characters(unknown)}"
        )
    return [numbers[token] for token in _tokens(text)]


def decode(numbers: Sequence[int], symbols: Sequence[str] = SYMBOLS) -> str:
    """Decode symbol indices to text; padding is dropped, ARPAbet is put in braces."""
    for number in numbers:
        if not 0 <= number < len(symbols):
            raise WavewrightError(
                f"cannot decode symbol number {number}: there are {len(symbols)} symbols"
            )
    chosen = (symbols[number] for number in numbers if number != 0)
    text = "".join(f"{{{s[1:]}}}" if s.startswith("@") else s for s in chosen)
    return text.replace("}{", " ")


def describe_characters(characters: Sequence[str]) -> str:
    """Format characters for a message: escaped, with their Unicode names, at most eight."""
    named = []
    for character in characters[:8]:
        name = unicodedata.name(character, "") if len(character) == 1 else ""
        named.append(f"{character!a} ({name})" if name else ascii(character))
    more = f" and {len(characters) - 8} more" if len(characters) > 8 else ""
    return ", ".join(named) + more


def shorten(text: str, length: int = 60) -> str:
    """Quote a text for a message: one line, control characters escaped, cut to `length`."""
    return repr(text if len(text) <= length else text[: length - 3] + "...")


@lru_cache(maxsize=8)
def _usable(symbols: tuple[str, ...]) -> dict[str, int]:
    return {symbol: number for number, symbol in enumerate(symbols) if number > 0}


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    for part in _BRACED.split(text):
        if part.startswith("{"):
            tokens += [f"@{phone}" for phone in part[1:-1].split()]
        else:
            tokens += part
    return tokens


def phonemize(text: str, language: str = "en-us") -> str:
    """Convert a text to IPA with stress marks and punctuation, in `IPA_SYMBOLS`.

    Args:
        text: plain text; espeak-ng expands numbers.
        language: an espeak-ng voice, such as `en-us`, `en-gb`, `de`.

    Raises:
        MissingExtra: the extra `phonemes` is not installed.
        WavewrightError: unknown language, or no phonemes in the text.
    """
    phonemes = str(_phonemizer(language).phonemize([text.translate(_SPELLING)], strip=True)[0])
    phonemes = " ".join(phonemes.split())
    if not phonemes:
        raise WavewrightError(f"{shorten(text)}: espeak-ng finds nothing to pronounce")
    return phonemes


@lru_cache(maxsize=8)
def _phonemizer(language: str) -> Any:
    library, data = espeak_library()
    from phonemizer.backend import EspeakBackend
    from phonemizer.backend.espeak.wrapper import EspeakWrapper

    EspeakWrapper.set_library(library)
    EspeakWrapper.set_data_path(data)
    try:
        return EspeakBackend(
            language,
            preserve_punctuation=True,
            with_stress=True,
            language_switch="remove-flags",
        )
    except RuntimeError as error:
        raise WavewrightError(f"no phonemes for language '{language}': {error}") from error


def espeak_library() -> tuple[str, str]:
    """Paths of the espeak-ng library and its data, from the extra `phonemes`."""
    try:
        import espeakng_loader
        import phonemizer  # noqa: F401  (one extra: both or neither)
    except ImportError as error:
        raise MissingExtra(
            "espeak-ng is not installed; it is needed for phonemes and for the synthesised corpus: "
            "pip install 'wavewright[phonemes]'"
        ) from error
    return str(espeakng_loader.get_library_path()), str(espeakng_loader.get_data_path())
