"""Metric: contract of everything that compares a candidate waveform with its reference.

A metric is small and pure: two waveforms in, one number out. Where it is undefined (silence, too
short, durations too far apart), the value is NaN with a reason, which reports count and show; it
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

#: Share of the longer duration; beyond it frame-by-frame values are meaningless.
MAX_DURATION_MISMATCH = 0.10


class Undefined(Exception):
    """Raised by `Metric.measure` where the metric has no value; the message is the reason."""


class MetricScore(float):
    """Value of a metric.

    Attributes:
        reason: why the value is NaN; empty otherwise.
        weight: weight in a mean over utterances: 1, or the denominator of a pooled ratio, such as
            the number of words of a word error rate.
    """

    reason: str
    weight: float

    def __new__(cls, value: float, reason: str = "", weight: float = 1.0) -> MetricScore:
        score = super().__new__(cls, value)
        score.reason = reason
        score.weight = weight
        return score


@dataclass(frozen=True)
class WavPair:
    """Checked waveforms of a reference and a candidate.

    Attributes:
        reference: (samples,), float in [-1, 1].
        candidate: (samples,), float in [-1, 1]; as long as the reference if `aligned`.
        sample_rate: rate of both in Hz.
        text: transcript; empty if unknown.
        phones: phone alignment of the reference; empty if unknown.
    """

    reference: np.ndarray
    candidate: np.ndarray
    sample_rate: int
    text: str = ""
    phones: Sequence[Interval] = ()


class Metric(ABC):
    """One number for how a candidate waveform differs from a reference waveform.

    Most metrics implement `measure`; those that need the transcript or weights implement `score`.

    Attributes:
        name: registry name.
        variant_id: id of the exact settings, if `name` is not specific: `mcd-world24-noc0`.
        title: column heading in tables.
        unit: unit of the value; empty for ratios.
        direction: `lower` or `higher` is better, or `ideal`: closer to `ideal` is better.
        ideal: value of a perfect copy.
        lowest, highest: range of values; None if unbounded.
        rate: sample rate in Hz to which it resamples; None for that of the waveforms.
        cost: approximate core seconds per second of speech; above 0.05 it counts as slow.
        packages: packages that it imports, from the extra `metrics`.
        install_command: command that installs them.
        conditions: conditions that it applies to (`copy`, `gta`, `tts`).
        aligned: it compares equal times, so the longer waveform is cut to the shorter one.
        supports_band: it accepts `band`.
        supports_phones: it accepts `phones`.

    Args:
        band: highest frequency in Hz that counts; None for half the sample rate.
        phones: class of phones (`wavewright.text.phones`) whose frames count; None for all.
    """

    name: ClassVar[str]
    variant_id: ClassVar[str] = ""
    title: ClassVar[str]
    unit: ClassVar[str] = ""
    direction: ClassVar[Direction] = "lower"
    ideal: ClassVar[float] = 0.0
    conditions: ClassVar[tuple[Condition, ...]] = ("copy", "gta")
    aligned: ClassVar[bool] = True
    supports_band: ClassVar[bool] = False
    supports_phones: ClassVar[bool] = False
    lowest: ClassVar[float | None] = None
    highest: ClassVar[float | None] = None
    rate: ClassVar[int | None] = None
    cost: ClassVar[float] = 0.01
    packages: ClassVar[tuple[str, ...]] = ()
    install_command: ClassVar[str] = "pip install wavewright[metrics]"

    def __init__(self, band: float | None = None, phones: str | None = None) -> None:
        if band is not None and not self.supports_band:
            raise ValueError(f"metric '{self.name}' cannot be limited to a band")
        if phones is not None and not self.supports_phones:
            raise ValueError(f"metric '{self.name}' cannot be limited to a class of phones")
        self.band = band
        self.phones = phones

    @property
    def id(self) -> str:
        """Id of the exact settings: `mel_l1`, `mel_l1_8k` up to 8 kHz, `mel_l1@vowels`."""
        band = "" if self.band is None else f"_{self.band / 1000:g}k"
        phones = "" if self.phones is None else f"@{self.phones}"
        return f"{self.variant_id or self.name}{band}{phones}"

    @property
    def heading(self) -> str:
        """Title with band and phone class, for column headings."""
        band = "" if self.band is None else f" ≤ {self.band / 1000:g} kHz"
        return f"{self.title}{band}" + (f", {self.phones}" if self.phones else "")

    @classmethod
    def missing_package(cls) -> str:
        """First of `packages` that is not installed; empty if all are."""
        return next((name for name in cls.packages if find_spec(name) is None), "")

    @property
    @abstractmethod
    def definition(self) -> str:
        """Exact settings in one or two sentences, for readers of a report."""

    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        """Value of two checked waveforms (equally long if `aligned`); raises Undefined."""
        raise NotImplementedError(f"{type(self).__name__} has neither measure() nor score()")

    def score(self, pair: WavPair) -> MetricScore:
        """Value and weight of a checked pair; raises Undefined."""
        return MetricScore(self.measure(pair.reference, pair.candidate, pair.sample_rate))

    def __call__(
        self,
        reference: np.ndarray,
        candidate: np.ndarray,
        sample_rate: int,
        *,
        text: str = "",
        phones: Sequence[Interval] = (),
    ) -> MetricScore:
        """Compare two waveforms of one sample rate.

        Args:
            reference: (samples,), float in [-1, 1].
            candidate: (samples,), float in [-1, 1]; may differ in length.
            sample_rate: rate of both in Hz.
            text: transcript.
            phones: phone alignment of the reference.

        Returns:
            The value, or NaN with a `reason`.
        """
        try:
            if missing := self.missing_package():
                raise Undefined(f"needs the package {missing}: {self.install_command}")
            _check("reference", reference)
            _check("candidate", candidate)
            if is_silent(reference):
                raise Undefined("the reference is silent")
            if self.aligned:
                reference, candidate = _same_length(reference, candidate)
            return self.score(WavPair(reference, candidate, sample_rate, text, phones))
        except Undefined as undefined:
            return MetricScore(float("nan"), str(undefined))


def _check(role: str, wav: np.ndarray) -> None:
    if wav.ndim != 1:
        raise Undefined(f"the {role} is not mono: its shape is {wav.shape}")
    if not len(wav):
        raise Undefined(f"the {role} is empty")
    if not np.isfinite(wav).all():
        raise Undefined(f"the {role} holds values that are not finite")


def _same_length(reference: np.ndarray, candidate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    longer, shorter = max(len(reference), len(candidate)), min(len(reference), len(candidate))
    if longer - shorter > MAX_DURATION_MISMATCH * longer:
        raise Undefined(
            f"durations differ by more than {MAX_DURATION_MISMATCH:.0%}: "
            f"{len(reference)} samples of reference, {len(candidate)} of candidate"
        )
    return reference[:shorter], candidate[:shorter]
