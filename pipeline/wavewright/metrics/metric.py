"""Metric: the contract of everything that compares a candidate waveform with its reference.

A metric is small and pure: two waveforms in, one number out. What it cannot define (silence, a
clip too short, durations too far apart) is NaN with a reason, which reports count and show; it
never enters a mean as 0 or -1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from wavewright.audio.levels import is_silent

if TYPE_CHECKING:
    from wavewright.text.textgrid import Interval

Condition = Literal["copy", "gta", "tts"]
Direction = Literal["lower", "higher", "ideal"]

LONGEST_MISMATCH = 0.10  # of the longer duration; beyond it a frame-by-frame score means nothing


class Undefined(Exception):
    """Raised by `Metric.measure` where the metric has no value; the text says why."""


class Score(float):
    """A metric's value: a float, NaN where undefined, with the reason for that.

    `weight` is what it counts for in a mean over utterances: 1, or the denominator of a ratio that
    is pooled, such as the words of a word error rate.
    """

    reason: str
    weight: float

    def __new__(cls, value: float, reason: str = "", weight: float = 1.0) -> Score:
        score = super().__new__(cls, value)
        score.reason = reason
        score.weight = weight
        return score


@dataclass(frozen=True)
class Pair:
    """A candidate and its reference, ready to be compared.

    Attributes:
        reference: (samples,), float in [-1, 1].
        candidate: (samples,), float in [-1, 1]; as long as the reference if `aligned`.
        sample_rate: of both, in Hz.
        text: what is said; empty where nobody knows.
        phones: where the phones of the reference lie; empty where nobody knows.
    """

    reference: np.ndarray
    candidate: np.ndarray
    sample_rate: int
    text: str = ""
    phones: Sequence[Interval] = ()


class Metric(ABC):
    """One number for how a candidate waveform differs from a reference waveform.

    Most metrics implement `measure`; one that needs what is said, or weights, implements `score`.

    Attributes:
        name: registry name.
        recipe: name of the exact recipe where it says more than `name`: `mcd-world24-noc0`.
        title: what a table's head says.
        unit: of the value, empty for a ratio.
        direction: `lower` or `higher` is better, or `ideal`: the nearer to `ideal` the better.
        ideal: value of a perfect copy.
        lowest, highest: ends of the range of values; None where there is none.
        rate: sample rate in Hz at which it hears, whatever that of the waveforms; None for theirs.
        cost: seconds of one core per second of speech, roughly; above 0.05 it is called slow.
        packages: what has to be importable for it, from the extra `metrics`.
        remedy: the command that installs them.
        conditions: where the metric applies (`copy`, `gta`, `tts`).
        aligned: it compares equal times, so that the longer waveform is cut to the shorter one.
        banded: it can be confined to frequencies up to `band`.
        by_phones: it can be confined to the frames of a class of phones.

    Args:
        band: highest frequency that counts in Hz; None for half the sample rate.
        phones: class of phones (`wavewright.text.phones`) whose frames count; None for all.
    """

    name: ClassVar[str]
    recipe: ClassVar[str] = ""
    title: ClassVar[str]
    unit: ClassVar[str] = ""
    direction: ClassVar[Direction] = "lower"
    ideal: ClassVar[float] = 0.0
    conditions: ClassVar[tuple[Condition, ...]] = ("copy", "gta")
    aligned: ClassVar[bool] = True
    banded: ClassVar[bool] = False
    by_phones: ClassVar[bool] = False
    lowest: ClassVar[float | None] = None
    highest: ClassVar[float | None] = None
    rate: ClassVar[int | None] = None
    cost: ClassVar[float] = 0.01
    packages: ClassVar[tuple[str, ...]] = ()
    remedy: ClassVar[str] = "pip install wavewright[metrics]"

    def __init__(self, band: float | None = None, phones: str | None = None) -> None:
        if band is not None and not self.banded:
            raise ValueError(f"metric '{self.name}' cannot be confined to a band")
        if phones is not None and not self.by_phones:
            raise ValueError(f"metric '{self.name}' cannot be confined to a class of phones")
        self.band = band
        self.phones = phones

    @property
    def id(self) -> str:
        """Name of the exact recipe: `mel_l1`, `mel_l1_8k` within 8 kHz, `mel_l1@vowels`."""
        band = "" if self.band is None else f"_{self.band / 1000:g}k"
        phones = "" if self.phones is None else f"@{self.phones}"
        return f"{self.recipe or self.name}{band}{phones}"

    @property
    def heading(self) -> str:
        """Title with its band, for the head of a table."""
        band = "" if self.band is None else f" ≤ {self.band / 1000:g} kHz"
        return f"{self.title}{band}" + (f", {self.phones}" if self.phones else "")

    @classmethod
    def lacks(cls) -> str:
        """The first of `packages` that cannot be imported here; empty if none."""
        return next((name for name in cls.packages if find_spec(name) is None), "")

    @property
    @abstractmethod
    def definition(self) -> str:
        """The recipe in one or two sentences, for readers of a report."""

    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        """Value for two checked waveforms (equally long if `aligned`); raises Undefined."""
        raise NotImplementedError(f"{type(self).__name__} has neither measure() nor score()")

    def score(self, pair: Pair) -> Score:
        """Value for a checked pair; raises Undefined."""
        return Score(self.measure(pair.reference, pair.candidate, pair.sample_rate))

    def __call__(
        self,
        reference: np.ndarray,
        candidate: np.ndarray,
        sample_rate: int,
        *,
        text: str = "",
        phones: Sequence[Interval] = (),
    ) -> Score:
        """Compare two waveforms of one sample rate.

        Args:
            reference: (samples,), float in [-1, 1].
            candidate: (samples,), float in [-1, 1]; may differ in length.
            sample_rate: of both, in Hz.
            text: what is said.
            phones: where the reference's phones lie.

        Returns:
            The value, or NaN with its `reason`.
        """
        try:
            if missing := self.lacks():
                raise Undefined(f"needs the package {missing}: {self.remedy}")
            _check("reference", reference)
            _check("candidate", candidate)
            if is_silent(reference):
                raise Undefined("the reference is silent")
            if self.aligned:
                reference, candidate = _same_length(reference, candidate)
            return self.score(Pair(reference, candidate, sample_rate, text, phones))
        except Undefined as undefined:
            return Score(float("nan"), str(undefined))


def _check(role: str, wav: np.ndarray) -> None:
    if wav.ndim != 1:
        raise Undefined(f"the {role} is not mono: its shape is {wav.shape}")
    if not len(wav):
        raise Undefined(f"the {role} is empty")
    if not np.isfinite(wav).all():
        raise Undefined(f"the {role} holds values that are not finite")


def _same_length(reference: np.ndarray, candidate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    longer, shorter = max(len(reference), len(candidate)), min(len(reference), len(candidate))
    if longer - shorter > LONGEST_MISMATCH * longer:
        raise Undefined(
            f"durations differ by more than {LONGEST_MISMATCH:.0%}: "
            f"{len(reference)} samples of reference, {len(candidate)} of candidate"
        )
    return reference[:shorter], candidate[:shorter]
