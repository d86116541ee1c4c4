"""Verbalization of English: all rules, in order of application."""

from __future__ import annotations

import re
from typing import Literal, get_args

from wavewright.errors import WavewrightError
from wavewright.text.verbalisation.english_abbreviations import ABBREVIATIONS
from wavewright.text.verbalisation.english_amounts import AMOUNTS
from wavewright.text.verbalisation.english_initials import INITIALS
from wavewright.text.verbalisation.english_numbers import CODES, NUMBERS
from wavewright.text.verbalisation.english_times import TIMES
from wavewright.text.verbalisation.rule import PROTECTED, apply_rules

TextRules = Literal["english", "plain"]
"""`english`: apply `RULES`; `plain`: leave the text unchanged."""

RULES = (*ABBREVIATIONS, *CODES, *AMOUNTS, *TIMES, *NUMBERS, *INITIALS)
"""Rules in order: each is applied to the output of the one before."""

_WITHOUT_DIGITS = (*ABBREVIATIONS, *INITIALS)
_DIGIT = re.compile(r"[0-9\u00b2\u00b3\u00bc-\u00be\u2153-\u215e]")
_UNTOUCHED = re.compile(rf"\{{[^{{}}]*\}}|{PROTECTED}")


def verbalize(text: str, rules: TextRules = "english") -> str:
    """Expand numbers, abbreviations and symbols: "It cost $3.50" to "It cost three dollars ...".

    Only matches of `RULES` are replaced; everything else stays, including symbols without a rule,
    so that they can be reported. `{HH AH0 L OW1}`, ARPAbet in braces, is kept.

    Args:
        text: free text.
        rules: `plain` changes nothing.

    Raises:
        WavewrightError: unknown `rules`.
    """
    if rules not in get_args(TextRules):
        allowed = ", ".join(get_args(TextRules))
        raise WavewrightError(f"there are no text rules '{rules}'. Allowed: {allowed}")
    if rules == "plain":
        return text
    protected = _UNTOUCHED.findall(text)
    words, before = _UNTOUCHED.sub(PROTECTED, text), ""
    while words != before:  # repeat: "3vs." becomes separate words only after the number rule
        before = words
        words = apply_rules(RULES if _DIGIT.search(words) else _WITHOUT_DIGITS, words)
    first, *others = words.split(PROTECTED)
    return first + "".join(a + b for a, b in zip(protected, others, strict=True))
