"""Rule: one way of writing, and how it is spoken."""

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
"""A word that mostly starts a sentence, at the start of a text."""

KEPT = "\ue000"
"""What stands for a piece of the text that no rule may touch."""

END = rf"(?=[\"'\u2019\u201d)\]]*(?:\s*$|\s+[\"'\u2018\u201c(\[]*(?:{_STARTERS})\b))"
"""Where a full stop after an abbreviation also ends a sentence, as a pattern: at the end of the
text, or before a word that mostly starts one."""


@dataclass(frozen=True)
class Rule:
    """One line of a table of rules.

    Attributes:
        name: what it is about.
        pattern: what it finds.
        say: the words for what was found.
        examples: pairs of a written text and what the whole table makes of it.
    """

    name: str
    pattern: re.Pattern[str]
    say: Callable[[re.Match[str]], str]
    examples: tuple[tuple[str, str], ...]


def apply(rules: Iterable[Rule], text: str) -> str:
    """A text after every rule in turn; words never run into their neighbours."""
    for rule in rules:
        text = _replaced(rule, text)
    return text


def _replaced(rule: Rule, text: str) -> str:
    found = list(rule.pattern.finditer(text))
    if not found:
        return text
    spans = [(0, 0), *(match.span() for match in found), (len(text), len(text))]
    kept = [text[before[1] : after[0]] for before, after in pairwise(spans)]
    joined = kept[0]
    for match, rest in zip(found, kept[1:], strict=True):
        words = rule.say(match)
        joined += " " + words if _touch(joined, words) else words
        joined += " " + rest if _touch(joined, rest) else rest
    return joined


def _touch(left: str, right: str) -> bool:
    return left[-1:].isalnum() and right[:1].isalnum()
