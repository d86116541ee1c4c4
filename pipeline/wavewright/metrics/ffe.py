"""F0 frame error: how often pitch or voicing is wrong.

Source: Chu and Alwan 2009, "Reducing F0 frame error of F0 tracking algorithms under noisy
conditions with an unvoiced/voiced classification frontend".
"""

from __future__ import annotations

from wavewright.metrics.metric import Pair, Score
from wavewright.metrics.pitch import GROSS, PitchMetric


class FFE(PitchMetric):
    """Share of frames with a gross pitch error or with another voicing."""

    name = "ffe"
    recipe = "ffe-dio"
    title = "F0 frame error"
    highest = 1.0

    @property
    def definition(self) -> str:
        return (
            f"Of all frames, the share that is voiced in one only, or in both with an F0 off by "
            f"more than {GROSS:.0%} ({self.tracked}); pooled over frames."
        )

    def score(self, pair: Pair) -> Score:
        tracks = self.tracks(pair)
        gross = tracks.voiced().gross.sum() if tracks.both.any() else 0
        frames = len(tracks.true)
        wrong = tracks.voicing_differs.sum() + gross
        return Score(float(wrong / frames), weight=float(frames))


class FFEHarvest(FFE):
    """The same by harvest."""

    name = "ffe_harvest"
    recipe = "ffe-harvest"
    title = "F0 frame error (harvest)"
    cost = 0.5
    tracker = "harvest"
