"""Fine F0 RMSE: pitch error over frames without gross errors."""

from __future__ import annotations

import numpy as np

from wavewright.metrics.metric import MetricScore, Undefined, WavPair
from wavewright.metrics.pitch import GROSS_ERROR, PitchMetric


class F0Fine(PitchMetric):
    """F0 RMSE without gross errors, which `gpe` counts."""

    name = "f0_fine"
    variant_id = "f0-fine-dio"
    title = "fine F0 RMSE"
    unit = "cents"

    @property
    def definition(self) -> str:
        return (
            f"Root mean square difference of log F0 in cents ({self.tracker_description}) over the "
            f"frames that are voiced in both and less than {GROSS_ERROR:.0%} apart."
        )

    def score(self, pair: WavPair) -> MetricScore:
        voiced = self.f0_tracks(pair).voiced()
        fine = voiced.cents[~voiced.gross]
        if not len(fine):
            raise Undefined(f"no frame's F0 is within {GROSS_ERROR:.0%}")
        return MetricScore(float(np.sqrt(np.mean(np.square(fine)))))


class F0FineHarvest(F0Fine):
    """Fine F0 RMSE with harvest as tracker."""

    name = "f0_fine_harvest"
    variant_id = "f0-fine-harvest"
    title = "fine F0 RMSE (harvest)"
    cost = 0.5
    tracker = "harvest"
