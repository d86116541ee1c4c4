"""Phone statistics from the TextGrids: durations and rare phones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wavewright.errors import WavewrightError
from wavewright.text.phones import PHONE_CLASSES, phone_class
from wavewright.text.textgrid import SILENCES

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int32]  # half the memory, where a corpus has millions of phones
Codes = npt.NDArray[np.int16]
_ROWS = 1024  # of a manifest, read at a time
_NONE = np.zeros(0, dtype=np.int32)


@dataclass(frozen=True)
class Phones:
    """All phones of all utterances, concatenated.

    Attributes:
        labels: (kinds,) the different labels, sorted.
        codes: (phones,) index of each one's label.
        seconds: (phones,) how long each lasts.
        owner: (phones,) row of the utterance that it belongs to.
        rows: number of utterances.
    """

    labels: list[str]
    codes: Codes
    seconds: npt.NDArray[np.float32]
    owner: Indices
    rows: int

    def spoken(self) -> Floats:
        """Number of phones other than silence, (rows,); NaN without a TextGrid."""
        counts = np.bincount(self.owner[self._speech()], minlength=self.rows).astype(np.float64)
        return np.where(self._aligned(), counts, np.nan)

    def longest(self) -> Floats:
        """Seconds of the longest phone other than silence, (rows,); NaN if there is none."""
        seconds = np.full(self.rows, -np.inf)
        speech = self._speech()
        np.maximum.at(seconds, self.owner[speech], self.seconds[speech])
        return np.where(np.isfinite(seconds), seconds, np.nan)

    def aligned(self) -> int:
        """Number of utterances with phones."""
        return int(self._aligned().sum())

    def _aligned(self) -> npt.NDArray[np.bool_]:
        return np.bincount(self.owner, minlength=self.rows) > 0

    def _speech(self) -> npt.NDArray[np.bool_]:
        silent = np.array([label in SILENCES for label in self.labels], dtype=bool)
        return ~silent[self.codes] if len(self.codes) else np.zeros(0, dtype=bool)


@dataclass(frozen=True)
class PhoneStatistics:
    """Statistics of a phone class or label: count, share of time, 5th, 50th, 95th percentile.

    Attributes:
        utterances: number of utterances with it.
    """

    name: str
    count: int
    share: float
    low: float
    middle: float
    high: float
    utterances: int


def read_phones(manifest: Path) -> Phones:
    """Read the phones of a manifest's usable utterances, sorted by id.

    Raises:
        WavewrightError: an utterance has more labels than times, or fewer.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    kinds: dict[str, int] = {}
    codes, seconds, owner = [np.zeros(0, np.int16)], [np.zeros(0, np.float32)], [_NONE]
    rows = 0
    # Some rows at a time, and labels as numbers: a large corpus has millions of phones.
    names = ["id", "reason", "phones", "phone_seconds"]
    for batch in pq.ParquetFile(manifest).iter_batches(_ROWS, columns=names):
        part = batch.filter(pc.equal(batch["reason"], ""))
        lengths = pc.list_value_length(part["phones"]).to_numpy()
        times = pc.list_value_length(part["phone_seconds"]).to_numpy()
        for row in np.flatnonzero(lengths != times)[:1]:
            raise WavewrightError(
                f"{manifest}: '{part['id'][row]}' has {lengths[row]} phones, but "
                f"{times[row]} phone_seconds; they must be as many"
            )
        labels = pc.list_flatten(part["phones"]).dictionary_encode()
        indices = [kinds.setdefault(label, len(kinds)) for label in labels.dictionary.to_pylist()]
        codes.append(np.array(indices, dtype=np.int16)[labels.indices.to_numpy()])
        seconds.append(pc.list_flatten(part["phone_seconds"]).to_numpy().astype(np.float32))
        owner.append(np.repeat(np.arange(rows, rows + len(part), dtype=np.int32), lengths))
        rows += len(part)
    order = sorted(kinds)
    place = np.array([order.index(label) for label in kinds], dtype=np.int16)
    return Phones(order, place[_joined(codes)], _joined(seconds), _joined(owner), rows)


def _joined(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Concatenate parts and empty the list, which halves the peak memory."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole


def statistics_by_class(phones: Phones) -> list[PhoneStatistics]:
    """Statistics of the classes that occur, speech first, silence last."""
    order = list(PHONE_CLASSES)
    place = np.array([order.index(phone_class(label)) for label in phones.labels], dtype=np.int16)
    return _rows(phones, place[phones.codes], order)


def statistics_by_label(phones: Phones) -> list[PhoneStatistics]:
    """Statistics of the labels other than silence, rarest first."""
    rows = _rows(phones, phones.codes, phones.labels)
    speech = [row for row in rows if row.name not in SILENCES]
    return sorted(speech, key=lambda row: (row.count, row.name))


def _rows(phones: Phones, codes: Codes, names: list[str]) -> list[PhoneStatistics]:
    order = np.argsort(codes, kind="stable").astype(np.int32)
    starts = np.searchsorted(codes[order], np.arange(len(names) + 1))
    total = float(phones.seconds.sum()) or 1.0
    statistics = []
    for name, start, stop in zip(names, starts, starts[1:], strict=False):
        if start == stop:
            continue
        members = order[start:stop]
        seconds = phones.seconds[members]
        low, middle, high = (float(q) for q in np.quantile(seconds, (0.05, 0.5, 0.95)))
        utterances = len(np.unique(phones.owner[members]))
        share = float(seconds.sum()) / total
        statistics.append(PhoneStatistics(name, len(members), share, low, middle, high, utterances))
    return statistics
