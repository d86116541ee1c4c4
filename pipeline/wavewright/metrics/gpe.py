"""Gross pitch error: how often the pitch is far off."""

from __future__ import annotations

from wavewright.metrics.metric import Pair, Score
from wavewright.metrics.pitch import GROSS, PitchMetric


class GPE(PitchMetric):
    """Share of gross errors among the frames that are voiced in both."""

    name = "gpe"
    recipe = "gpe20-dio"
    title = "gross pitch error"
    highest = 1.0

    @property
    def definition(self) -> str:
        return (
            f"Of the frames that are voiced in both, the share whose F0 is off by more than "
            f"{GROSS:.0%} ({self.tracked}); pooled over frames."
        )

    def score(self, pair: Pair) -> Score:
        gross = self.tracks(pair).voiced().gross
        return Score(float(gross.mean()), weight=float(len(gross)))


class GPEHarvest(GPE):
    """The same by harvest."""

    name = "gpe_harvest"
    recipe = "gpe20-harvest"
    title = "gross pitch error (harvest)"
    cost = 0.5
    tracker = "harvest"
