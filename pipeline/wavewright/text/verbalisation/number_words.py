"""English number words, by inflect (MIT).

inflect was taken rather than num2words: its last release is of October 2026 (num2words': December
2024), its licence is MIT (LGPL), and it can leave out the "and" of "one hundred and five", as
LJSpeech's texts do. It is imported for the first text with digits, in 0.2 s.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inflect import engine

_LONGEST = 36  # digits that inflect has names for


@cache
def _inflect() -> engine:
    import typeguard

    # inflect has typeguard compile all its functions anew, which takes another 1.8 s.
    checking = typeguard.typechecked
    vars(typeguard)["typechecked"] = lambda function: function
    try:
        import inflect
    finally:
        vars(typeguard)["typechecked"] = checking
    return inflect.engine()


@cache
def _words(digits: str) -> str:
    return str(_inflect().number_to_words(digits, andword="", comma=""))


def cardinal(digits: str) -> str:
    """`1,234` as "one thousand two hundred thirty-four"; one after the other if it begins with 0.

    Args:
        digits: ASCII digits, perhaps with commas.
    """
    digits = digits.replace(",", "")
    if len(digits) > _LONGEST or (digits.startswith("0") and len(digits) > 1):
        return one_by_one(digits)
    return _words(digits)


def one_by_one(digits: str) -> str:
    """`2915` as "two nine one five"; other characters are left out."""
    return " ".join(_words(digit) for digit in digits if digit.isdigit())


def number(written: str) -> str:
    """`-3.50` as "minus three point five zero", `+3` as "plus three"."""
    sign = {"-": "minus ", "\u2212": "minus ", "+": "plus "}.get(written[0], "")
    whole, _, decimals = written.lstrip("-\u2212+").partition(".")
    words = [cardinal(whole)] if whole else []
    words += ["point", one_by_one(decimals)] if decimals else []
    return sign + " ".join(words)


def ordinal(digits: str) -> str:
    """`22` as "twenty-second"."""
    return _inflect().ordinal(cardinal(str(int(digits.replace(",", "")))))


def year(digits: str) -> str:
    """`1984` as "nineteen eighty-four", `1905` "nineteen oh five", `2005` "two thousand five"."""
    century, rest = digits[:-2], digits[-2:]
    if int(digits) % 1000 < 10:
        return cardinal(digits)
    if rest == "00":
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {f'oh {cardinal(rest[1])}' if rest[0] == '0' else cardinal(rest)}"


def plural(words: str) -> str:
    """Plural of the last word of a number: "eighties", "sixes", "hundreds"."""
    if words.endswith("y"):
        return f"{words[:-1]}ies"
    return f"{words}es" if words.endswith("x") else f"{words}s"
