"""Table of a corpus in preparation: a row per utterance with its measures, split, flags, reason."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from wavewright.audio.loudness import LoudnessTarget
from wavewright.data.corpus.quality import Quality, speaking_rate_flags
from wavewright.data.corpus.screening import PHONE_SEPARATOR, ScreeningResult, ScreeningRules
from wavewright.data.corpus.splits import split_utterances
from wavewright.data.corpus.utterances import CorpusUtterance
from wavewright.data.manifest import COLUMNS, write_manifest_parts
from wavewright.errors import WavewrightError
from wavewright.io.csv_text import csv_text
from wavewright.io.files import write_text

_ROWS_PER_WRITE = 4096
_LEFT_OUT = "left out: "  # prefix of reasons that are no faults
log = logging.getLogger("wavewright")


@dataclass(slots=True)
class UtteranceRow:
    """Row of the manifest in the making, smaller than a dict: there may be millions.

    Attributes are the columns of `write_manifest`, except `alignment` (whether there is a usable
    TextGrid), and `quality` and `phones` (see `ScreeningResult`).
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

    def add_flag(self, flag: str) -> None:
        """Append a flag to the comma-separated list."""
        self.flags = ",".join(filter(None, [self.flags, flag]))


class UtteranceTable:
    """Rows of all utterances by id. The steps of a preparation, in order:

    1. `from_screening`: measures, flags and faults of every utterance.
    2. `require_few_faults`: raise if too many cannot be used.
    3. `assign_splits`: split, or the reason for leaving out.
    4. `compute_gains`: gain of everything that has a split.
    5. `set_audio`: location and length, once the audio is written.
    6. `write_manifest`: the manifest; empties the table.

    `write_quarantine` and `log_summary` show the state between steps.
    """

    def __init__(self, rows: Iterable[UtteranceRow]) -> None:
        self.rows = {row.id: row for row in rows}

    @classmethod
    def from_screening(
        cls,
        utterances: Mapping[str, CorpusUtterance],
        results: Mapping[str, ScreeningResult],
        speakers: Mapping[str, str],
        rules: ScreeningRules,
    ) -> UtteranceTable:
        """Make a table from utterances, screening results and speakers by id.

        Texts whose speaking rate is an outlier of the corpus are flagged.
        """
        table = cls(
            _make_row(utterance, results[name], speakers[name], rules)
            for name, utterance in utterances.items()
        )
        rates = {n: row.characters_per_second for n, row in table.rows.items() if not row.reason}
        for name, flag in speaking_rate_flags(rates).items():
            table.rows[name].add_flag(flag)
        return table

    def require_few_faults(self, prepared: Path, share: float) -> None:
        """Raise if all utterances or more than `share` of them are faulty; warn of fewer."""
        faults = [row for row in self.rows.values() if row.reason]
        if not faults:
            return
        examples = "; ".join(f"{row.id}: {row.reason}" for row in faults[:3])
        allowed = math.ceil(share * len(self.rows))
        if len(faults) > allowed or len(faults) == len(self.rows):
            raise WavewrightError(
                f"{len(faults)} of {len(self.rows)} utterances cannot be used, more than the "
                f"{allowed} that prepare.max_quarantine={share:g} allows. {examples}. "
                f"All of them: {prepared / 'quarantine.csv'}"
            )
        log.warning("%d of %d utterances cannot be used. %s", len(faults), len(self.rows), examples)

    def assign_splits(
        self,
        lists: Mapping[str, list[str]],
        *,
        dev: int,
        test: int,
        speaker_disjoint: bool,
        share_texts: bool,
    ) -> None:
        """Enter split or reason into the rows without fault; see `split_utterances`.

        Raises:
            WavewrightError: nothing is left for training.
        """
        usable = {name: row for name, row in self.rows.items() if not row.reason}
        texts = {name: row.normalised_text for name, row in usable.items()}
        speakers = {name: row.speaker for name, row in usable.items()}
        splits, reasons = split_utterances(
            texts,
            lists,
            dev=dev,
            test=test,
            speakers=speakers if speaker_disjoint else None,
            share_texts=share_texts or not any(texts.values()),
        )
        for name, row in usable.items():
            row.split = splits.get(name, "")
            row.reason = reasons.get(name, "")
        if "train" not in splits.values():
            raise WavewrightError(
                f"no utterance is left for training: {len(reasons)} of {len(texts)} are left out "
                "by the split, such as "
                + "; ".join(f"{name}: {why}" for name, why in list(reasons.items())[:2])
                + ". A corpus of few texts needs prepare.share_texts=true"
            )

    def compute_gains(
        self, results: Mapping[str, ScreeningResult], target: LoudnessTarget
    ) -> dict[str, float]:
        """Gain factor by id of every row with a split; limited ones get the flag `less_gain`."""
        rows = self.rows
        levels = {
            name: result.level
            for name, result in results.items()
            if rows[name].split and result.level
        }
        speakers = {name: rows[name].speaker for name in levels}
        train = [name for name in levels if rows[name].split == "train"]
        gains, limited = target.compute_gains(levels, speakers, train)
        for name in limited:
            rows[name].add_flag("less_gain")
        for name, gain in gains.items():
            rows[name].gain_db = 20 * math.log10(gain)
        return gains

    def set_audio(self, name: str, shard: str, samples: int) -> None:
        """Enter where an utterance's prepared audio is, and how long."""
        row = self.rows[name]
        row.audio, row.samples, row.seconds = shard, samples, samples / row.sample_rate

    def write_quarantine(self, prepared: Path) -> None:
        """Write `quarantine.csv`: ids that cannot be used, with reasons."""
        faulty = [(row.id, row.reason) for row in self.rows.values() if row.reason]
        write_text(prepared / "quarantine.csv", csv_text([("id", "reason"), *faulty]))

    def write_manifest(self, prepared: Path) -> None:
        """Write `manifest.parquet`, and empty the table while doing so to save memory."""
        write_manifest_parts(self._pop_parts(), prepared / "manifest.parquet")

    def _pop_parts(self) -> Iterator[pd.DataFrame]:
        names = sorted(self.rows)
        for start in range(0, len(names), _ROWS_PER_WRITE):
            part = [self.rows.pop(name) for name in names[start : start + _ROWS_PER_WRITE]]
            columns = {name: [row.cell(name) for row in part] for name in COLUMNS}
            yield pd.DataFrame(columns).assign(**_list_columns(part))

    def log_summary(self) -> None:
        """Log size and hours of every split, and how often each flag occurs."""
        for split in ("train", "dev", "test"):
            rows = [row for row in self.rows.values() if row.split == split]
            hours = sum(row.samples / row.sample_rate for row in rows) / 3600
            log.info("%-5s %6d utterances, %.3f hours", split, len(rows), hours)
        flags = Counter(f for row in self.rows.values() for f in row.flags.split(",") if f)
        for flag, count in sorted(flags.items()):
            log.info("flag %s: %d utterances", flag, count)
        left_out = sum(row.reason.startswith(_LEFT_OUT) for row in self.rows.values())
        if left_out:
            log.info("%d utterances are left out by the split (see quarantine.csv)", left_out)


