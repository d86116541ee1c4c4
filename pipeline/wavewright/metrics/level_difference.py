"""Level difference between candidate and reference."""

from __future__ import annotations

import numpy as np

from wavewright.metrics.metric import Metric, Undefined


class LevelDifference(Metric):
    """RMS of the candidate over RMS of the reference, in dB."""

    name = "level_difference"
    title = "level difference"
    unit = "dB"
    direction = "ideal"
    ideal = 0.0
    conditions = ("copy", "gta", "tts")
    aligned = False
    cost = 0.0

    @property
    def definition(self) -> str:
        return "RMS of the candidate over RMS of the recording in dB; above 0 it is louder."

    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        ours, true = (np.square(wav, dtype=np.float64).mean() for wav in (candidate, reference))
        if not ours:
            raise Undefined("the candidate is silent")
        return float(10 * np.log10(ours / true))
