"""The table of a corpus in preparation: a row per utterance, its split, flags and reason."""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from wavewright.audio.loudness import LoudnessTarget
from wavewright.data.corpus.quality import Quality, speaking_rate_flags
from wavewright.data.corpus.screening import PHONE_SEPARATOR, ScreeningResult, ScreeningRules
from wavewright.data.corpus.splits import read_split_lists, split_utterances
from wavewright.data.corpus.utterances import CorpusUtterance
from wavewright.data.manifest import COLUMNS, write_manifest_parts
from wavewright.errors import WavewrightError
from wavewright.io.csv_text import csv_text
from wavewright.io.files import write_text
from wavewright.text.verbalisation.english import TextRules, verbalise

_ROWS = 4096  # of the manifest, written at a time
_LEFT_OUT = "left out: "  # reasons that are nobody's fault
log = logging.getLogger("wavewright")


@dataclass(slots=True)
class Row:
    """A row of the manifest in the making, with less to it than a dict: there may be millions.

    Attributes as the columns of `write_manifest`, but `alignment` (whether there is one), `quality`
    and `phones` (see `ScreeningResult`).
    """

    id: str
    sample_rate: int
    speaker: str
    text: str
    normalised_text: str
    alignment: bool
    flags: str
    reason: str
    seconds: float
    quality: Quality
    characters_per_second: float
    phones: str
    phone_seconds: np.ndarray
    audio: str = ""
    samples: int = 0
    split: str = ""
    gain_db: float = math.nan

    def cell(self, column: str) -> Any:
        """Value of a column of the manifest."""
        if column == "alignment":
            aligned = self.alignment and self.split
            return f"alignments/{self.id}.TextGrid" if aligned else ""
        return getattr(self.quality if hasattr(self.quality, column) else self, column)


def speakers_of(
    entries: Mapping[str, CorpusUtterance], speaker: str, pattern: str | None
) -> dict[str, str]:
    """Speaker by id: what the corpus says, or what the pattern finds, or the one name for all."""
    if pattern is None:
        return {name: entry.speaker or speaker for name, entry in entries.items()}
    found = _in_ids(entries, pattern, "speaker_pattern")
    return {name: entry.speaker or found.get(name, speaker) for name, entry in entries.items()}


def with_texts(
    entries: Mapping[str, CorpusUtterance], pattern: str | None
) -> dict[str, CorpusUtterance]:
    """The entries, those without a text with what the pattern finds in their ids."""
    found = {} if pattern is None else _in_ids(entries, pattern, "text_pattern")
    return {
        name: replace(entry, text=found[name], normalised=found[name])
        if name in found and not entry.text
        else entry
        for name, entry in entries.items()
    }


def in_words(
    entries: Mapping[str, CorpusUtterance], rules: TextRules
) -> dict[str, CorpusUtterance]:
    """The entries with normalised texts by some rules, unless the corpus brings its own.

    A normalised text that differs from the raw one shows that somebody has normalised them all.
    """
    if rules == "plain":
        return dict(entries)
    if any(entry.normalised != entry.text for entry in entries.values()):
        log.warning("normalised texts come with the corpus: text_rules %s changes none", rules)
        return dict(entries)
    return {
        name: replace(entry, normalised=verbalise(entry.normalised, rules))
        for name, entry in entries.items()
    }


def _in_ids(entries: Mapping[str, CorpusUtterance], pattern: str, option: str) -> dict[str, str]:
    """Value of the pattern's group in each matching id."""
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise WavewrightError(f"prepare.{option} {pattern!r}: {error}") from error
    if expression.groups != 1:
        raise WavewrightError(
            f"prepare.{option} {pattern!r}: needs one group, found {expression.groups}"
        )
    matched = {name: expression.search(name) for name in entries}
    return {name: match[1] for name, match in matched.items() if match}


def row_of(
    entry: CorpusUtterance, found: ScreeningResult, speaker: str, rules: ScreeningRules
) -> Row:
    """A row of the manifest; measures are NaN where the utterance cannot be used."""
    rate = found.level.sample_rate if found.level else rules.sample_rate
    seconds = (found.stop - found.start) / rate if found.level else math.nan
    characters = len(entry.normalised)
    return Row(
        id=entry.id,
        sample_rate=rules.sample_rate,
        speaker=speaker,
        text=entry.text,
        normalised_text=entry.normalised,
        alignment=found.alignment,
        flags=",".join(found.flags),
        reason=found.reason,
        seconds=seconds,
        quality=found.quality,
        characters_per_second=characters / seconds if characters and seconds else math.nan,
        phones=found.phones,
        phone_seconds=found.phone_seconds,
    )


def flag_rates(rows: Mapping[str, Row]) -> None:
    """Flag texts that do not go with the length of their audio."""
    rates = {n: row.characters_per_second for n, row in rows.items() if not row.reason}
    for name, flag in speaking_rate_flags(rates).items():
        rows[name].flags = ",".join(filter(None, [rows[name].flags, flag]))


def write_quarantine(prepared: Path, rows: Mapping[str, Row]) -> None:
    """Write `quarantine.csv`: what cannot be used, and why."""
    faulty = [(row.id, row.reason) for row in rows.values() if row.reason]
    write_text(prepared / "quarantine.csv", csv_text([("id", "reason"), *faulty]))


