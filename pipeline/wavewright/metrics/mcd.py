"""MCD: mel-cepstral distortion of WORLD's spectral envelopes.

Source: Kubichek 1993 for the distance; the recipe is our own, since the field has no common one:
order, warping, c0 and alignment differ between tools by more than vocoders do.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from wavewright.metrics.frames import mean_of_class
from wavewright.metrics.metric import Metric, Pair, Score
from wavewright.metrics.world import CEILING, FLOORS, STEP, Sound, Tracker, alpha_of, mel_cepstra

ORDER = 24
TRACKERS = {"dio": "dio and stonemask", "harvest": "harvest"}


class MCD(Metric):
    """Distance in dB of the coefficients c1 to c24, frame by frame, mean over frames.

    Without c0, so that the level does not count; without warping of time, so that a delay does.
    """

    name = "mcd"
    recipe = "mcd-world24-noc0"
    title = "MCD"
    unit = "dB"
    lowest = 0.0
    cost = 0.5
    packages = ("pyworld",)
    by_phones = True
    tracker: ClassVar[Tracker] = "harvest"

    @property
    def definition(self) -> str:
        search = f"{FLOORS[self.tracker]:g} to {CEILING:g} Hz"
        return (
            f"Mel-cepstral distortion {self.recipe}: WORLD's CheapTrick envelope every "
            f"{1000 * STEP:g} ms along the F0 of {TRACKERS[self.tracker]} "
            f"({search}), mel-cepstrum of order {ORDER} with the warping that suits the "
            "sample rate (0.45 at 22,050 Hz), c1 to c24, no alignment in time; mean over frames."
        )

    def score(self, pair: Pair) -> Score:
        true, ours = (
            cepstra_without_level(Sound(wav, pair.sample_rate), self.tracker)
            for wav in (pair.reference, pair.candidate)
        )
        times = STEP * np.arange(len(true))
        return mean_of_class(distortion(true - ours), times, pair, self.phones)


class MCDDio(MCD):
    """The same along the F0 of dio and stonemask, which is several times faster."""

    name = "mcd_dio"
    recipe = "mcd-world24-noc0-dio"
    title = "MCD (dio)"
    cost = 0.03
    tracker = "dio"


def cepstra_without_level(sound: Sound, tracker: Tracker) -> np.ndarray:
    """c1 to c24, (frames, 24)."""
    return mel_cepstra(sound, tracker, ORDER, alpha_of(sound.sample_rate))[:, 1:]


def distortion(difference: np.ndarray) -> np.ndarray:
    """Of each row of differences of mel-cepstral coefficients, in dB."""
    decibels: np.ndarray = 10 / np.log(10) * np.sqrt(2 * np.square(difference).sum(axis=-1))
    return decibels
