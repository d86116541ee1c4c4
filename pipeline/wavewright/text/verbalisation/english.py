"""All rules of English, in the order in which they are applied, and what applies them."""

from __future__ import annotations

import re
from typing import Literal, get_args

from wavewright.errors import WavewrightError
from wavewright.text.verbalisation.english_abbreviations import ABBREVIATIONS
from wavewright.text.verbalisation.english_amounts import AMOUNTS
from wavewright.text.verbalisation.english_initials import INITIALS
from wavewright.text.verbalisation.english_numbers import CODES, NUMBERS
from wavewright.text.verbalisation.english_times import TIMES
from wavewright.text.verbalisation.rule import KEPT, apply

TextRules = Literal["english", "plain"]
"""`english`: by `RULES`; `plain`: a text is read as it is written."""

RULES = (*ABBREVIATIONS, *CODES, *AMOUNTS, *TIMES, *NUMBERS, *INITIALS)
"""Each sees what the ones before it have left."""

_WITHOUT_DIGITS = (*ABBREVIATIONS, *INITIALS)
_DIGIT = re.compile(r"[0-9\u00b2\u00b3\u00bc-\u00be\u2153-\u215e]")
_UNTOUCHED = re.compile(rf"\{{[^{{}}]*\}}|{KEPT}")


def verbalise(text: str, rules: TextRules = "english") -> str:
    """The words that a text is spoken with: "It cost $3.50" as "It cost three dollars ...".

    Only what a rule of `RULES` finds is replaced; everything else stays, symbols without a rule
    too, so that they can be named. A text in words stays as it is. `{HH AH0 L OW1}`, ARPAbet in
    braces, is kept.

    Args:
        text: as people write.
        rules: `plain` changes nothing.

    Raises:
        WavewrightError: there are no rules of that name.
    """
    if rules not in get_args(TextRules):
        allowed = ", ".join(get_args(TextRules))
        raise WavewrightError(f"there are no text rules '{rules}'. Allowed: {allowed}")
    if rules == "plain":
        return text
    kept = _UNTOUCHED.findall(text)
    words, before = _UNTOUCHED.sub(KEPT, text), ""
    while words != before:  # what stood against a number stands alone after it: "3vs."
        before = words
        words = apply(RULES if _DIGIT.search(words) else _WITHOUT_DIGITS, words)
    first, *others = words.split(KEPT)
    return first + "".join(a + b for a, b in zip(kept, others, strict=True))
