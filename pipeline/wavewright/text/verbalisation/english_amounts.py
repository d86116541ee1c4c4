"""English rules for money, shares, temperatures and units."""

from __future__ import annotations

import re

from wavewright.text.verbalisation.number_words import cardinal, number
from wavewright.text.verbalisation.rule import END, Rule

_NUMBER = r"[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?"
_SIGN = r"(?<![\w.,])(?P<sign>[-\u2212]?)"
_LARGE = {
    "k": "thousand",
    "m": "million",
    "mn": "million",
    "bn": "billion",
    "b": "billion",
    "tn": "trillion",
}
_SCALE = (
    r"(?:\s?(?P<scale>thousand|million|billion|trillion)\b|(?P<short>[kK]|[mM]n?|[bB]n?|tn)\b)?"
)
_MONEY = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "\u00a3": ("pound", "pounds", "penny", "pence"),
    "\u20ac": ("euro", "euros", "cent", "cents"),
    "\u00a5": ("yen", "yen", "", ""),
    "\u20b9": ("rupee", "rupees", "paisa", "paise"),
}
_SIGNS = f"[{''.join(_MONEY)}]"
_LANDS = {"US": "U S ", "A": "Australian ", "C": "Canadian ", "NZ": "New Zealand ", None: ""}
_TO = r"\s?(?:-|\u2013|to)\s?"
_UNITS = {
    "km": ("kilometre", "kilometres"),
    "cm": ("centimetre", "centimetres"),
    "mm": ("millimetre", "millimetres"),
    "m": ("metre", "metres"),
    "kg": ("kilogram", "kilograms"),
    "mg": ("milligram", "milligrams"),
    "g": ("gram", "grams"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "ft": ("foot", "feet"),
    "mi": ("mile", "miles"),
    "mph": ("mile per hour", "miles per hour"),
    "km/h": ("kilometre per hour", "kilometres per hour"),
    "Hz": ("hertz", "hertz"),
    "kHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"),
    "kB": ("kilobyte", "kilobytes"),
    "KB": ("kilobyte", "kilobytes"),
    "MB": ("megabyte", "megabytes"),
    "GB": ("gigabyte", "gigabytes"),
    "TB": ("terabyte", "terabytes"),
    "ms": ("millisecond", "milliseconds"),
    "min": ("minute", "minutes"),
    "hr": ("hour", "hours"),
    "hrs": ("hour", "hours"),
    "W": ("watt", "watts"),
    "kW": ("kilowatt", "kilowatts"),
    "kWh": ("kilowatt hour", "kilowatt hours"),
    "V": ("volt", "volts"),
    "dB": ("decibel", "decibels"),
    "ml": ("millilitre", "millilitres"),
    "mL": ("millilitre", "millilitres"),
    "km\u00b2": ("square kilometre", "square kilometres"),
    "m\u00b2": ("square metre", "square metres"),
    "m\u00b3": ("cubic metre", "cubic metres"),
}
_DOTTED = r"(?:ft|oz|lbs?|mi|min|hrs?)\."
_UNIT = "|".join(map(re.escape, sorted(_UNITS, key=len, reverse=True)))


def _signed(match: re.Match[str], written: str) -> str:
    return ("minus " if match["sign"] else "") + number(written)


def _money(match: re.Match[str]) -> str:
    one, many, small_one, small_many = _MONEY[match["money"]]
    land, sign = _LANDS[match["land"]], "minus " if match["sign"] else ""
    whole, _, rest = match["number"].partition(".")
    large = match["scale"] or _LARGE.get((match["short"] or "").lower(), "")
    if match["last"]:
        return f"{sign}{number(match['number'])} to {_scaled(match['last'], large)} {land}{many}"
    if large or len(rest) not in (0, 2) or not small_one:
        return f"{sign}{_scaled(match['number'], large)} {land}{many}"
    parts = []
    if int(whole.replace(",", "")) or not int(rest or 0):
        parts.append(f"{cardinal(whole)} {land}{one if whole == '1' else many}")
    if int(rest or 0):
        name = small_one if int(rest) == 1 else small_many
        parts.append(f"{cardinal(str(int(rest)))} {name}")
    return sign + " and ".join(parts)


