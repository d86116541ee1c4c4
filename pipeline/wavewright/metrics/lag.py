"""Lag: how much later the candidate is, by the envelope of its energy.

Waveforms themselves tell nothing here: a vocoder that finds its own phases correlates best at some
multiple of the pitch period. Their energies rise and fall together.
"""

from __future__ import annotations

import numpy as np

from wavewright.metrics.metric import Metric, Undefined

_STEP, _WINDOW = 0.001, 0.010  # seconds
_FARTHEST = 0.060  # seconds, either way
_SHORTEST = 0.3  # seconds
_RANGE = 50.0  # dB below the loudest, under which nothing counts
_STEADY = 1e-3  # dB


class Lag(Metric):
    """Where the log-energy envelopes of both correlate best."""

    name = "lag"
    title = "lag"
    unit = "ms"
    direction = "ideal"
    ideal = 0.0
    cost = 0.001

    @property
    def definition(self) -> str:
        return (
            f"Milliseconds by which the candidate is late: where the log energies of both, over "
            f"{1000 * _WINDOW:g} ms every {1000 * _STEP:g} ms and cut {_RANGE:g} dB below their "
            f"loudest, correlate best within {1000 * _FARTHEST:g} ms either way."
        )

    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        if len(reference) < _SHORTEST * sample_rate:
            raise Undefined(f"shorter than {_SHORTEST:g} s")
        step = max(1, round(_STEP * sample_rate))
        first, second = (_envelope(wav, step, sample_rate) for wav in (reference, candidate))
        if min(np.ptp(first), np.ptp(second)) < _STEADY:
            raise Undefined("its energy never changes")
        farthest = round(_FARTHEST / _STEP)
        places = np.arange(-farthest, farthest + 1)
        scores = np.array([_correlation(first, second, int(place)) for place in places])
        best = int(scores.argmax())
        if best in (0, len(places) - 1):
            raise Undefined(f"no delay within {1000 * _FARTHEST:g} ms fits best")
        # The parabola through the peak and its neighbours.
        left, middle, right = scores[best - 1 : best + 2]
        bend = left - 2 * middle + right
        place = float(places[best]) + (0.5 * (left - right) / bend if bend else 0.0)
        return 1000 * place * step / sample_rate


def _envelope(wav: np.ndarray, step: int, sample_rate: int) -> np.ndarray:
    """Log energy every `step` samples, less its mean."""
    size = max(step, round(_WINDOW * sample_rate))
    total = np.cumsum(np.concatenate([[0.0], np.square(wav, dtype=np.float64)]))
    starts = np.arange(0, len(wav) - size, step)
    energy = total[starts + size] - total[starts]
    floor = max(float(energy.max()), 1e-20) * 10 ** (-_RANGE / 10)
    level = 10 * np.log10(np.maximum(energy, floor))
    centred: np.ndarray = level - level.mean()
    return centred


def _correlation(first: np.ndarray, second: np.ndarray, place: int) -> float:
    """Of the parts that overlap when the second is earlier by `place`."""
    a, b = (first, second[place:]) if place >= 0 else (first[-place:], second)
    size = min(len(a), len(b))
    a, b = a[:size], b[:size]
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm else 0.0
