"""Clipped share: samples of the candidate at full scale."""

from __future__ import annotations

import numpy as np

from wavewright.audio.levels import clipped_share
from wavewright.metrics.metric import Metric


class Clipped(Metric):
    """Samples at full scale, per thousand."""

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
