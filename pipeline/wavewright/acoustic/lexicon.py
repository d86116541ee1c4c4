"""Phone texts, from TextGrids or from a lexicon, in the notation that `encode` reads.

A phone text has the ARPAbet of each word in braces, a comma at each pause, and a final mark:
`{T ER N} {L EH F T}, {DH EH N} {S T AA P}.` Silence before the first phone has no symbol; the
final mark takes the silence after the last.
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
"""Value of `phonemes` that selects the phones of TextGrids."""

_PIECE = re.compile(
    r"\{(?P<phones>[^{}]*)\}|(?P<word>'?[^\W_]+(?:['-][^\W_]+)*'?)|(?P<pause>[-,.;:?!()])|'|\s"
    r"|(?P<other>.)"
)
_ENDING = re.compile(r"([.?!])[^\w{}.?!]*$")


@dataclass(frozen=True)
class Word:
    """Phones of one word.

    Attributes:
        phones: phone labels.
        after_pause: True if silence comes before the word.
        label: the TextGrid's label of the word; empty if it has no words.
    """

    phones: tuple[str, ...]
    after_pause: bool = False
    label: str = ""


def spoken_words(alignment: Alignment) -> list[Word]:
    """Words of an alignment; without a word tier, phones are split at pauses only.

    A phone belongs to the word in which its middle lies.
    """
    starts = [word.start for word in alignment.words]
    words: list[Word] = []
    word, paused = None, False
    for phone in alignment.phones:
        if phone.label in SILENCES:
            paused = True
            continue
        here = bisect_right(starts, (phone.start + phone.end) / 2) - 1
        if words and not paused and here == word:
            words[-1] = replace(words[-1], phones=(*words[-1].phones, phone.label))
        else:
            label = alignment.words[here].label if here >= 0 else ""
            words.append(Word((phone.label,), paused and bool(words), label))
        word, paused = here, False
    return words


def phone_text(alignment: Alignment, text: str = "") -> str:
    """Phone text of a recording.

    Args:
        alignment: alignment with phones in ARPAbet, with or without stress digits.
        text: transcript; gives the final mark: question mark, exclamation mark or full stop.

    Raises:
        WavewrightError: the recording is silence only.
    """
    words = spoken_words(alignment)
    if not words:
        raise WavewrightError("its TextGrid has no phone that is not silence")
    return _format_phone_text(words, text)


def build_lexicon(alignments: Iterable[Alignment], symbols: Collection[str]) -> dict[str, str]:
    """Collect the most frequent phones of each word, as in `{"house": "HH AW1 S"}`, sorted.

    Args:
        alignments: alignments of the training recordings.
        symbols: symbols of the model, such as `@HH`; words with other phones are skipped.
    """
    counts_of: dict[str, Counter[str]] = defaultdict(Counter)
    for alignment in alignments:
        for word in spoken_words(alignment):
            label = word.label.lower()
            if label not in SILENCES and all(f"@{phone}" in symbols for phone in word.phones):
                counts_of[label][" ".join(word.phones)] += 1
    return {
        label: min(counts, key=lambda phones: (-counts[phones], phones))
        for label, counts in sorted(counts_of.items())
    }


@dataclass(frozen=True)
class Lexicon:
    """Pronunciation lexicon that turns plain texts into phone texts.

    Attributes:
        entries: phones, separated by spaces, by lower-case word.
    """

    entries: Mapping[str, str]

    def phone_text(self, text: str) -> str:
        """Phone text of a normalised text.

        `{HH AW1 S}`, ARPAbet in braces, stands for a word; stress digits are dropped if the
        lexicon has the phone without stress only. Punctuation is a pause, or the final mark.

        Raises:
            WavewrightError: nothing to pronounce, or unknown words (all are named).
        """
        words: list[Word] = []
        unknown: list[str] = []
        paused = False
        for piece in _PIECE.finditer(text):
            phones = [tuple(map(self._match_stress, (piece["phones"] or "").split()))]
            if piece["word"]:
                phones = self._look_up(piece["word"])
            if piece["other"] or (piece["word"] and not phones):
                unknown.append(piece[0])
            for number, part in enumerate(filter(None, phones)):
                words.append(Word(part, paused and number == 0 and bool(words)))
                paused = False
            paused = paused or bool(piece["pause"])
        if unknown:
            raise WavewrightError(self._refusal(text, list(dict.fromkeys(unknown))))
        if not words:
            raise WavewrightError(f"nothing to pronounce in {shorten(text)}")
        return _format_phone_text(words, text)

    def _look_up(self, word: str) -> list[tuple[str, ...]]:
        """Look up a word, or its parts between hyphens; empty if any is unknown."""
        for spelling in (word.lower(), word.lower().strip("'")):
            if spelling in self.entries:
                return [tuple(self.entries[spelling].split())]
        parts = word.split("-")
        pronunciations = [self._look_up(part) for part in parts] if len(parts) > 1 else [[]]
        if not all(pronunciations):
            return []
        return [phones for pronunciation in pronunciations for phones in pronunciation]

    def _match_stress(self, phone: str) -> str:
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


def _format_phone_text(words: Sequence[Word], text: str) -> str:
    ending = _ENDING.search(text)
    parts = [
        (", " if word.after_pause else " ") * (number > 0) + f"{{{' '.join(word.phones)}}}"
        for number, word in enumerate(words)
    ]
    return "".join(parts) + (ending[1] if ending else ".")
