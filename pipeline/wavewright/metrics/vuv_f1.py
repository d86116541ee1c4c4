"""V/UV F1: agreement on voiced frames between recording and candidate.

Pooled over frames of all utterances, as CARGAN and BigVGAN do; Vocos averages over utterances.
"""

from __future__ import annotations

import numpy as np

from wavewright.metrics.metric import MetricScore, Undefined, WavPair
from wavewright.metrics.pitch import PitchMetric


class VUVF1(PitchMetric):
    """Harmonic mean of precision and recall of voiced frames."""

    name = "vuv_f1"
    variant_id = "vuv-f1-dio"
    title = "V/UV F1"
    direction = "higher"
    ideal = 1.0
    highest = 1.0

    @property
    def definition(self) -> str:
        return (
            "Harmonic mean of precision and recall of the recording's voiced frames "
            f"({self.tracker_description}); true and false ones are pooled over utterances."
        )

    def score(self, pair: WavPair) -> MetricScore:
        tracks = self.f0_tracks(pair)
        return voicing_f1(tracks.reference > 0, tracks.candidate > 0)


class VUVF1Harvest(VUVF1):
    """V/UV F1 with harvest as tracker."""

    name = "vuv_f1_harvest"
    variant_id = "vuv-f1-harvest"
    title = "V/UV F1 (harvest)"
    cost = 0.5
    tracker = "harvest"


class VUVF1Swift(VUVF1):
    """V/UV F1 with the network SwiftF0 as tracker."""

    name = "vuv_f1_swift"
    variant_id = "vuv-f1-swiftf0"
    title = "V/UV F1 (SwiftF0)"
    rate = 16000
    packages = ("swift_f0",)
    tracker = "swiftf0"


def voicing_f1(reference: np.ndarray, candidate: np.ndarray) -> MetricScore:
    """F1 of two voicings (frames,) bool, weighted so that a weighted mean is the pooled F1.

    Raises:
        Undefined: no frame is voiced in either.
    """
    total = int(reference.sum() + candidate.sum())
    if not total:
        raise Undefined("neither has a voiced frame")
    return MetricScore(float(2 * (reference & candidate).sum() / total), weight=float(total))
