"""English rules for abbreviations that are read as words."""

from __future__ import annotations

import re
from collections.abc import Iterable

from wavewright.text.verbalisation.rule import END, PROTECTED, Rule

_TITLES = {
    "Mr": "Mister",
    "Mrs": "Missus",
    "Ms": "Miz",
    "Messrs": "Messieurs",
    "Dr": "Doctor",
    "Prof": "Professor",
}
_TITLES_OF_NAMES = {
    "Rev": "Reverend",
    "Hon": "Honorable",
    "Gen": "General",
    "Col": "Colonel",
    "Maj": "Major",
    "Capt": "Captain",
    "Lt": "Lieutenant",
    "Sgt": "Sergeant",
    "Cpl": "Corporal",
    "Gov": "Governor",
    "Sen": "Senator",
    "Rep": "Representative",
    "Pres": "President",
    "Supt": "Superintendent",
    "Mt": "Mount",
    "Ft": "Fort",
    "St": "Saint",
}
_STREETS = {"St": "Street", "Dr": "Drive"}
_NAMES = {
    "Jr": "Junior",
    "Sr": "Senior",
    "Esq": "Esquire",
    "Co": "Company",
    "Corp": "Corporation",
    "Inc": "Incorporated",
    "Ltd": "Limited",
    "Bros": "Brothers",
    "Ave": "Avenue",
    "Blvd": "Boulevard",
    "Rd": "Road",
    "Dept": "Department",
    "Univ": "University",
}
_NUMBERED = {
    "No": "Number",
    "Nos": "Numbers",
    "Vol": "Volume",
    "Vols": "Volumes",
    "Ch": "Chapter",
    "Chap": "Chapter",
    "Fig": "Figure",
    "Figs": "Figures",
    "Sec": "Section",
    "Art": "Article",
    "P": "Page",
    "Pp": "Pages",
}
_PHRASES = {
    "e.g": "for example",
    "i.e": "that is",
    "vs": "versus",
    "cf": "compare",
    "viz": "namely",
    "approx": "approximately",
    "a.k.a": "also known as",
}
_LAST = {"etc": "et cetera", "et al": "and others"}
_NAME = rf"(?=\s*[A-Z\u00c0-\u00de{PROTECTED}])"
_STOP = rf"\.(?P<stop>{END})?"


def _any(words: Iterable[str], capital: str = "") -> str:
    """Regex alternation of words; with `capital`, the first letter in either case."""
    written = sorted(words, key=len, reverse=True)
    if not capital:
        return "|".join(map(re.escape, written))
    return "|".join(f"[{w[0].upper()}{w[0].lower()}]{re.escape(w[1:])}" for w in written)


NEVER_LAST = re.compile(
    rf"(?<![\w.])(?:{_any((*_TITLES, *_TITLES_OF_NAMES, *_PHRASES), 'either')})\.$"
)
"""An abbreviation whose full stop ends no sentence, at the end of a text."""

MAYBE_LAST = re.compile(
    rf"(?<![\w.])(?:{_any((*_STREETS, *_NAMES, *_LAST), 'either')}|[ap]\.m|(?:[A-Z]\.)*[A-Z])\.$"
)
"""One whose full stop may be the sentence's own."""

NUMBERED = re.compile(rf"\b(?:{_any(_NUMBERED, 'either')})\.$")
"""One that a number follows."""


def _like(written: str, words: str) -> str:
    """Match the case of the first letter to that of the abbreviation."""
    return words[0].upper() + words[1:] if written[0].isupper() else words[0].lower() + words[1:]


def _kept(match: re.Match[str]) -> str:
    """Return a full stop if the abbreviation's also ends the sentence."""
    return "" if match["stop"] is None else "."


def _street(match: re.Match[str]) -> str:
    """Expand only after a name or a numbered street."""
    before = re.search(r"(\S+),? +$", match.string[: match.start()])
    if before is None or before[1] == "The" or not re.match(r"[A-Z]|[0-9]+[a-z]", before[1]):
        return match[0]
    return _STREETS[match["short"]] + _kept(match)


def _numbered(match: re.Match[str]) -> str:
    return _like(match["short"], _NUMBERED[match["short"].capitalize()]) + " "


ABBREVIATIONS = (
    Rule(
        "before a number",
        re.compile(
            rf"\b(?P<short>{_any(_NUMBERED, 'either')})\.\s?"
            r"(?=[A-Z]?[0-9]|(?<!No\.)(?<!No\. )[IVX]+\b)"
        ),
        _numbered,
        (("No. 5", "Number five"), ("see pp. 5 and 6", "see pages five and six")),
    ),
    Rule(
        "number sign",
        re.compile(r"#\s?(?=[0-9])"),
        lambda match: "number ",
        (("#1", "number one"),),
    ),
    Rule(
        "street or drive, after a name",
        re.compile(
            rf"\b(?P<short>{_any(_STREETS)})\."
            rf"(?:(?P<stop>{END})|(?!{_NAME})|(?<=[0-9](?:st|nd|rd|th) St\.))"
        ),
        _street,
        (("in Main St. and", "in Main Street and"),),
    ),
    Rule(
        "title",
        re.compile(
            rf"\b(?P<short>{_any(_TITLES, 'either')})\.|\b(?:Mrs?|Messrs|{_any(_TITLES)}{_NAME})\b"
        ),
        lambda match: _like(match[0], _TITLES[match[0].rstrip(".").capitalize()]),
        (
            ("Dr. Smith and Mr Jones", "Doctor Smith and Mister Jones"),
            ("the Dr. said", "the Doctor said"),
        ),
    ),
    Rule(
        "title, before a name",
        re.compile(rf"\b(?P<short>{_any(_TITLES_OF_NAMES)})\.{_NAME}"),
        lambda match: _TITLES_OF_NAMES[match["short"]],
        (
            ("Gen. Lee in St. Louis", "General Lee in Saint Louis"),
            ("Sen. X", "Senator X"),
        ),
    ),
    Rule(
        "after a name",
        re.compile(rf"\b(?P<short>{_any(_NAMES)}){_STOP}"),
        lambda match: _NAMES[match["short"]] + _kept(match),
        (("Brown, Jr., of Acme Inc.", "Brown, Junior, of Acme Incorporated."),),
    ),
    Rule(
        "phrase",
        re.compile(
            rf"(?<![\w.])(?P<short>{_any(_PHRASES, 'either')})\.|\bvs\b|(?<=[\w.] )v\.(?=\s+[A-Z])"
        ),
        lambda match: _like(match[0], _PHRASES.get(match[0].rstrip(".").lower(), "versus")),
        (
            ("apples, e.g. red ones, vs. pears", "apples, for example red ones, versus pears"),
            ("Roe v. Wade", "Roe versus Wade"),
        ),
    ),
    Rule(
        "and so on",
        re.compile(rf"(?<![\w.])(?P<short>{_any(_LAST, 'either')}){_STOP}"),
        lambda match: _like(match[0], _LAST[match["short"].lower()]) + _kept(match),
        (("cats, dogs, etc. The", "cats, dogs, et cetera. The"),),
    ),
)
