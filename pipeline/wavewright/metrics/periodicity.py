"""Periodicity RMSE: difference in voicing strength, frame by frame.

Source: the measure of CARGAN (Morrison et al. 2022), with SwiftF0's confidence in place of
CREPE's: values are not comparable with published ones.
"""

from __future__ import annotations

import numpy as np

from wavewright.metrics.metric import Metric
from wavewright.metrics.swift_f0 import RATE, swift_f0_track
from wavewright.metrics.world import HashableWav


class Periodicity(Metric):
    """Root mean square difference of periodicity; sensitive to artifacts of GANs."""

    name = "periodicity"
    variant_id = "periodicity-swiftf0"
    title = "periodicity RMSE"
    lowest = 0.0
    highest = 1.0
    rate = RATE
    cost = 0.01
    packages = ("swift_f0",)

    @property
    def definition(self) -> str:
        return (
            "Root mean square difference of periodicity, which is SwiftF0's confidence from 0 to "
            "1, every 16 ms at 16 kHz, without dither; per utterance."
        )

    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        true, ours = (
            swift_f0_track(HashableWav(wav, sample_rate)).periodicity
            for wav in (reference, candidate)
        )
        return float(np.sqrt(np.mean(np.square(true - ours))))
