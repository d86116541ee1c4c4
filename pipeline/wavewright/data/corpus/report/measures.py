"""Measures of every utterance: manifest columns and values derived from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wavewright.data.corpus.report.phones import Phones

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
UNKNOWN = "\u2013"
"""Placeholder of an unknown number: a dash."""


@dataclass(frozen=True)
class Measure:
    """Measure: one number per utterance.

    Attributes:
        id: its name in tables of values.
        title: heading on the page.
        unit: unit of displayed values; shares are in per cent.
        digits: decimals shown.
        definition: one sentence.
        short: label before the value in a list of values; empty if the unit is enough.
        low, high: headings for the utterances with the smallest and the largest values; empty
            where those are not odd.
        has_histogram: whether the page shows its histogram.
    """

    id: str
    title: str
    unit: str
    digits: int
    definition: str
    short: str = ""
    low: str = ""
    high: str = ""
    has_histogram: bool = True

    def show(self, value: float) -> str:
        """Format a value with its unit, `3.21 s`; a dash if unknown."""
        if not math.isfinite(value):
            return UNKNOWN
        space = "" if self.unit == "%" else "\u00a0"
        return f"{self.number(value)}{space}{self.unit}"

    def number(self, value: float) -> str:
        """Format a value without its unit."""
        return f"{value:.{self.digits}f}".replace("-", "\u2212")


DURATION = Measure(
    "duration",
    "Duration",
    "s",
    2,
    "Of the prepared audio, after trimming.",
    low="Shortest",
    high="Longest",
)
LEVEL = Measure(
    "level",
    "Level as recorded",
    "dBFS",
    1,
    "RMS of the active speech in the recording: of the 50 ms frames that are within 30 dB of the "
    "loudest.",
    short="level",
    low="Quietest",
    high="Loudest",
    has_histogram=False,
)
LEVEL_AFTER = Measure(
    "level_after",
    "Level as prepared",
    "dBFS",
    1,
    "The same with the gain that preparing has applied.",
    short="prepared at",
)
PEAK = Measure(
    "peak", "Peak as recorded", "dBFS", 1, "Largest sample of the recording.", short="peak"
)
SNR = Measure(
    "snr",
    "Signal-to-noise ratio",
    "dB",
    1,
    "An estimate from the recording alone: the power of its active speech over what the quietest "
    "twentieth of its 10 ms blocks stay below. It takes pauses for noise; without any it is too "
    "low.",
    short="SNR",
    low="Noisiest",
)
SILENCE = Measure(
    "silence",
    "Share of silence",
    "%",
    1,
    "Of its 10 ms blocks, those 40 dB below the loudest 50 ms.",
    short="silence",
    high="Most silence",
)
CLIPPED = Measure(
    "clipped",
    "Clipped samples",
    "%",
    3,
    "Share of samples of the recording that are at full scale.",
    short="clipped",
    high="Most clipped",
    has_histogram=False,
)
CHARACTERS = Measure(
    "characters",
    "Characters per second",
    "characters/s",
    1,
    "Letters, spaces and punctuation of the normalised text over the duration. Far from the "
    "others, the text is often not what is said.",
    low="Slowest",
    high="Fastest",
)
WORDS = Measure("words", "Words per second", "words/s", 2, "Of the normalised text.")
PHONES = Measure(
    "phones", "Phones per second", "phones/s", 1, "Of the TextGrids, silences not counted."
)
LONGEST_PHONE = Measure(
    "longest_phone",
    "Longest phone",
    "s",
    2,
    "The longest phone of each utterance, silences not counted. One of a second is rarely real: "
    "the alignment has slipped there.",
    short="longest phone",
    high="Longest phone",
)
MEASURES = (
    DURATION,
    LEVEL,
    LEVEL_AFTER,
    PEAK,
    SNR,
    SILENCE,
    CLIPPED,
    CHARACTERS,
    WORDS,
    PHONES,
    LONGEST_PHONE,
)


def compute_measures(frame: pd.DataFrame, phones: Phones) -> dict[str, Floats]:
    """Compute all measures: (utterances,) by measure id, NaN if unknown.

    Utterances without text have no rate of characters or words.
    Either phones per second (with TextGrids) or words per second is there, not both.
    """

    def column(name: str, scale: float = 1.0) -> Floats:
        return frame[name].to_numpy(np.float64) * scale

    seconds = column("seconds")
    text = (frame["normalised_text"] != "").to_numpy(bool)
    values = {
        "duration": seconds,
        "level": column("level_dbfs"),
        "level_after": column("level_dbfs") + column("gain_db"),
        "peak": column("peak_dbfs"),
        "snr": column("snr_db"),
        "silence": column("silence_share", 100.0),
        "clipped": column("clipped_share", 100.0),
        "characters": np.where(text, column("characters_per_second"), np.nan),
    }
    if len(phones.seconds):
        values["phones"] = _per_second(phones.spoken(), seconds)
        values["longest_phone"] = phones.longest()
    else:
        words = np.asarray(frame["normalised_text"].str.count(r"\S+"), dtype=np.float64)
        values["words"] = _per_second(np.where(text, words, np.nan), seconds)
    return values


def is_amplified(values: Mapping[str, Floats]) -> bool:
    """True if any prepared level differs from the recorded one."""
    return not np.allclose(values["level"], values["level_after"], equal_nan=True)


def drop_unknown(values: Floats) -> Floats:
    """Finite values only."""
    return values[np.isfinite(values)]


def _per_second(counts: Floats, seconds: Floats) -> Floats:
    """Divide counts by seconds; NaN where seconds are 0."""
    quotients = np.full(len(seconds), np.nan)
    np.divide(counts, seconds, out=quotients, where=seconds > 0)
    return quotients
