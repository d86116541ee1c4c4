"""V/UV error: share of frames with a voicing error."""

from __future__ import annotations

from wavewright.metrics.metric import MetricScore, WavPair
from wavewright.metrics.pitch import PitchMetric


class VUVError(PitchMetric):
    """Share of frames that are voiced in one of the two only."""

    name = "vuv_error"
    variant_id = "vuv-error-dio"
    title = "V/UV error"
    highest = 1.0

    @property
    def definition(self) -> str:
        return (
            f"Of all frames, the share that is voiced in one only ({self.tracker_description}); "
            "pooled over frames."
        )

    def score(self, pair: WavPair) -> MetricScore:
        differs = self.f0_tracks(pair).voicing_differs
        return MetricScore(float(differs.mean()), weight=float(len(differs)))


class VUVErrorHarvest(VUVError):
    """V/UV error with harvest as tracker."""

    name = "vuv_error_harvest"
    variant_id = "vuv-error-harvest"
    title = "V/UV error (harvest)"
    cost = 0.5
    tracker = "harvest"
