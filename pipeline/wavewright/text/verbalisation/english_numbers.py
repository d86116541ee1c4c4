"""English rules for what is written in digits and is neither a time nor an amount."""

from __future__ import annotations

import re

from wavewright.text.verbalisation.number_words import (
    cardinal,
    number,
    one_by_one,
    ordinal,
    plural,
)
from wavewright.text.verbalisation.rule import Rule

_WHOLE = r"[0-9]+(?:,[0-9]{3})*"
_SIGNS = {
    "\u00bd": "1/2",
    "\u2153": "1/3",
    "\u2154": "2/3",
    "\u00bc": "1/4",
    "\u00be": "3/4",
    "\u215b": "1/8",
    "\u215c": "3/8",
    "\u215d": "5/8",
    "\u215e": "7/8",
}
_OPERATORS = {"+": "plus", "=": "equals", "\u00d7": "times", "\u00f7": "divided by"}
_LONG_CODE = 3  # digits from which a code is read one by one


def _part(over: str, under: str, whole: str | None) -> str:
    one = over == "1"
    name = {"2": "half", "4": "quarter"}.get(under) or ordinal(under)
    if not one:
        name = "halves" if under == "2" else f"{name}s"
    if whole:
        return f"{cardinal(whole)} and {'a' if one else cardinal(over)} {name}"
    return f"{cardinal(over)} {name}"


def _fraction(match: re.Match[str]) -> str:
    over, under = match["over"], match["under"]
    if int(over) >= int(under):
        return match[0]
    return _part(over, under, match["whole"])


def _sign(match: re.Match[str]) -> str:
    over, under = _SIGNS[match["sign"]].split("/")
    return _part(over, under, match["whole"])


def _groups(match: re.Match[str]) -> str:
    """Groups of digits one by one, a pause between them."""
    plus = "plus " if match[0].startswith("+") else ""
    return plus + ", ".join(map(one_by_one, re.findall(r"[0-9]+", match[0])))


def _code(match: re.Match[str]) -> str:
    letters, digits = match["letters"], match["digits"]
    digits_in_words = cardinal(digits) if len(digits) < _LONG_CODE else one_by_one(digits)
    word = letters if re.search(r"[a-z]", letters) else " ".join(letters)
    return f"{word} {plural(digits_in_words) if match['plural'] else digits_in_words}"


def _range(match: re.Match[str]) -> str:
    return f"{number(match['first'])} to {number(match['last'])}"


def _ordinal(match: re.Match[str]) -> str:
    return ordinal(match["digits"])


def _dotted(match: re.Match[str]) -> str:
    return " point ".join(map(cardinal, match[0].split(".")))


def _plain(match: re.Match[str]) -> str:
    return number(match[0])


CODES = (
    Rule(
        "fraction sign",
        re.compile(rf"(?:(?<![\w.,])(?P<whole>[0-9]+)\s?)?(?P<sign>[{''.join(_SIGNS)}])"),
        _sign,
        (("1\u00bd", "one and a half"), ("\u00be", "three quarters")),
    ),
    Rule(
        "fraction",
        re.compile(
            r"(?<![\w./,$-])(?:(?P<whole>[0-9]+) )?(?P<over>[1-9][0-9]?)/"
            r"(?P<under>[234568]|16|32|64)(?![\w/]|\.[0-9])"
        ),
        _fraction,
        (("1/2", "one half"), ("2 3/4", "two and three quarters")),
    ),
    Rule(
        "numbers with slashes",
        re.compile(r"(?<=[0-9])/(?=[0-9])"),
        lambda match: " ",
        (("24/7", "twenty-four seven"),),
    ),
    Rule(
        "feet and inches",
        re.compile(
            r"(?<![\w.,])(?P<feet>[0-9]+)['\u2019\u2032]\s?(?P<inches>[0-9]+)(?:[\"\u201d\u2033]|'')"
        ),
        lambda match: f"{cardinal(match['feet'])} feet {cardinal(match['inches'])} inches",
        (("5'11\"", "five feet eleven inches"),),
    ),
    Rule(
        "narrow space between thousands",
        re.compile(r"(?<=[0-9])[\u00a0\u2009\u202f](?=[0-9]{3}(?![0-9]))"),
        lambda match: ",",
        (("1\u202f000", "one thousand"),),
    ),
    Rule(
        "telephone number",
        re.compile(
            r"(?<![\w.,-])(?:\+[0-9]{1,3}[ .-]?|1[ .-])?(?:\([0-9]{3}\)\s?|[0-9]{3}[ .-])?"
            r"[0-9]{3}[.-][0-9]{4}(?![\w-]|[.,][0-9])"
            r"|(?<![\w.,-])\+[0-9]{1,3}(?:[ -][0-9]{2,}){2,}(?![\w-]|[.,][0-9])"
            r"|(?<![\w.,-])0[0-9]{2,4}(?: [0-9]{3,4}){1,2}(?![\w-]|[.,][0-9])"
        ),
        _groups,
        (
            ("555-0123", "five five five, zero one two three"),
            ("+44 20 7946", "plus four four, two zero, seven nine four six"),
        ),
    ),
    Rule(
        "dotted number",
        re.compile(r"(?<![\w.,])[0-9]+(?:\.[0-9]+){2,}(?!\w|[.,][0-9])"),
        _dotted,
        (("version 1.2.10", "version one point two point ten"),),
    ),
    Rule(
        "box number",
        re.compile(r"\b(?P<letters>Box) (?P<digits>[0-9]{3,})\b(?![.,][0-9])"),
        lambda match: f"{match['letters']} {one_by_one(match['digits'])}",
        (("Box 2915", "Box two nine one five"),),
    ),
)
"""Before times and amounts, which would find parts of these."""

