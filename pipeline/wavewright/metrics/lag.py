"""Lag: delay of the candidate, measured by the envelopes of energy.

The waveforms themselves are no use here: a vocoder that generates its own phases correlates best at
some multiple of the pitch period. The energies rise and fall together.
"""

from __future__ import annotations

import numpy as np

from wavewright.metrics.metric import Metric, Undefined

_STEP, _WINDOW = 0.001, 0.010  # seconds
_MAX_LAG = 0.060  # seconds, either way
_MIN_SECONDS = 0.3  # seconds
_RANGE = 50.0  # dB; the envelope is floored this far below its maximum
_MIN_RANGE = 1e-3  # dB


class Lag(Metric):
    """Delay at which the log-energy envelopes correlate best."""

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
            f"loudest, correlate best within {1000 * _MAX_LAG:g} ms either way."
        )

    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        if len(reference) < _MIN_SECONDS * sample_rate:
            raise Undefined(f"shorter than {_MIN_SECONDS:g} s")
        step = max(1, round(_STEP * sample_rate))
        first, second = (_envelope(wav, step, sample_rate) for wav in (reference, candidate))
        if min(np.ptp(first), np.ptp(second)) < _MIN_RANGE:
            raise Undefined("its energy never changes")
        max_lag = round(_MAX_LAG / _STEP)
        lags = np.arange(-max_lag, max_lag + 1)
        scores = np.array([_correlation(first, second, int(lag)) for lag in lags])
        best = int(scores.argmax())
        if best in (0, len(lags) - 1):
            raise Undefined(f"no delay within {1000 * _MAX_LAG:g} ms fits best")
        # parabola through the peak and its neighbors
        left, middle, right = scores[best - 1 : best + 2]
        curvature = left - 2 * middle + right
        lag = float(lags[best]) + (0.5 * (left - right) / curvature if curvature else 0.0)
        return 1000 * lag * step / sample_rate


def _envelope(wav: np.ndarray, step: int, sample_rate: int) -> np.ndarray:
    """Log energy in dB every `step` samples, minus its mean."""
    size = max(step, round(_WINDOW * sample_rate))
    total = np.cumsum(np.concatenate([[0.0], np.square(wav, dtype=np.float64)]))
    starts = np.arange(0, len(wav) - size, step)
    energy = total[starts + size] - total[starts]
    floor = max(float(energy.max()), 1e-20) * 10 ** (-_RANGE / 10)
    level = 10 * np.log10(np.maximum(energy, floor))
    centered: np.ndarray = level - level.mean()
    return centered


def _correlation(first: np.ndarray, second: np.ndarray, lag: int) -> float:
    """Correlation of the overlapping parts after advancing `second` by `lag` frames."""
    a, b = (first, second[lag:]) if lag >= 0 else (first[-lag:], second)
    size = min(len(a), len(b))
    a, b = a[:size], b[:size]
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm else 0.0
