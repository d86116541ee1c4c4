"""STOI and ESTOI: intelligibility from the envelopes of third-octave bands.

Source: Taal et al. 2011 (STOI); Jensen and Taal 2016 (ESTOI); the package pystoi.
"""

from __future__ import annotations

import warnings
from typing import ClassVar

import numpy as np

from wavewright.metrics.metric import Metric, Undefined


class STOI(Metric):
    """Correlation of the envelopes of 15 third-octave bands over 384 ms, up to 5 kHz."""

    name = "stoi"
    title = "STOI"
    direction = "higher"
    ideal = 1.0
    lowest = -1.0
    highest = 1.0
    rate = 10000
    cost = 0.005
    packages = ("pystoi",)
    extended: ClassVar[bool] = False

    @property
    def definition(self) -> str:
        kind = "Extended short-time" if self.extended else "Short-time"
        return (
            f"{kind} objective intelligibility, at 10 kHz and on 15 third-octave bands from "
            "150 Hz; near 1 for every good vocoder."
        )

    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        from pystoi import stoi

        if not candidate.any():
            raise Undefined("the candidate is silent")
        if len(reference) < 0.4 * sample_rate:
            raise Undefined("shorter than the 0.4 s that STOI needs")
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            try:
                true, ours = (wav.astype(np.float64) for wav in (reference, candidate))
                return float(stoi(true, ours, sample_rate, extended=self.extended))
            except RuntimeWarning:
                raise Undefined("less than 0.4 s of it is not silence") from None


class ESTOI(STOI):
    """Correlation of whole spectra over time, which also detects modulated noise."""

    name = "estoi"
    title = "ESTOI"
    extended = True
