"""Phones instead of letters: what TextGrids say was spoken, written so that `encode` reads it.

A phone text has every word's ARPAbet in braces, a comma where the speaker pauses, and a mark at
its end: `{T ER N} {L EH F T}, {DH EH N} {S T AA P}.` Silence before the first phone has no
symbol; the silence after the last one is the final mark's.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from wavewright.errors import WavewrightError, shorten_list
from wavewright.text.symbols import shorten
from wavewright.text.textgrid import SILENCES, Alignment

ARPABET = "arpabet"
"""The value of `phonemes` that means the phones of TextGrids."""

_PIECE = re.compile(
    r"\{(?P<phones>[^{}]*)\}|(?P<word>'?[^\W_]+(?:['-][^\W_]+)*'?)|(?P<pause>[-,.;:?!()])|'|\s"
    r"|(?P<other>.)"
)
_ENDING = re.compile(r"([.?!])[^\w{}.?!]*$")


@dataclass(frozen=True)
class Word:
    """Phones that belong together.

    Attributes:
        phones: labels.
        after_pause: whether silence comes before them.
        label: as the TextGrid writes the word; empty where it has no words.
    """

    phones: tuple[str, ...]
    after_pause: bool = False
    label: str = ""


def spoken_words(alignment: Alignment) -> list[Word]:
    """What is said, word by word; a TextGrid without words is parted at its pauses alone.

    A phone belongs to the word in which its middle lies.
    """
    starts = [word.start for word in alignment.words]
    words: list[Word] = []
    place, paused = None, False
    for phone in alignment.phones:
        if phone.label in SILENCES:
            paused = True
            continue
        here = bisect_right(starts, (phone.start + phone.end) / 2) - 1
        if words and not paused and here == place:
            words[-1] = replace(words[-1], phones=(*words[-1].phones, phone.label))
        else:
            label = alignment.words[here].label if here >= 0 else ""
            words.append(Word((phone.label,), paused and bool(words), label))
        place, paused = here, False
    return words


def phone_text(alignment: Alignment, text: str = "") -> str:
    """The phone text of a recording.

    Args:
        alignment: with phones in ARPAbet, stress digits or not.
        text: that was spoken; ends it with a question mark, an exclamation mark or a full stop.

    Raises:
        WavewrightError: all is silence.
    """
    words = spoken_words(alignment)
    if not words:
        raise WavewrightError("its TextGrid has no phone that is not silence")
    return _written(words, text)


def gather_lexicon(alignments: Iterable[Alignment], symbols: Collection[str]) -> dict[str, str]:
    """The most frequent phones of every word, as in `{"house": "HH AW1 S"}`, sorted.

    Args:
        alignments: of what was spoken.
        symbols: of the model, `@HH` and the like; words with other phones are passed over.
    """
    heard: dict[str, Counter[str]] = defaultdict(Counter)
    for alignment in alignments:
        for word in spoken_words(alignment):
            label = word.label.lower()
            if label not in SILENCES and all(f"@{phone}" in symbols for phone in word.phones):
                heard[label][" ".join(word.phones)] += 1
    return {
        label: min(counts, key=lambda phones: (-counts[phones], phones))
        for label, counts in sorted(heard.items())
    }


@dataclass(frozen=True)
class Lexicon:
    """Turns ordinary texts into phone texts.

    Attributes:
        entries: phones by word in lower case, separated by spaces.
    """

    entries: Mapping[str, str]

    def phone_text(self, text: str) -> str:
        """The phone text of a normalised text.

        `{HH AW1 S}`, ARPAbet in braces, stands for a word; where the lexicon knows a phone with
        no stress only, the digit is left out. Punctuation is a pause, or the end.

        Raises:
            WavewrightError: nothing to pronounce, or words that the lexicon lacks (all are named).
        """
        words: list[Word] = []
        unknown: list[str] = []
        paused = False
        for piece in _PIECE.finditer(text):
            phones = [tuple(map(self._usual, (piece["phones"] or "").split()))]
            if piece["word"]:
                phones = self._look_up(piece["word"])
            if piece["other"] or (piece["word"] and not phones):
                unknown.append(piece[0])
            for number, found in enumerate(filter(None, phones)):
                words.append(Word(found, paused and number == 0 and bool(words)))
                paused = False
            paused = paused or bool(piece["pause"])
        if unknown:
            raise WavewrightError(self._refusal(text, list(dict.fromkeys(unknown))))
        if not words:
            raise WavewrightError(f"nothing to pronounce in {shorten(text)}")
        return _written(words, text)

    def _look_up(self, word: str) -> list[tuple[str, ...]]:
        """Phones of a word, or of its parts between hyphens; empty if not all are known."""
        for spelling in (word.lower(), word.lower().strip("'")):
            if spelling in self.entries:
                return [tuple(self.entries[spelling].split())]
        parts = word.split("-")
        found = [self._look_up(part) for part in parts] if len(parts) > 1 else [[]]
        return [phones for part in found for phones in part] if all(found) else []

    def _usual(self, phone: str) -> str:
        bare = phone.rstrip("012")
        return bare if phone not in self._phones and bare in self._phones else phone

    @cached_property
    def _phones(self) -> frozenset[str]:
        return frozenset(phone for phones in self.entries.values() for phone in phones.split())

    def _refusal(self, text: str, unknown: Sequence[str]) -> str:
        names = shorten_list([repr(word) for word in unknown])
        return (
            f"cannot pronounce {names} in {shorten(text)}: the model knows {len(self.entries)} "
            "words, those of its training. ARPAbet in braces can stand for a word: {HH AW1 S}"
        )


def _written(words: Sequence[Word], text: str) -> str:
    ending = _ENDING.search(text)
    parts = [
        (", " if word.after_pause else " ") * (number > 0) + f"{{{' '.join(word.phones)}}}"
        for number, word in enumerate(words)
    ]
    return "".join(parts) + (ending[1] if ending else ".")
