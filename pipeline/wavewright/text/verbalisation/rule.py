"""Rule: a written pattern and its spoken form; and the application of rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

_STARTERS = (
    "A|After|Although|An|And|As|At|Before|But|By|For|From|He|Her|His|How|However|I|If|In|It|Its|"
    "Let|My|No|Not|Now|On|Or|Our|Perhaps|She|So|Some|That|The|Their|Then|There|These|They|This|"
    "Those|To|We|What|When|Where|Which|While|Who|Why|Will|With|Yes|Yet|You|Your"
)
STARTER = re.compile(rf"[\"'\u2018\u201c(\[]*(?:{_STARTERS})\b")
"""Pattern of a word that usually starts a sentence, at the start of a text."""

PROTECTED = "\ue000"
"""Placeholder of a piece of text that no rule may change."""

END = rf"(?=[\"'\u2019\u201d)\]]*(?:\s*$|\s+[\"'\u2018\u201c(\[]*(?:{_STARTERS})\b))"
"""Pattern after an abbreviation's full stop that also ends a sentence: the end of the text, or a
word that usually starts a sentence."""


@dataclass(frozen=True)
class Rule:
    """One line of a table of rules.

    Attributes:
        name: subject of the rule.
        pattern: pattern of the written form.
        replacement: spoken form of a match.
        examples: pairs of a written text and its form after all rules.
    """

    name: str
    pattern: re.Pattern[str]
    replacement: Callable[[re.Match[str]], str]
    examples: tuple[tuple[str, str], ...]


def apply_rules(rules: Iterable[Rule], text: str) -> str:
    """Apply rules in order, keeping words separated by spaces."""
    for rule in rules:
        text = _replaced(rule, text)
    return text


def _replaced(rule: Rule, text: str) -> str:
    matches = list(rule.pattern.finditer(text))
    if not matches:
        return text
    spans = [(0, 0), *(match.span() for match in matches), (len(text), len(text))]
    rests = [text[before[1] : after[0]] for before, after in pairwise(spans)]
    joined = rests[0]
    for match, rest in zip(matches, rests[1:], strict=True):
        words = rule.replacement(match)
        joined += " " + words if _touch(joined, words) else words
        joined += " " + rest if _touch(joined, rest) else rest
    return joined


def _touch(left: str, right: str) -> bool:
    return left[-1:].isalnum() and right[:1].isalnum()
