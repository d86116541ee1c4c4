"""Sentence splitting, for models that synthesize one sentence at a time."""

from __future__ import annotations

import re

from wavewright.text.verbalisation.english_abbreviations import MAYBE_LAST, NEVER_LAST, NUMBERED
from wavewright.text.verbalisation.rule import STARTER

_END = re.compile(r"(?<=[.!?;:])[\"'\u201d\u2019)\]]*\s+")


def split_sentences(text: str) -> list[str]:
    """Split a text after `.`, `!`, `?`, `;` and `:`; no words are lost.

    The full stop of an abbreviation or of initials ends a sentence only before a word that usually
    starts one, such as "The". A text without words is one piece.
    """
    pieces: list[str] = []
    for piece in _END.split(" ".join(text.split())):
        if pieces and (not re.search(r"\w", piece) or _continues(pieces[-1], piece)):
            pieces[-1] = f"{pieces[-1]} {piece}".strip()
        else:
            pieces.append(piece)
    return [piece for piece in pieces if piece] or [text]


def _continues(before: str, after: str) -> bool:
    """True if the full stop at the end of `before` does not end the sentence."""
    if NUMBERED.search(before):
        return after[0].isdigit()
    if NEVER_LAST.search(before) and not MAYBE_LAST.search(before):
        return True
    return MAYBE_LAST.search(before) is not None and STARTER.match(after) is None
