"""Reasons for leaving utterances out, grouped by kind."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from wavewright.errors import WavewrightError

LEFT_OUT = "left out: "
"""How a reason begins that is nobody's fault: the split has no place for the utterance."""

_SHOWN_GROUPS, _SHOWN_EXAMPLES = 20, 3
_FILE = re.compile(r"[^\s:]+\.\w{2,8}: ")
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d.,]*")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_WORD = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class ReasonGroup:
    """Group of utterances that were left out for the same kind of reason.

    Attributes:
        kind: the reason without names and numbers.
        count: number of utterances.
        examples: (id, reason) of the first few.
    """

    kind: str
    count: int
    examples: list[tuple[str, str]]


@dataclass(frozen=True)
class ReasonGroups:
    """Largest groups, and the number of reasons in the others."""

    shown: list[ReasonGroup]
    count: int
    other_kinds: int
    other_count: int


def read_quarantine(path: Path, expected: Collection[str]) -> list[tuple[str, str]]:
    """Read (id, reason) of every line of quarantine.csv.

    Raises:
        WavewrightError: not such a table, or one of the `expected` ids is not in it.
    """
    if not path.is_file():
        raise WavewrightError(f"{path}: no such file; 'prepare' writes it beside the manifest")
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        if not {"id", "reason"} <= set(table.fieldnames or ()):
            raise WavewrightError(
                f"{path}: its columns are {table.fieldnames}, 'id' and 'reason' must be among them"
            )
        rows = [(row["id"], row["reason"] or "") for row in table]
    missing = sorted(set(expected) - {name for name, _ in rows})
    if missing:
        raise WavewrightError(
            f"{path}: '{missing[0]}' and {len(missing) - 1} others have a reason in the manifest, "
            "but are not here; the two files are not of the same run"
        )
    return rows


def group_reasons(rows: Iterable[tuple[str, str]], ids: Collection[str]) -> ReasonGroups:
    """Group (id, reason) pairs by kind, largest first; `ids` may occur in reasons."""
    members_by_kind: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, reason in rows:
        members_by_kind[reason_kind(reason, ids)].append((name, reason))
    order = sorted(members_by_kind.items(), key=lambda item: (-len(item[1]), item[0]))
    groups = [
        ReasonGroup(
            kind, len(members), [_example(*row) for row in sorted(members)[:_SHOWN_EXAMPLES]]
        )
        for kind, members in order[:_SHOWN_GROUPS]
    ]
    count = sum(map(len, members_by_kind.values()))
    rest = order[_SHOWN_GROUPS:]
    return ReasonGroups(groups, count, len(rest), sum(len(members) for _, members in rest))


def _example(name: str, reason: str) -> tuple[str, str]:
    """Example of a group, without the prefix that the heading has."""
    return name, reason.removeprefix(LEFT_OUT)


def reason_kind(reason: str, ids: Collection[str]) -> str:
    """Reduce a reason to its kind, without names and numbers.

    "a.wav: too short: 0.05 s, the minimum is 0.1 s" -> "too short"
    "left out: same text as b, which is in test" -> "same text as another, which is in test"
    """
    text = _FILE.sub("", reason.removeprefix(LEFT_OUT), count=1)
    text = re.split(r": | \(", text, maxsplit=1)[0]
    text = _WORD.sub(lambda found: _word(found.group(), ids), text)
    return _NUMBER.sub("…", _QUOTED.sub("…", text)).strip() or reason


def _word(word: str, ids: Collection[str]) -> str:
    """Replace an id by "another", unless it is also a plain word."""
    plain = word.isalpha() and word.islower()
    return "another" if word in ids and not plain else word
