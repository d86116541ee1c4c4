"""V/UV F1: how well the voiced frames of the recording are found again.

Pooled over frames of all utterances, as CARGAN and BigVGAN do; Vocos averages over utterances.
"""

from __future__ import annotations

import numpy as np

from wavewright.metrics.metric import Pair, Score, Undefined
from wavewright.metrics.pitch import PitchMetric


class VUVF1(PitchMetric):
    """Harmonic mean of precision and recall of voiced frames."""

    name = "vuv_f1"
    recipe = "vuv-f1-dio"
    title = "V/UV F1"
    direction = "higher"
    ideal = 1.0
    highest = 1.0

    @property
    def definition(self) -> str:
        return (
            "Harmonic mean of precision and recall of the recording's voiced frames "
            f"({self.tracked}); true and false ones are pooled over utterances."
        )

    def score(self, pair: Pair) -> Score:
        tracks = self.tracks(pair)
        return voicing_f1(tracks.true > 0, tracks.ours > 0)


class VUVF1Harvest(VUVF1):
    """The same by harvest."""

    name = "vuv_f1_harvest"
    recipe = "vuv-f1-harvest"
    title = "V/UV F1 (harvest)"
    cost = 0.5
    tracker = "harvest"


class VUVF1Swift(VUVF1):
    """The same by SwiftF0, a network."""

    name = "vuv_f1_swift"
    recipe = "vuv-f1-swiftf0"
    title = "V/UV F1 (SwiftF0)"
    rate = 16000
    packages = ("swift_f0",)
    tracker = "swiftf0"


def voicing_f1(true: np.ndarray, ours: np.ndarray) -> Score:
    """F1 of two voicings (frames,) bool, with the weight that makes a mean the pooled F1.

    Raises:
        Undefined: neither has a voiced frame.
    """
    total = int(true.sum() + ours.sum())
    if not total:
        raise Undefined("neither has a voiced frame")
    return Score(float(2 * (true & ours).sum() / total), weight=float(total))
