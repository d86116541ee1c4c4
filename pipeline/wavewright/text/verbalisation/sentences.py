"""Cut a text into sentences, for models that read one at a time."""

from __future__ import annotations

import re

from wavewright.text.verbalisation.english_abbreviations import MAYBE_LAST, NEVER_LAST, NUMBERED
from wavewright.text.verbalisation.rule import STARTER

_END = re.compile(r"(?<=[.!?;:])[\"'\u201d\u2019)\]]*\s+")


def sentences(text: str) -> list[str]:
    """A text in pieces that end with `.`, `!`, `?`, `;` or `:`; no words are lost.

    The full stop of an abbreviation or of initials ends no sentence, but before a word that mostly
    starts one, such as "The". A text without words is one piece.
    """
    pieces: list[str] = []
    for piece in _END.split(" ".join(text.split())):
        if pieces and (not re.search(r"\w", piece) or _goes_on(pieces[-1], piece)):
            pieces[-1] = f"{pieces[-1]} {piece}".strip()
        else:
            pieces.append(piece)
    return [piece for piece in pieces if piece] or [text]


def _goes_on(before: str, after: str) -> bool:
    """Whether what ends with a full stop is no sentence."""
    if NUMBERED.search(before):
        return after[0].isdigit()
    if NEVER_LAST.search(before) and not MAYBE_LAST.search(before):
        return True
    return MAYBE_LAST.search(before) is not None and STARTER.match(after) is None
