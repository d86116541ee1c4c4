"""Speech level and gain."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from wavewright.audio.files import Wav

LoudnessPolicy = Literal["none", "speaker", "utterance", "peak"]
_FRAME = 0.05  # seconds
_ACTIVE = 30.0  # dB below the loudest frame within which a frame counts as speech
log = logging.getLogger("wavewright")


@dataclass(frozen=True, slots=True)
class SpeechLevel:
    """Level of one utterance; full scale is 1, powers exclude the DC offset.

    Attributes:
        peak: largest magnitude.
        loudest: RMS of the loudest 50 ms.
        energy: sum of squares over the active 50 ms frames, those within 30 dB of the loudest.
        samples: number of samples of those frames.
        sample_rate: Hz, of the recording.
    """

    peak: float
    loudest: float
    energy: float
    samples: int
    sample_rate: int = 0


def measure_level(wav: Wav, sample_rate: int) -> SpeechLevel:
    """Level of (samples,) float32; fewer samples than a frame, but at least one, are a frame."""
    frame = min(max(1, round(_FRAME * sample_rate)), len(wav))
    mean = float(wav.mean(dtype=np.float64))
    blocks = wav[: len(wav) // frame * frame].reshape(-1, frame)
    squares = np.einsum("ij,ij->i", blocks, blocks, dtype=np.float64)
    means = blocks.mean(axis=1, dtype=np.float64)
    power = np.maximum(squares / frame - 2 * mean * means + mean * mean, 0.0)
    active = power[power >= power.max() * 10 ** (-_ACTIVE / 10)]
    return SpeechLevel(
        peak=float(np.abs(wav).max()),
        loudest=math.sqrt(power.max()),
        energy=float(active.sum() * frame),
        samples=len(active) * frame,
        sample_rate=sample_rate,
    )


def decibels(amplitude: float) -> float:
    """dBFS of an RMS or peak amplitude; silence is -200."""
    return 20 * math.log10(max(amplitude, 1e-10))


@dataclass(frozen=True)
class LoudnessTarget:
    """Target level of speech.

    Attributes:
        policy: `none` keeps the recorded level; `speaker` uses one gain per speaker, measured on
            training utterances; `utterance` one gain per utterance; `peak` brings every peak to
            `ceiling`.
        target: dBFS, RMS over active speech, for `speaker` and `utterance`.
        ceiling: largest peak after amplification; gains that would exceed it are reduced.
    """

    policy: LoudnessPolicy
    target: float
    ceiling: float

    def compute_gains(
        self, levels: Mapping[str, SpeechLevel], speakers: Mapping[str, str], train: Iterable[str]
    ) -> tuple[dict[str, float], set[str]]:
        """Gain by id, and the ids whose gain the ceiling has reduced.

        Args:
            levels: levels of all utterances, by id.
            speakers: speaker by id.
            train: ids on which the speakers' gains are measured; for speakers without any, all of
                their ids.
        """
        targets = self._wanted(levels, speakers, sorted(train))
        gains, limited = {}, set()
        for name, level in levels.items():
            # Policy `none` changes nothing, unless the peak is beyond full scale.
            ceiling = 1.0 if self.policy == "none" and level.peak <= 1.0 else self.ceiling
            gains[name] = targets[name]
            if level.peak * targets[name] > ceiling:
                gains[name] = ceiling / level.peak
                limited.add(name)
        return gains, limited

    def _wanted(
        self, levels: Mapping[str, SpeechLevel], speakers: Mapping[str, str], train: Iterable[str]
    ) -> dict[str, float]:
        if self.policy == "none":
            return dict.fromkeys(levels, 1.0)
        if self.policy == "peak":
            return {name: self.ceiling / level.peak for name, level in levels.items()}
        if self.policy == "utterance":
            return {name: self._gain([level]) for name, level in levels.items()}
        own: dict[str, list[SpeechLevel]] = defaultdict(list)
        for name in train:
            own[speakers[name]].append(levels[name])
        speakers_with_train = set(own)
        for name in sorted(levels):
            if speakers[name] not in speakers_with_train:
                own[speakers[name]].append(levels[name])
        gain = {name: self._speaker_gain(name, measured) for name, measured in sorted(own.items())}
        return {name: gain[speakers[name]] for name in levels}

    def _gain(self, levels: Iterable[SpeechLevel]) -> float:
        energy = samples = 0.0
        for level in levels:
            energy += level.energy
            samples += level.samples
        return float(10 ** (self.target / 20) / math.sqrt(max(energy / samples, 1e-20)))

    def _speaker_gain(self, speaker: str, levels: list[SpeechLevel]) -> float:
        """Gain to the target, reduced until only one peak in a thousand exceeds the ceiling."""
        target_gain = self._gain(levels)
        highest = float(np.quantile([level.peak for level in levels], 0.999, method="lower"))
        gain = min(target_gain, self.ceiling / highest)
        limit = ", as much as its peaks allow" if gain < target_gain else ""
        log.info(
            "speaker '%s': amplified by %.2f dB%s, to %.2f dBFS",
            speaker,
            decibels(gain),
            limit,
            self.target + decibels(gain) - decibels(target_gain),
        )
        return gain
