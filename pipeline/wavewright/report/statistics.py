"""Means with 95 % bootstrap intervals, the utterance being the unit of analysis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
_SEED = 20260101
_CHUNK = 4_000_000  # index entries at a time, to bound memory on large test sets


@dataclass(frozen=True)
class Estimate:
    """A mean over utterances with its 95 % percentile-bootstrap interval.

    `low` and `high` are None below two values. `missing` counts undefined values; they are in
    none of the other numbers.
    """

    mean: float | None
    low: float | None
    high: float | None
    median: float | None
    n: int
    missing: int


def estimate(values: Sequence[float | None]) -> Estimate:
    """Summarise one value per utterance; None or NaN means undefined there."""
    array = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    defined = array[~np.isnan(array)]
    missing = len(array) - len(defined)
    if not len(defined):
        return Estimate(None, None, None, None, 0, missing)
    mean, median = float(defined.mean()), float(np.median(defined))
    if len(defined) == 1:
        return Estimate(mean, None, None, median, 1, missing)
    low, high = np.percentile(_resampled_means(defined), [2.5, 97.5])
    return Estimate(mean, float(low), float(high), median, len(defined), missing)


def paired_difference(a: Sequence[float | None], b: Sequence[float | None]) -> Estimate:
    """Estimate of a - b over the utterances where both are defined (same order in both)."""
    pairs = zip(a, b, strict=True)
    return estimate([None if x is None or y is None else x - y for x, y in pairs])


def _resampled_means(values: np.ndarray) -> np.ndarray:
    """Means of `RESAMPLES` draws with replacement; equal n draws equal indices."""
    rng = np.random.default_rng((_SEED, len(values)))
    rows = max(1, _CHUNK // len(values))
    means = [
        values[rng.integers(0, len(values), size=(min(rows, RESAMPLES - start), len(values)))].mean(
            axis=1
        )
        for start in range(0, RESAMPLES, rows)
    ]
    return np.concatenate(means)
