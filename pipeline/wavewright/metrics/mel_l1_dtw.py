"""Mel L1 along the best time alignment, for speech with its own timing.

Source: dynamic time warping as librosa.sequence.dtw computes it (exact, steps (1, 1), (0, 1) and
(1, 0) of equal weight).
"""

from __future__ import annotations

import numpy as np

from wavewright.metrics.logmel import metric_log_mel
from wavewright.metrics.metric import Metric


class MelL1DTW(Metric):
    """Mean over the warping path of the mean absolute difference of natural-log mel frames.

    The path minimizes the sum, not the mean. It hides timing errors, which makes free-running
    speech comparable; read it together with the duration ratio.
    """

    name = "mel_l1_dtw"
    title = "mel L1 (DTW)"
    unit = "ln"
    conditions = ("tts",)
    aligned = False
    supports_band = True
    lowest = 0.0
    cost = 0.003

    @property
    def definition(self) -> str:
        top = "half the sample rate" if self.band is None else f"{self.band:g} Hz"
        return (
            "Mel L1 (80 Slaney bands from 0 Hz to "
            f"{top}, natural log) averaged along the exact dynamic-time-warping path between the "
            "two mels, so that timing does not count."
        )

    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        from librosa.sequence import dtw
        from scipy.spatial.distance import cdist

        true = metric_log_mel(reference, sample_rate, self.band)
        ours = metric_log_mel(candidate, sample_rate, self.band)
        cost = cdist(true.T, ours.T, metric="cityblock") / len(true)
        _, path = dtw(C=cost)
        return float(cost[path[:, 0], path[:, 1]].mean())
