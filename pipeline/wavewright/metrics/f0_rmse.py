"""F0 RMSE: how far off the pitch is, in cents.

A slip of the tracker by an octave costs 1200 cents and dominates the value: read it together with
the gross errors and with the RMSE that leaves them out (`f0_fine`).
"""

from __future__ import annotations

import numpy as np

from wavewright.metrics.metric import Pair, Score
from wavewright.metrics.pitch import PitchMetric


class F0RMSE(PitchMetric):
    """Root mean square difference of log F0 over the frames that are voiced in both."""

    name = "f0_rmse"
    recipe = "f0-rmse-dio"
    title = "F0 RMSE"
    unit = "cents"

    @property
    def definition(self) -> str:
        return (
            f"Root mean square difference of log F0 in cents ({self.tracked}) over the frames "
            "that are voiced in both, octave slips of the tracker included."
        )

    def score(self, pair: Pair) -> Score:
        cents = self.tracks(pair).voiced().cents
        return Score(float(np.sqrt(np.mean(np.square(cents)))))


class F0RMSEHarvest(F0RMSE):
    """The same by harvest, as ESPnet tracks it."""

    name = "f0_rmse_harvest"
    recipe = "f0-rmse-harvest"
    title = "F0 RMSE (harvest)"
    cost = 0.5
    tracker = "harvest"


class F0RMSESwift(F0RMSE):
    """The same by SwiftF0, a network, as the literature does by CREPE."""

    name = "f0_rmse_swift"
    recipe = "f0-rmse-swiftf0"
    title = "F0 RMSE (SwiftF0)"
    rate = 16000
    packages = ("swift_f0",)
    tracker = "swiftf0"