NUMBERS = (
    Rule(
        "ordinal",
        re.compile(rf"(?<![\w.,])(?P<digits>{_WHOLE})(?:st|nd|rd|th)\b"),
        _ordinal,
        (("the 1st and 22nd", "the first and twenty-second"),),
    ),
    Rule(
        "square and cube",
        re.compile(r"(?<=[0-9A-Za-z)])[\u00b2\u00b3]"),
        lambda match: {"\u00b2": " squared", "\u00b3": " cubed"}[match[0]],
        (("5\u00b2", "five squared"),),
    ),
    Rule(
        "sum",
        re.compile(r"(?<=[0-9])\s?(?P<sign>[+=\u00d7\u00f7])\s?(?=[0-9])"),
        lambda match: f" {_OPERATORS[match['sign']]} ",
        (("2 + 3 = 5", "two plus three equals five"),),
    ),
    Rule(
        "ratio",
        re.compile(r"(?<![\w:.,])(?P<first>[0-9]+):(?P<last>[0-9]+)(?![:\w]|[.,][0-9])"),
        _range,
        (("16:9", "sixteen to nine"),),
    ),
    Rule(
        "from and to",
        re.compile(
            rf"(?<![\w.,\u2013-])(?P<first>{_WHOLE}(?:\.[0-9]+)?)(?:-|\s?\u2013\s?)"
            rf"(?P<last>{_WHOLE}(?:\.[0-9]+)?)(?![\w\u2013-]|[.,][0-9])"
        ),
        _range,
        (("pages 5-10", "pages five to ten"),),
    ),
    Rule(
        "letters and digits",
        re.compile(
            r"(?<![\w.,])(?P<letters>[A-Z]{1,3}|[A-Z][a-z]+)-?(?P<digits>[0-9]+)"
            r"(?P<plural>s?)(?!\w|\.[0-9])"
        ),
        _code,
        (
            ("C2766", "C two seven six six"),
            ("an MP3", "an M P three"),
        ),
    ),
    Rule(
        "several of a number",
        re.compile(r"(?<![\w.,])(?P<digits>[0-9]+)s\b"),
        lambda match: plural(cardinal(match["digits"])),
        (("two 6s", "two sixes"),),
    ),
    Rule(
        "decimal or signed number",
        re.compile(
            rf"(?<![\w.,)\]\u2013-])(?:[-\u2212+]{_WHOLE}(?:\.[0-9]+)?|{_WHOLE}\.[0-9]+|\.[0-9]+)"
            r"(?![0-9]|[.,][0-9])"
        ),
        _plain,
        (
            ("3.14", "three point one four"),
            (".22", "point two two"),
            ("-7 to +7", "minus seven to plus seven"),
        ),
    ),
    Rule(
        "number that begins with zero",
        re.compile(r"(?<![0-9,])0[0-9]+"),
        lambda match: one_by_one(match[0]),
        (("agent 007", "agent zero zero seven"),),
    ),
    Rule(
        "whole number",
        re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+"),
        lambda match: cardinal(match[0]),
        (
            ("42 of 1,234", "forty-two of one thousand two hundred thirty-four"),
            ("a 10-year-old", "a ten-year-old"),
        ),
    ),
)
"""After times and amounts; the last one finds every digit that is left."""
