"""MCD: mel-cepstral distortion of WORLD's spectral envelopes.

Source: Kubichek 1993 for the distance. The settings are our own, since the field has no standard:
order, warping, c0 and alignment differ more between tools than vocoders differ in quality.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from wavewright.metrics.frames import mean_over_phone_class
from wavewright.metrics.metric import Metric, MetricScore, WavPair
from wavewright.metrics.world import (
    CEILING,
    FLOORS,
    STEP,
    HashableWav,
    Tracker,
    mel_cepstra,
    mel_warping_alpha,
)

ORDER = 24
TRACKER_NAMES = {"dio": "dio and stonemask", "harvest": "harvest"}


class MCD(Metric):
    """Distance in dB of the coefficients c1 to c24, frame by frame, mean over frames.

    c0 is left out, so the level does not count; time is not warped, so a delay does.
    """

    name = "mcd"
    variant_id = "mcd-world24-noc0"
    title = "MCD"
    unit = "dB"
    lowest = 0.0
    cost = 0.5
    packages = ("pyworld",)
    supports_phones = True
    tracker: ClassVar[Tracker] = "harvest"

    @property
    def definition(self) -> str:
        search = f"{FLOORS[self.tracker]:g} to {CEILING:g} Hz"
        return (
            f"Mel-cepstral distortion {self.variant_id}: WORLD's CheapTrick envelope every "
            f"{1000 * STEP:g} ms along the F0 of {TRACKER_NAMES[self.tracker]} "
            f"({search}), mel-cepstrum of order {ORDER} with the warping that suits the "
            "sample rate (0.45 at 22,050 Hz), c1 to c24, no alignment in time; mean over frames."
        )

    def score(self, pair: WavPair) -> MetricScore:
        true, ours = (
            cepstra_without_level(HashableWav(wav, pair.sample_rate), self.tracker)
            for wav in (pair.reference, pair.candidate)
        )
        times = STEP * np.arange(len(true))
        return mean_over_phone_class(distortion(true - ours), times, pair, self.phones)


class MCDDio(MCD):
    """MCD along the F0 of dio and stonemask, several times faster."""

    name = "mcd_dio"
    variant_id = "mcd-world24-noc0-dio"
    title = "MCD (dio)"
    cost = 0.03
    tracker = "dio"


def cepstra_without_level(wav: HashableWav, tracker: Tracker) -> np.ndarray:
    """Mel-cepstral coefficients c1 to c24: (frames, 24)."""
    return mel_cepstra(wav, tracker, ORDER, mel_warping_alpha(wav.sample_rate))[:, 1:]


def distortion(difference: np.ndarray) -> np.ndarray:
    """Mel-cepstral distortion in dB of each row of coefficient differences."""
    decibels: np.ndarray = 10 / np.log(10) * np.sqrt(2 * np.square(difference).sum(axis=-1))
    return decibels
