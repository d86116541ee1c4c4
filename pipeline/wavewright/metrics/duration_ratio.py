"""Duration ratio of free-running speech and the recording."""

from __future__ import annotations

import numpy as np

from wavewright.metrics.metric import Metric


class DurationRatio(Metric):
    """Candidate duration over reference duration; 1 is the pace of the recording."""

    name = "duration_ratio"
    title = "duration ratio"
    direction = "ideal"
    ideal = 1.0
    conditions = ("tts",)
    aligned = False
    lowest = 0.0
    cost = 0.0

    @property
    def definition(self) -> str:
        return "Duration of the candidate divided by the duration of the recording."

    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        return len(candidate) / len(reference)
