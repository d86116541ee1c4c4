"""Fine F0 RMSE: how far off the pitch is where the tracker did not slip."""

from __future__ import annotations

import numpy as np

from wavewright.metrics.metric import Pair, Score, Undefined
from wavewright.metrics.pitch import GROSS, PitchMetric


class F0Fine(PitchMetric):
    """F0 RMSE without gross errors, which `gpe` counts."""

    name = "f0_fine"
    recipe = "f0-fine-dio"
    title = "fine F0 RMSE"
    unit = "cents"

    @property
    def definition(self) -> str:
        return (
            f"Root mean square difference of log F0 in cents ({self.tracked}) over the frames "
            f"that are voiced in both and less than {GROSS:.0%} apart."
        )

    def score(self, pair: Pair) -> Score:
        voiced = self.tracks(pair).voiced()
        fine = voiced.cents[~voiced.gross]
        if not len(fine):
            raise Undefined(f"no frame's F0 is within {GROSS:.0%}")
        return Score(float(np.sqrt(np.mean(np.square(fine)))))


class F0FineHarvest(F0Fine):
    """The same by harvest."""

    name = "f0_fine_harvest"
    recipe = "f0-fine-harvest"
    title = "fine F0 RMSE (harvest)"
    cost = 0.5
    tracker = "harvest"