def _make_row(
    utterance: CorpusUtterance, result: ScreeningResult, speaker: str, rules: ScreeningRules
) -> UtteranceRow:
    """Row of an utterance; measures are NaN if it cannot be used."""
    rate = result.level.sample_rate if result.level else rules.sample_rate
    seconds = (result.stop - result.start) / rate if result.level else math.nan
    characters = len(utterance.normalised)
    return UtteranceRow(
        id=utterance.id,
        sample_rate=rules.sample_rate,
        speaker=speaker,
        text=utterance.text,
        normalised_text=utterance.normalised,
        alignment=result.alignment,
        flags=",".join(result.flags),
        reason=result.reason,
        seconds=seconds,
        quality=result.quality,
        characters_per_second=characters / seconds if characters and seconds else math.nan,
        phones=result.phones,
        phone_seconds=result.phone_seconds,
    )


def _list_columns(rows: Sequence[UtteranceRow]) -> dict[str, pd.Series]:
    """Columns `phones` and `phone_seconds` as Arrow lists."""
    joined = pa.array([row.phones for row in rows], pa.string())
    split = pc.split_pattern(joined, PHONE_SEPARATOR)
    aligned = pc.not_equal(joined, "")  # an empty string would split into one empty label
    labels = pc.list_flatten(pc.filter(split, aligned))
    seconds = [row.phone_seconds for row in rows]
    offsets = pa.array(np.cumsum([0, *map(len, seconds)]), pa.int32())
    flat = pa.array(np.concatenate([*seconds, np.zeros(0)]))
    lists = {
        "phones": pa.ListArray.from_arrays(offsets, labels),
        "phone_seconds": pa.ListArray.from_arrays(offsets, flat),
    }
    return {name: pd.Series(pd.arrays.ArrowExtensionArray(v)) for name, v in lists.items()}
