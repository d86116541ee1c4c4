"""MCD along the best time alignment, for speech with its own timing."""

from __future__ import annotations

import numpy as np

from wavewright.metrics.mcd import ORDER, cepstra_without_level, distortion
from wavewright.metrics.metric import Metric
from wavewright.metrics.warping import warping_path
from wavewright.metrics.world import CEILING, FLOORS, STEP, HashableWav


class MCDDTW(Metric):
    """Mean over the warping path of the distance of c1 to c24.

    The path minimizes the sum, not the mean. It hides timing errors, which makes free-running
    speech comparable; read it together with the duration ratio.
    """

    name = "mcd_dtw"
    variant_id = "mcd-world24-noc0-dtw"
    title = "MCD (DTW)"
    unit = "dB"
    conditions = ("copy", "gta", "tts")
    aligned = False
    lowest = 0.0
    cost = 0.5
    packages = ("pyworld",)

    @property
    def definition(self) -> str:
        search = f"{FLOORS['harvest']:g} to {CEILING:g} Hz"
        return (
            f"Mel-cepstral distortion {self.variant_id}: WORLD's CheapTrick envelope every "
            f"{1000 * STEP:g} ms along the F0 of harvest ({search}), "
            f"mel-cepstrum of order {ORDER} with the warping that suits the sample rate, c1 to "
            "c24; mean along the exact dynamic-time-warping path, so that timing does not count."
        )

    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        true, ours = (
            cepstra_without_level(HashableWav(wav, sample_rate), "harvest")
            for wav in (reference, candidate)
        )
        first, second = warping_path(true, ours)
        return float(distortion(true[first] - ours[second]).mean())
