"""F0 frame error: share of frames with a pitch or voicing error.

Source: Chu and Alwan 2009, "Reducing F0 frame error of F0 tracking algorithms under noisy
conditions with an unvoiced/voiced classification frontend".
"""

from __future__ import annotations

from wavewright.metrics.metric import MetricScore, WavPair
from wavewright.metrics.pitch import GROSS_ERROR, PitchMetric


class FFE(PitchMetric):
    """Share of frames with a gross pitch error or a voicing error."""

    name = "ffe"
    variant_id = "ffe-dio"
    title = "F0 frame error"
    highest = 1.0

    @property
    def definition(self) -> str:
        return (
            f"Of all frames, the share that is voiced in one only, or in both with an F0 off by "
            f"more than {GROSS_ERROR:.0%} ({self.tracker_description}); pooled over frames."
        )

    def score(self, pair: WavPair) -> MetricScore:
        tracks = self.f0_tracks(pair)
        gross = tracks.voiced().gross.sum() if tracks.voiced_in_both.any() else 0
        frames = len(tracks.reference)
        wrong = tracks.voicing_differs.sum() + gross
        return MetricScore(float(wrong / frames), weight=float(frames))


class FFEHarvest(FFE):
    """F0 frame error with harvest as tracker."""

    name = "ffe_harvest"
    variant_id = "ffe-harvest"
    title = "F0 frame error (harvest)"
    cost = 0.5
    tracker = "harvest"
