"""Metric: the contract of everything that compares a candidate waveform with its reference.

A metric is small and pure: two waveforms in, one number out. What it cannot define (silence, a
clip too short, durations too far apart) is NaN with a reason, which reports count and show; it
never enters a mean as 0 or -1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import numpy as np

Condition = Literal["copy", "gta", "tts"]
Direction = Literal["lower", "higher", "ideal"]

LONGEST_MISMATCH = 0.10  # of the longer duration; beyond it a frame-by-frame score means nothing
_SILENT_PEAK = 0.5 / 32768  # half a step of 16-bit audio


class Undefined(Exception):
    """Raised by `Metric.measure` where the metric has no value; the text says why."""


class Score(float):
    """A metric's value: a float, NaN where undefined, with the reason for that."""

    reason: str

    def __new__(cls, value: float, reason: str = "") -> Score:
        score = super().__new__(cls, value)
        score.reason = reason
        return score


class Metric(ABC):
    """One number for how a candidate waveform differs from a reference waveform.

    Attributes:
        name: registry name.
        title: what a table's head says.
        unit: of the value, empty for a ratio.
        direction: `lower` or `higher` is better, or `ideal`: the nearer to `ideal` the better.
        ideal: value of a perfect copy.
        conditions: where the metric applies (`copy`, `gta`, `tts`).
        aligned: it compares equal times, so that the longer waveform is cut to the shorter one.
        banded: it can be confined to frequencies up to `band`.

    Args:
        band: highest frequency that counts in Hz; None for half the sample rate.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str] = ""
    direction: ClassVar[Direction] = "lower"
    ideal: ClassVar[float] = 0.0
    conditions: ClassVar[tuple[Condition, ...]] = ("copy", "gta")
    aligned: ClassVar[bool] = True
    banded: ClassVar[bool] = False

    def __init__(self, band: float | None = None) -> None:
        if band is not None and not self.banded:
            raise ValueError(f"metric '{self.name}' cannot be confined to a band")
        self.band = band

    @property
    def id(self) -> str:
        """Name of the exact recipe: `mel_l1`, or `mel_l1_8k` confined to 8 kHz."""
        return self.name if self.band is None else f"{self.name}_{self.band / 1000:g}k"

    @property
    def heading(self) -> str:
        """Title with its band, for the head of a table."""
        return self.title if self.band is None else f"{self.title} ≤ {self.band / 1000:g} kHz"

    @property
    @abstractmethod
    def definition(self) -> str:
        """The recipe in one or two sentences, for readers of a report."""

    @abstractmethod
    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        """Value for two checked waveforms (equally long if `aligned`); raises Undefined."""

    def __call__(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> Score:
        """Compare two waveforms of one sample rate.

        Args:
            reference: (samples,), float in [-1, 1].
            candidate: (samples,), float in [-1, 1]; may differ in length.
            sample_rate: of both, in Hz.

        Returns:
            The value, or NaN with its `reason`.
        """
        try:
            _check("reference", reference)
            _check("candidate", candidate)
            if not np.any(np.abs(reference) > _SILENT_PEAK):
                raise Undefined("the reference is silent")
            if self.aligned:
                reference, candidate = _same_length(reference, candidate)
            return Score(self.measure(reference, candidate, sample_rate))
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