def _scaled(written: str, large: str) -> str:
    return f"{number(written)} {large}" if large else number(written)


def _money_after(match: re.Match[str]) -> str:
    one, many, *_ = _MONEY[match["money"]]
    large = match["scale"] or _LARGE.get((match["short"] or "").lower(), "")
    name = one if match["number"] == "1" and not large else many
    return f"{'minus ' if match['sign'] else ''}{_scaled(match['number'], large)} {name}"


def _cents(match: re.Match[str]) -> str:
    return f"{_signed(match, match['number'])} cent{'' if match['number'] == '1' else 's'}"


def _percent(match: re.Match[str]) -> str:
    first = _signed(match, match["number"])
    return f"{first} to {number(match['last'])} percent" if match["last"] else f"{first} percent"


def _temperature(match: re.Match[str]) -> str:
    scale = {"C": " Celsius", "F": " Fahrenheit", None: ""}[match["scale"]]
    return f"{_signed(match, match['number'])} degree{'' if match['number'] == '1' else 's'}{scale}"


def _unit(match: re.Match[str]) -> str:
    one, many = _UNITS[match["unit"].rstrip(".")]
    words = _signed(match, match["number"])
    if match["last"]:
        words += f" to {number(match['last'])}"
    return f"{words} {one if match['number'] == '1' and not match['last'] else many}"


AMOUNTS = (
    Rule(
        "money",
        re.compile(
            rf"(?<![0-9.,$])(?P<sign>[-\u2212]?)(?:\b(?P<land>US|NZ|A|C))?(?P<money>{_SIGNS})\s?"
            rf"(?P<number>{_NUMBER})(?:[-\u2013]{_SIGNS}?(?P<last>{_NUMBER}))?{_SCALE}"
        ),
        _money,
        (
            ("$3.50", "three dollars and fifty cents"),
            ("\u00a320", "twenty pounds"),
            ("\u20ac5 million", "five million euros"),
            ("$1.2bn", "one point two billion dollars"),
            ("US$0.99", "ninety-nine cents"),
            ("$10-20", "ten to twenty dollars"),
        ),
    ),
    Rule(
        "money, sign last",
        re.compile(rf"{_SIGN}(?P<number>{_NUMBER}){_SCALE}\s?(?P<money>{_SIGNS})(?![0-9])"),
        _money_after,
        (("20 \u20ac", "twenty euros"),),
    ),
    Rule(
        "cents",
        re.compile(rf"{_SIGN}(?P<number>{_NUMBER})\s?\u00a2"),
        _cents,
        (("50\u00a2", "fifty cents"),),
    ),
    Rule(
        "percent",
        re.compile(rf"{_SIGN}(?P<number>{_NUMBER})(?:{_TO}(?P<last>{_NUMBER}))?\s?%"),
        _percent,
        (
            ("3.5%", "three point five percent"),
            ("5-10 %", "five to ten percent"),
        ),
    ),
    Rule(
        "temperature",
        re.compile(rf"{_SIGN}(?P<number>{_NUMBER})\s?\u00b0\s?(?P<scale>[CF]\b)?"),
        _temperature,
        (("-5 \u00b0C", "minus five degrees Celsius"),),
    ),
    Rule(
        "unit",
        re.compile(
            rf"{_SIGN}(?P<number>{_NUMBER})(?:{_TO}(?P<last>{_NUMBER}))?\s?"
            rf"(?P<unit>{_DOTTED}(?!{END})|{_UNIT})"
            r"(?![\w\u00b2\u00b3/']|-[a-z])"
        ),
        _unit,
        (
            ("1 km", "one kilometre"),
            ("5-6 ft. tall", "five to six feet tall"),
            ("44.1 kHz", "forty-four point one kilohertz"),
        ),
    ),
)
