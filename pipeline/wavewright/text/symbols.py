"""Text: normalisation, the symbols that acoustic models read, and phonemes.

The phonemes, and the library behind the synthesised corpus, come from espeak-ng (GPL-3.0). This is
the only module that imports `phonemizer` and `espeakng_loader`, and only inside functions.
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
"""The 148 symbols of NVIDIA's Tacotron 2 in its order: the index is the number the model reads."""

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
"""What `phonemise` writes: punctuation, letters, the Unicode block of the IPA, stress, length."""

# Characters with a plain spelling. Quotation marks are not heard, so they have none.
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


def normalise_text(text: str) -> str:
    """Spell a text with what `SYMBOLS` holds, as far as that is possible without a language.

    Lower case, single spaces, plain quotes and dashes, Latin letters without accents, `&` as "and".
    Quotation marks and invisible formatting characters make no sound and are left out. Everything
    else stays, so that `unknown_symbols` or `encode` can name it: numbers are not spelled out, and
    other scripts are not guessed at. `{HH AH0 L OW1}`, ARPAbet in braces, is kept as it is.
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
    """The characters and `{PHONES}` of a text that `encode` would refuse, each once, sorted."""
    known = _usable(tuple(symbols))
    return sorted({token for token in _tokens(text) if token not in known})


def place_of(symbols: Collection[str], text: str) -> int | None:
    """Where in an ordinary text the first character stands that became one of some symbols.

    Args:
        symbols: from `unknown_symbols`.
        text: before `normalise_text`.

    Returns:
        Its place, the first character's being 0; None: there is none.
    """
    place = 0
    for part in _BRACED.split(text):
        for piece in [part] if part.startswith("{") else part:
            if not set(_tokens(normalise_text(piece))).isdisjoint(symbols):
                return place
            place += len(piece)
    return None


def encode(text: str, symbols: Sequence[str] = SYMBOLS) -> list[int]:
    """Numbers of a text's symbols, for an acoustic model.

    Args:
        text: as `normalise_text` or `phonemise` gives it. ARPAbet may stand in braces, separated by
            spaces: `turn left on {HH AW1 S T AH0 N} street`.
        symbols: the model's symbols; the first one is padding and never appears in a text.

    Returns:
        One number per symbol, at least one.

    Raises:
        WavewrightError: the text is empty or has symbols outside the set (each is named).
    """
    if not text.strip():
        raise WavewrightError("cannot encode an empty text")
    numbers = _usable(tuple(symbols))
    unknown = unknown_symbols(text, symbols)
    if unknown:
        raise WavewrightError(f"cannot encode {shorten(text)}: no symbol for {describe(unknown)}")
    return [numbers[token] for token in _tokens(text)]


def decode(numbers: Sequence[int], symbols: Sequence[str] = SYMBOLS) -> str:
    """The text of `encode`'s numbers; padding is left out, ARPAbet comes back in braces."""
    for number in numbers:
        if not 0 <= number < len(symbols):
            raise WavewrightError(
                f"cannot decode symbol number {number}: there are {len(symbols)} symbols"
            )
    found = (symbols[number] for number in numbers if number != 0)
    text = "".join(f"{{{s[1:]}}}" if s.startswith("@") else s for s in found)
    return text.replace("}{", " ")


def describe(characters: Sequence[str]) -> str:
    """Unknown characters for a message: escaped, with their Unicode names, at most eight."""
    named = []
    for character in characters[:8]:
        name = unicodedata.name(character, "") if len(character) == 1 else ""
        named.append(f"{character!a} ({name})" if name else ascii(character))
    more = f" and {len(characters) - 8} more" if len(characters) > 8 else ""
    return ", ".join(named) + more


def shorten(text: str, length: int = 60) -> str:
    """A text for a message: one line, quoted, control characters escaped, cut to `length`."""
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


def phonemise(text: str, language: str = "en-us") -> str:
    """IPA of a text, with stress marks and the text's punctuation, spelled with `IPA_SYMBOLS`.

    Args:
        text: ordinary text; numbers are read out by espeak-ng.
        language: an espeak-ng voice, such as `en-us`, `en-gb`, `de`.

    Raises:
        MissingExtra: the extra `phonemes` is not installed.
        WavewrightError: espeak-ng does not know the language, or the text gives no phonemes.
    """
    spoken = str(_phonemiser(language).phonemize([text.translate(_SPELLING)], strip=True)[0])
    spoken = " ".join(spoken.split())
    if not spoken:
        raise WavewrightError(f"{shorten(text)}: espeak-ng finds nothing to pronounce")
    return spoken


@lru_cache(maxsize=8)
def _phonemiser(language: str) -> Any:
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
    """Paths of the espeak-ng library and of its data, as the extra `phonemes` brings them."""
    try:
        import espeakng_loader
        import phonemizer  # noqa: F401  (one extra: both or neither)
    except ImportError as error:
        raise MissingExtra(
            "espeak-ng is not installed; it is needed for phonemes and for the synthesised corpus: "
            "pip install 'wavewright[phonemes]'"
        ) from error
    return str(espeakng_loader.get_library_path()), str(espeakng_loader.get_data_path())
