"""F0 RMSE: pitch error in cents.

An octave error of the tracker counts 1200 cents and dominates the value: read it together with
`gpe` and with `f0_fine`, the RMSE without gross errors.
"""

from __future__ import annotations

import numpy as np

from wavewright.metrics.metric import MetricScore, WavPair
from wavewright.metrics.pitch import PitchMetric


class F0RMSE(PitchMetric):
    """Root mean square difference of log F0 over the frames that are voiced in both."""

    name = "f0_rmse"
    variant_id = "f0-rmse-dio"
    title = "F0 RMSE"
    unit = "cents"

    @property
    def definition(self) -> str:
        return (
            f"Root mean square difference of log F0 in cents ({self.tracker_description}) over the "
            "frames that are voiced in both, octave slips of the tracker included."
        )

    def score(self, pair: WavPair) -> MetricScore:
        cents = self.f0_tracks(pair).voiced().cents
        return MetricScore(float(np.sqrt(np.mean(np.square(cents)))))


class F0RMSEHarvest(F0RMSE):
    """F0 RMSE with harvest as tracker, like ESPnet."""

    name = "f0_rmse_harvest"
    variant_id = "f0-rmse-harvest"
    title = "F0 RMSE (harvest)"
    cost = 0.5
    tracker = "harvest"


class F0RMSESwift(F0RMSE):
    """F0 RMSE with the network SwiftF0 as tracker, where the literature uses CREPE."""

    name = "f0_rmse_swift"
    variant_id = "f0-rmse-swiftf0"
    title = "F0 RMSE (SwiftF0)"
    rate = 16000
    packages = ("swift_f0",)
    tracker = "swiftf0"
