"""Clipped share: how many of the candidate's samples are at the end of the scale."""

from __future__ import annotations

import numpy as np

from wavewright.audio.levels import clipped_share
from wavewright.metrics.metric import Metric


class Clipped(Metric):
    """Share of samples at full scale."""

    name = "clipped"
    title = "clipped"
    unit = "‰"
    direction = "ideal"
    conditions = ("copy", "gta", "tts")
    aligned = False
    lowest = 0.0
    highest = 1000.0
    cost = 0.0

    @property
    def definition(self) -> str:
        return "Samples of the candidate at either end of the 16-bit scale, of a thousand."

    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        return 1000 * clipped_share(candidate)
