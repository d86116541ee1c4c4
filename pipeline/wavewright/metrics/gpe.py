"""Gross pitch error: share of frames with a large pitch error."""

from __future__ import annotations

from wavewright.metrics.metric import MetricScore, WavPair
from wavewright.metrics.pitch import GROSS_ERROR, PitchMetric


class GPE(PitchMetric):
    """Share of gross errors among the frames that are voiced in both."""

    name = "gpe"
    variant_id = "gpe20-dio"
    title = "gross pitch error"
    highest = 1.0

    @property
    def definition(self) -> str:
        return (
            f"Of the frames that are voiced in both, the share whose F0 is off by more than "
            f"{GROSS_ERROR:.0%} ({self.tracker_description}); pooled over frames."
        )

    def score(self, pair: WavPair) -> MetricScore:
        gross = self.f0_tracks(pair).voiced().gross
        return MetricScore(float(gross.mean()), weight=float(len(gross)))


class GPEHarvest(GPE):
    """Gross pitch error with harvest as tracker."""

    name = "gpe_harvest"
    variant_id = "gpe20-harvest"
    title = "gross pitch error (harvest)"
    cost = 0.5
    tracker = "harvest"
