"""Duration difference: candidate duration minus reference duration."""

from __future__ import annotations

import numpy as np

from wavewright.metrics.metric import Metric


class DurationDifference(Metric):
    """Candidate duration minus reference duration in seconds."""

    name = "duration_difference"
    title = "duration difference"
    unit = "s"
    direction = "ideal"
    ideal = 0.0
    conditions = ("copy", "gta", "tts")
    aligned = False
    cost = 0.0

    @property
    def definition(self) -> str:
        return "Duration of the candidate less that of the recording, in seconds."

    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        return (len(candidate) - len(reference)) / sample_rate
