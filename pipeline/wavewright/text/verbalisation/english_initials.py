"""English rules for what is read letter by letter, and for Roman numerals."""

from __future__ import annotations

import re

from wavewright.text.verbalisation.number_words import cardinal, ordinal
from wavewright.text.verbalisation.rule import END, Rule

_LISTED = (
    "ABC|AI|API|ATM|BBC|CEO|CIA|CNN|CPU|DIY|DNA|EU|FAQ|FBI|GDP|GPU|HIV|IBM|IOU|IQ|IRA|IRS|ISBN|MIT"
    "|NHS|OECD|OK|RNA|SOS|SUV|UCLA|UFO|UK|UN|URL|USA|USB|USSR|VIP|XML|NYPD|LAPD|CD|CV|DC|DVD|LCD|MC|MD|BC|AD"
)
_CONSONANTS = "[BCDFGHJKLMNPQRSTVWXZ]{2,6}"
_NO_LETTERS = "BRR+|GRR+|HM+|M{2,}|PF+T?|PS+T|SH+|TSK|Z{2,}|MR|MRS|MS|DR|ST|MT|NTH|[CDLMVX]+"
_ROMAN = r"(?=[IVX]+\b)X{0,3}(?:IX|IV|V?I{0,3})\b"
_PARTS = "Act|Appendix|Article|Book|Chapter|Class|Part|Phase|Section|Type|Volume|World War"
_REGENTS = (
    "Alexander|Benedict|Catherine|Charles|Christian|Clement|Edward|Elizabeth|Francis|Frederick"
    "|George|Gregory|Henry|Innocent|James|John|John Paul|Leo|Louis|Mary|Napoleon|Nicholas|Paul"
    "|Peter|Philip|Pius|Richard|Urban|Wilhelm|William"
)
_VALUES = {"I": 1, "V": 5, "X": 10}


def _dotted(match: re.Match[str]) -> str:
    return " ".join(re.findall(r"[A-Z]", match["letters"])) + ("" if match["stop"] is None else ".")


def _degree(match: re.Match[str]) -> str:
    return " ".join(re.findall(r"\w", match["letters"].upper())) + (
        "" if match["stop"] is None else "."
    )


def _spelled(match: re.Match[str]) -> str:
    return " ".join(match["letters"]) + (match["plural"] or "")


def _value(roman: str) -> str:
    values = [_VALUES[letter] for letter in roman]
    after = [*values[1:], 0]
    return str(sum(-own if own < next_ else own for own, next_ in zip(values, after, strict=True)))


INITIALS = (
    Rule(
        "letters with full stops",
        re.compile(
            rf"(?<![\w.])(?P<letters>(?:[A-Z]\.)+[A-Z])(?:\.(?P<stop>{END})|\.(?!{END})|(?![\w.]))"
        ),
        _dotted,
        (
            ("the U.S. Army", "the U S Army"),
            ("in the U.S. He", "in the U S. He"),
        ),
    ),
    Rule(
        "degree",
        re.compile(
            rf"\b(?P<letters>Ph\.?\s?D|M\.Sc|B\.Sc)(?:\.(?P<stop>{END})|\.(?!{END})|(?![\w.]))"
        ),
        _degree,
        (("a Ph.D. thesis", "a P H D thesis"),),
    ),
    Rule(
        "World War",
        re.compile(r"\bWW\s?(?P<roman>II?)\b"),
        lambda match: f"World War {cardinal(_value(match['roman']))}",
        (("WWII", "World War two"),),
    ),
    Rule(
        "known initials",
        re.compile(rf"(?<![\w.])(?P<letters>{_LISTED}|(?<=\b[Tt]he )US)(?P<plural>s?)(?![\w])"),
        _spelled,
        (("the FBI and NASA", "the F B I and NASA"), ("two CDs", "two C Ds")),
    ),
    Rule(
        "initials without vowels",
        re.compile(
            rf"(?<![\w.])(?!(?:{_NO_LETTERS})\b)(?P<letters>{_CONSONANTS})(?P<plural>s?)(?!\w)"
        ),
        _spelled,
        (("an HTTP page", "an H T T P page"), ("HMM", "HMM")),
    ),
    Rule(
        "Roman number of a part",
        re.compile(rf"\b(?P<name>{_PARTS}) (?P<roman>{_ROMAN})"),
        lambda match: f"{match['name']} {cardinal(_value(match['roman']))}",
        (("World War II", "World War two"), ("Chapter XIV", "Chapter fourteen")),
    ),
    Rule(
        "Roman number of a regent",
        re.compile(rf"\b(?P<name>{_REGENTS}) (?!I\b|[VX]\.)(?P<roman>{_ROMAN})"),
        lambda match: f"{match['name']} the {ordinal(_value(match['roman']))}",
        (("Henry VIII", "Henry the eighth"), ("Elizabeth I saw", "Elizabeth I saw")),
    ),
)