def require_few_faults(prepared: Path, rows: Mapping[str, Row], share: float) -> None:
    """Raise if more than this share of the utterances is faulty, or all; warn of the others."""
    faults = [row for row in rows.values() if row.reason]
    if not faults:
        return
    examples = "; ".join(f"{row.id}: {row.reason}" for row in faults[:3])
    allowed = math.ceil(share * len(rows))
    if len(faults) > allowed or len(faults) == len(rows):
        raise WavewrightError(
            f"{len(faults)} of {len(rows)} utterances cannot be used, more than the {allowed} that "
            f"prepare.max_quarantine={share:g} allows. {examples}. "
            f"All of them: {prepared / 'quarantine.csv'}"
        )
    log.warning("%d of %d utterances cannot be used. %s", len(faults), len(rows), examples)


def lists_of(
    corpus: Path, lists: Path | None, entries: Mapping[str, CorpusUtterance]
) -> dict[str, list[str]]:
    """Ids by split: of the folder `lists`, of the corpus's own splits/, or of its entries."""
    if lists is not None:
        return read_split_lists(lists)
    if (corpus / "splits").is_dir():
        return read_split_lists(corpus / "splits")
    named: dict[str, list[str]] = {}
    for name, entry in entries.items():
        if entry.split:
            named.setdefault(entry.split, []).append(name)
    return named


def assign_splits(
    rows: Mapping[str, Row],
    lists: Mapping[str, list[str]],
    dev: int,
    test: int,
    speaker_disjoint: bool,
    share_texts: bool,
) -> None:
    """Enter split or reason into the rows that are not faulty."""
    usable = {name: row for name, row in rows.items() if not row.reason}
    texts = {name: row.normalised_text for name, row in usable.items()}
    speakers = {name: row.speaker for name, row in usable.items()}
    chosen, reasons = split_utterances(
        texts,
        lists,
        dev=dev,
        test=test,
        speakers=speakers if speaker_disjoint else None,
        share_texts=share_texts or not any(texts.values()),
    )
    for name in texts:
        rows[name].split = chosen.get(name, "")
        rows[name].reason = reasons.get(name, "")
    if "train" not in chosen.values():
        raise WavewrightError(
            f"no utterance is left for training: {len(reasons)} of {len(texts)} are left out by "
            "the split, such as "
            + "; ".join(f"{name}: {why}" for name, why in list(reasons.items())[:2])
            + ". A corpus of few texts needs prepare.share_texts=true"
        )


def give_gains(
    rows: Mapping[str, Row], found: Mapping[str, ScreeningResult], loudness: LoudnessTarget
) -> dict[str, float]:
    """Gain by id of what has a split; flags those that got less than the others."""
    levels = {name: item.level for name, item in found.items() if rows[name].split and item.level}
    speakers = {name: rows[name].speaker for name in levels}
    train = [name for name in levels if rows[name].split == "train"]
    gains, limited = loudness.gains(levels, speakers, train)
    for name in limited:
        rows[name].flags = ",".join(filter(None, [rows[name].flags, "less_gain"]))
    for name, gain in gains.items():
        rows[name].gain_db = 20 * math.log10(gain)
    return gains


def write_table(prepared: Path, rows: dict[str, Row]) -> None:
    """Write `manifest.parquet`; empties `rows` on the way."""
    write_manifest_parts(_parts(rows), prepared / "manifest.parquet")


def _parts(rows: dict[str, Row]) -> Iterator[pd.DataFrame]:
    """A few rows at a time, for two tables of a large corpus are too much for the memory."""
    names = sorted(rows)
    for start in range(0, len(names), _ROWS):
        part = [rows.pop(name) for name in names[start : start + _ROWS]]
        columns = {name: [row.cell(name) for row in part] for name in COLUMNS}
        yield pd.DataFrame(columns).assign(**_lists(part))


def _lists(rows: Sequence[Row]) -> dict[str, pd.Series]:
    """The columns of lists, held by Arrow."""
    joined = pa.array([row.phones for row in rows], pa.string())
    split = pc.split_pattern(joined, PHONE_SEPARATOR)
    aligned = pc.not_equal(joined, "")  # else the split of nothing is one empty label
    labels = pc.list_flatten(pc.filter(split, aligned))
    seconds = [row.phone_seconds for row in rows]
    offsets = pa.array(np.cumsum([0, *map(len, seconds)]), pa.int32())
    flat = pa.array(np.concatenate([*seconds, np.zeros(0)]))
    lists = {
        "phones": pa.ListArray.from_arrays(offsets, labels),
        "phone_seconds": pa.ListArray.from_arrays(offsets, flat),
    }
    return {name: pd.Series(pd.arrays.ArrowExtensionArray(v)) for name, v in lists.items()}


def warn_of_alignments(found: Mapping[str, ScreeningResult]) -> None:
    """Say in the log which TextGrids cannot be used or are odd."""
    notes = [item.note for item in found.values() if item.note and not item.alignment]
    if notes:
        log.warning("%d TextGrids cannot be used, such as %s", len(notes), notes[0])
    odd = [f"{item.id}: {item.note}" for item in found.values() if item.note and item.alignment]
    if odd:
        log.warning("%d TextGrids are odd, such as that of %s", len(odd), odd[0])


def summarise(rows: Mapping[str, Row]) -> None:
    """Say in the log what there is."""
    for split in ("train", "dev", "test"):
        chosen = [row for row in rows.values() if row.split == split]
        hours = sum(row.samples / row.sample_rate for row in chosen) / 3600
        log.info("%-5s %6d utterances, %.3f hours", split, len(chosen), hours)
    flags = Counter(f for row in rows.values() for f in row.flags.split(",") if f)
    for flag, count in sorted(flags.items()):
        log.info("flag %s: %d utterances", flag, count)
    left_out = sum(row.reason.startswith(_LEFT_OUT) for row in rows.values())
    if left_out:
        log.info("%d utterances are left out by the split (see quarantine.csv)", left_out)
