"""English rules for times of day, dates and years."""

from __future__ import annotations

import re

from wavewright.text.verbalisation.number_words import cardinal, ordinal, plural, year
from wavewright.text.verbalisation.rule import END, Rule

_MONTHS = {
    "Jan": "January",
    "Feb": "February",
    "Mar": "March",
    "Apr": "April",
    "May": "May",
    "Jun": "June",
    "Jul": "July",
    "Aug": "August",
    "Sep": "September",
    "Sept": "September",
    "Oct": "October",
    "Nov": "November",
    "Dec": "December",
}
_NAMES = tuple(dict.fromkeys(_MONTHS.values()))
_MONTH = rf"(?P<month>{'|'.join(_NAMES)}|(?:{'|'.join(_MONTHS)})\.)"
_DAY = r"(?P<day>0?[1-9]|[12][0-9]|3[01])"
_YEAR = r"(?P<year>1[0-9]{3}|20[0-9]{2})"
_NO_MORE = r"(?![0-9]|[.,:/][0-9])"
_HALF = rf"(?:\s?(?P<half>[AaPp])(?:\.\s?[Mm](?:\.(?P<stop>{END})|\b\.?)|[Mm]\b))"


def _half_of_day(match: re.Match[str]) -> str:
    letter = match["half"]
    if letter is None:
        return ""
    return f" {letter.lower()} m" + ("." if match["stop"] is not None else "")


def _clock(match: re.Match[str]) -> str:
    hours, minutes, seconds = match["hours"], match["minutes"], match["seconds"]
    half = _half_of_day(match)
    words = cardinal(str(int(hours)))
    if minutes != "00":
        words += f" oh {cardinal(minutes[1])}" if minutes[0] == "0" else f" {cardinal(minutes)}"
    elif seconds is None and not half:
        words += " o'clock" if 0 < int(hours) < 13 else " hundred"
    if seconds is not None:
        one = int(seconds) == 1
        words += f" and {cardinal(str(int(seconds)))} second{'' if one else 's'}"
    return words + half


def _hour(match: re.Match[str]) -> str:
    return cardinal(match["hours"]) + _half_of_day(match)


def _month(match: re.Match[str]) -> str:
    written = match["month"].rstrip(".")
    return _MONTHS.get(written, written)


def _iso(match: re.Match[str]) -> str:
    month = _NAMES[int(match["month"]) - 1]
    return f"{month} {ordinal(match['day'])}, {year(match['year'])}"


def _month_and_day(match: re.Match[str]) -> str:
    words = f"{_month(match)} {ordinal(match['day'])}"
    return f"{words}, {year(match['year'])}" if match["year"] else words


def _day_and_month(match: re.Match[str]) -> str:
    words = f"{match['the'] or 'the '}{ordinal(match['day'])} of {_month(match)}"
    return f"{words}{match['comma'] or ''} {year(match['year'])}" if match["year"] else words


def _decade(match: re.Match[str]) -> str:
    digits = match["digits"]
    return plural(year(digits) if len(digits) == 4 else cardinal(digits))


TIMES = (
    Rule(
        "date, year first",
        re.compile(rf"\b{_YEAR}-(?P<month>0[1-9]|1[0-2])-{_DAY}\b(?!-)"),
        _iso,
        (("on 2026-11-21", "on November twenty-first, twenty twenty-six"),),
    ),
    Rule(
        "month and day",
        re.compile(rf"\b{_MONTH} {_DAY}(?:st|nd|rd|th)?\b{_NO_MORE}(?:,? {_YEAR}\b{_NO_MORE})?"),
        _month_and_day,
        (
            ("November 22, 1963", "November twenty-second, nineteen sixty-three"),
            ("on Oct. 3rd", "on October third"),
        ),
    ),
    Rule(
        "day and month",
        re.compile(
            rf"\b(?P<the>[Tt]he )?{_DAY}(?:st|nd|rd|th)? (?:of )?{_MONTH}(?![\w])"
            rf"(?:(?P<comma>,?) {_YEAR}\b{_NO_MORE})?"
        ),
        _day_and_month,
        (("the 14th June, 1800", "the fourteenth of June, eighteen hundred"),),
    ),
    Rule(
        "month",
        re.compile(rf"\b{_MONTH}(?= [0-9])"),
        _month,
        (("in Sept. 1939", "in September nineteen thirty-nine"),),
    ),
    Rule(
        "time of day",
        re.compile(
            r"(?<![\w:.,])(?P<hours>[01]?[0-9]|2[0-4]):(?P<minutes>[0-5][0-9])"
            rf"(?::(?P<seconds>[0-5][0-9]))?(?:{_HALF}|(?![:\w]|[.,][0-9]))"
        ),
        _clock,
        (
            ("at 3:30 p.m. sharp", "at three thirty p m sharp"),
            ("at 9:05", "at nine oh five"),
            ("from 8:00 to 14:00", "from eight o'clock to fourteen hundred"),
            ("10:30am", "ten thirty a m"),
            ("in 1:02:03", "in one oh two and three seconds"),
        ),
    ),
    Rule(
        "full hour",
        re.compile(rf"(?<![\w:.,])(?P<hours>1[0-2]|[1-9]){_HALF}"),
        _hour,
        (("by 2 a.m. The", "by two a m. The"), ("5pm", "five p m")),
    ),
    Rule(
        "decade",
        re.compile(r"(?<![\w.,])['\u2019]?(?P<digits>1[1-9][0-9]0|20[0-9]0|[2-9]0)['\u2019]?s\b"),
        _decade,
        (("the 1980s and '90s", "the nineteen eighties and nineties"),),
    ),
    Rule(
        "years from and to",
        re.compile(
            r"(?<![\w.,$\u00a3\u20ac-])(?P<first>1[1-9][0-9]{2}|20[0-9]{2})\s?[-\u2013]\s?"
            r"(?P<last>1[1-9][0-9]{2}|20[0-9]{2}|[0-9]{2})\b(?![-\u2013%]|[.,][0-9])"
        ),
        lambda match: (
            f"{year(match['first'])} to "
            + (year if len(match["last"]) == 4 else cardinal)(match["last"])
        ),
        (("1939-1945", "nineteen thirty-nine to nineteen forty-five"),),
    ),
    Rule(
        "year before or after Christ",
        re.compile(
            r"(?<![\w.,$-])(?P<digits>[1-9][0-9]{2,3})"
            r"(?= (?:B\.?\s?C|A\.?\s?D|[BC]\.?\s?C\.?\s?E)\b)"
        ),
        lambda match: year(match["digits"]),
        (("606 B.C.", "six oh six B C."),),
    ),
    Rule(
        "year",
        re.compile(
            r"(?<![\w.,$\u00a3\u20ac])(?<![^A-Za-z]-)(?:1[1-9][0-9]{2}|20[0-9]{2})\b(?!-[0-9]|[.,][0-9])"
        ),
        lambda match: year(match[0]),
        (
            ("in 1984", "in nineteen eighty-four"),
            ("pre-1914", "pre-nineteen fourteen"),
            ("1905, 2000 and 2026", "nineteen oh five, two thousand and twenty twenty-six"),
        ),
    ),
)
