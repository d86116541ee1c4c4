"""Screen all utterances of a corpus, by many workers; one that kills its worker is left out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from wavewright.compute.parallel_map import parallel_map
from wavewright.data.corpus.entries import Entry
from wavewright.data.corpus.screening import Rules, Screened, screen

_CHUNK = 64  # utterances that a worker screens at a time


def screen_all(entries: Sequence[Entry], rules: Rules, jobs: int) -> dict[str, Screened]:
    """What was found, by id, for every entry; `jobs` worker processes."""
    chunks = [entries[i : i + _CHUNK] for i in range(0, len(entries), _CHUNK)]
    found = parallel_map(
        partial(_screen_some, rules=rules),
        chunks,
        jobs=jobs,
        what="check",
        unit="batches",
        on_crash=partial(_one_by_one, rules),
    )
    return {item.id: item for items in found for item in items}


def _one_by_one(rules: Rules, entries: Sequence[Entry]) -> list[Screened]:
    """A batch that kills its worker: find out which of it does, and leave that out."""
    # Two workers at least: alone, the work would be done in this process, and kill it.
    return parallel_map(
        partial(_screen_one, rules=rules),
        [*entries],
        jobs=2,
        what="check one by one",
        unit="utterances",
        on_crash=_killer,
    )


def _screen_one(entry: Entry, rules: Rules) -> Screened:
    return _screen_some([entry], rules)[0]


def _killer(entry: Entry) -> Screened:
    return Screened(entry.id, f"{entry.audio.name}: reading it kills the process (tried 3 times)")


def _screen_some(entries: Sequence[Entry], rules: Rules) -> list[Screened]:
    return [screen(entry, rules) for entry in entries]
