"""V/UV error: how often the voicing is wrong."""

from __future__ import annotations

from wavewright.metrics.metric import Pair, Score
from wavewright.metrics.pitch import PitchMetric


class VUVError(PitchMetric):
    """Share of frames that are voiced in one only."""

    name = "vuv_error"
    recipe = "vuv-error-dio"
    title = "V/UV error"
    highest = 1.0

    @property
    def definition(self) -> str:
        return (
            f"Of all frames, the share that is voiced in one only ({self.tracked}); pooled over "
            "frames."
        )

    def score(self, pair: Pair) -> Score:
        differs = self.tracks(pair).voicing_differs
        return Score(float(differs.mean()), weight=float(len(differs)))


class VUVErrorHarvest(VUVError):
    """The same by harvest."""

    name = "vuv_error_harvest"
    recipe = "vuv-error-harvest"
    title = "V/UV error (harvest)"
    cost = 0.5
    tracker = "harvest"
