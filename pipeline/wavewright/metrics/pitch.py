"""What the metrics of pitch and voicing have in common: two F0 tracks, frame beside frame."""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import numpy as np

from wavewright.metrics.metric import Metric, Pair, Undefined
from wavewright.metrics.swift_f0 import swift_track
from wavewright.metrics.world import CEILING, FLOORS, STEP, Sound, f0_track

GROSS = 0.20  # of the true F0; a difference beyond it is an error of the octave or of the tracker
_STEP = f"every {1000 * STEP:g} ms"
_TRACKERS = {
    "dio": f"WORLD's dio and stonemask, {FLOORS['dio']:g} to {CEILING:g} Hz, {_STEP}",
    "harvest": f"WORLD's harvest, {FLOORS['harvest']:g} to {CEILING:g} Hz, {_STEP}",
    "swiftf0": f"SwiftF0 at 16 kHz, 47 to {CEILING:g} Hz, every 16 ms",
}


class Tracks(NamedTuple):
    """F0 in Hz of recording and candidate, (frames,) each, 0 where unvoiced."""

    true: np.ndarray
    ours: np.ndarray

    @property
    def both(self) -> np.ndarray:
        """(frames,): voiced in both."""
        both: np.ndarray = (self.true > 0) & (self.ours > 0)
        return both

    @property
    def voicing_differs(self) -> np.ndarray:
        """(frames,): voiced in one only."""
        differs: np.ndarray = (self.true > 0) != (self.ours > 0)
        return differs

    def voiced(self) -> Tracks:
        """The frames that are voiced in both; raises Undefined if there are none."""
        both = self.both
        if not both.any():
            raise Undefined("no frame is voiced in both")
        return Tracks(self.true[both], self.ours[both])

    @property
    def gross(self) -> np.ndarray:
        """(frames,): off by more than 20 %, of tracks that are voiced throughout."""
        gross: np.ndarray = np.abs(self.ours / self.true - 1) > GROSS
        return gross

    @property
    def cents(self) -> np.ndarray:
        """(frames,): how much higher the candidate is, of tracks that are voiced throughout."""
        cents: np.ndarray = 1200 * np.log2(self.ours / self.true)
        return cents


class PitchMetric(Metric):
    """A metric of two F0 tracks by one tracker; trackers disagree, so it is part of the recipe."""

    packages = ("pyworld",)
    lowest = 0.0
    cost = 0.02
    tracker: ClassVar[Literal["dio", "harvest", "swiftf0"]] = "dio"

    @property
    def tracked(self) -> str:
        """How F0 was found, for definitions."""
        return _TRACKERS[self.tracker]

    def tracks(self, pair: Pair) -> Tracks:
        """F0 of both."""
        return Tracks(
            self._track(Sound(pair.reference, pair.sample_rate)),
            self._track(Sound(pair.candidate, pair.sample_rate)),
        )

    def _track(self, sound: Sound) -> np.ndarray:
        return swift_track(sound).f0 if self.tracker == "swiftf0" else f0_track(sound, self.tracker)
