"""Base of the metrics of pitch and voicing: F0 tracks of reference and candidate."""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import numpy as np

from wavewright.metrics.metric import Metric, Undefined, WavPair
from wavewright.metrics.swift_f0 import swift_f0_track
from wavewright.metrics.world import CEILING, FLOORS, STEP, HashableWav, f0_track

GROSS_ERROR = 0.20  # relative to the reference F0; larger errors are octave or tracker errors
_STEP = f"every {1000 * STEP:g} ms"
_TRACKERS = {
    "dio": f"WORLD's dio and stonemask, {FLOORS['dio']:g} to {CEILING:g} Hz, {_STEP}",
    "harvest": f"WORLD's harvest, {FLOORS['harvest']:g} to {CEILING:g} Hz, {_STEP}",
    "swiftf0": f"SwiftF0 at 16 kHz, 47 to {CEILING:g} Hz, every 16 ms",
}


class F0Tracks(NamedTuple):
    """F0 in Hz of reference and candidate, (frames,) each, 0 where unvoiced."""

    reference: np.ndarray
    candidate: np.ndarray

    @property
    def voiced_in_both(self) -> np.ndarray:
        """(frames,) bool: voiced in both tracks."""
        both: np.ndarray = (self.reference > 0) & (self.candidate > 0)
        return both

    @property
    def voicing_differs(self) -> np.ndarray:
        """(frames,) bool: voiced in exactly one track."""
        differs: np.ndarray = (self.reference > 0) != (self.candidate > 0)
        return differs

    def voiced(self) -> F0Tracks:
        """Tracks of the frames that are voiced in both; raises Undefined if there are none."""
        both = self.voiced_in_both
        if not both.any():
            raise Undefined("no frame is voiced in both")
        return F0Tracks(self.reference[both], self.candidate[both])

    @property
    def gross(self) -> np.ndarray:
        """(frames,) bool: F0 differs by more than 20 %; all frames must be voiced."""
        gross: np.ndarray = np.abs(self.candidate / self.reference - 1) > GROSS_ERROR
        return gross

    @property
    def cents(self) -> np.ndarray:
        """(frames,) cents by which the candidate is higher; all frames must be voiced."""
        cents: np.ndarray = 1200 * np.log2(self.candidate / self.reference)
        return cents


class PitchMetric(Metric):
    """Metric of two F0 tracks; trackers disagree, so the tracker is part of `variant_id`."""

    packages = ("pyworld",)
    lowest = 0.0
    cost = 0.02
    tracker: ClassVar[Literal["dio", "harvest", "swiftf0"]] = "dio"

    @property
    def tracker_description(self) -> str:
        """Description of the F0 tracker for definitions."""
        return _TRACKERS[self.tracker]

    def f0_tracks(self, pair: WavPair) -> F0Tracks:
        """F0 tracks of reference and candidate."""
        return F0Tracks(
            self._track(HashableWav(pair.reference, pair.sample_rate)),
            self._track(HashableWav(pair.candidate, pair.sample_rate)),
        )

    def _track(self, wav: HashableWav) -> np.ndarray:
        return swift_f0_track(wav).f0 if self.tracker == "swiftf0" else f0_track(wav, self.tracker)
