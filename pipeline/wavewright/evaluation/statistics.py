"""Means with 95 % intervals and paired tests, the utterance being the unit of analysis.

Intervals are studentised bootstraps: of the ways to draw one from resamples, the one whose 95 %
comes nearest to 95 % where values are skewed and few (docs/evaluation.md has the simulation).
Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapters 12 and 16; Holm
1979, Scandinavian Journal of Statistics 6; Kerby 2014 for the rank-biserial correlation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement
from typing import Literal

import numpy as np
import numpy.typing as npt

RESAMPLES = 10_000
MIN_UNITS = 6  # below it no two-sided signed-rank test can reach 5 %
_SEED = 20260101
_MAX_NUMBERS = 4_000_000  # numbers in memory at once, on large test sets
_CACHED_UNITS = 500  # utterances up to which the counts of resamples are cached for the next metric
_NO_SPREAD, _MAX_NO_SPREAD = 1e-3, 0.005  # of the spread; of the resamples
_MAX_EXACT = 12  # units up to which every pattern of signs is tried

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
PairedTest = Literal["wilcoxon", "sign-flip by speaker", ""]


@dataclass(frozen=True)
class MeanEstimate:
    """Mean over utterances with its 95 % interval.

    `low` and `high` are None below `MIN_UNITS` values. `missing` counts undefined values; they are
    in none of the other numbers.
    """

    mean: float | None
    low: float | None
    high: float | None
    median: float | None
    n: int
    missing: int


@dataclass(frozen=True)
class PairedComparison:
    """Comparison of two systems on the same utterances.

    Attributes:
        difference: estimate of the first less the second.
        p: two-sided, of `test`; None where there are too few for any to reach 5 %.
        effect: matched-pairs rank-biserial correlation, from -1 (the second is always larger) to 1.
        test: which test gave `p`; empty where none was made.
    """

    difference: MeanEstimate
    p: float | None
    effect: float | None
    test: PairedTest


@dataclass(frozen=True)
class _Column:
    """Defined values of a system with their weights; `sign` -1 subtracts its mean."""

    values: Floats
    weights: Floats
    sign: int = 1

    @property
    def mean(self) -> float:
        return float((self.weights * self.values).sum() / self.weights.sum())


def estimate_mean(
    values: Sequence[float | None],
    weights: Sequence[float] | None = None,
    speakers: Sequence[str] | None = None,
) -> MeanEstimate:
    """Estimate the mean of one value per utterance; None or NaN means undefined there.

    Args:
        values: one per utterance.
        weights: what each counts for in the mean; None for all the same.
        speakers: who speaks each. From `MIN_UNITS` speakers on they are resampled instead of the
            utterances, so that the interval says what other speakers would give.
    """
    array = _floats(values)
    defined = ~np.isnan(array)
    return _estimate([_Column(array[defined], _weights(weights, defined))], speakers, defined)


def compare_paired(
    a: Sequence[float | None],
    b: Sequence[float | None],
    weights_a: Sequence[float] | None = None,
    weights_b: Sequence[float] | None = None,
    speakers: Sequence[str] | None = None,
) -> PairedComparison:
    """Compare two systems over the utterances where both are defined (same order in all).

    The gap is that of the two weighted means; tests look at what every utterance, or speaker, adds
    to it.
    """
    first, second = _floats(a), _floats(b)
    defined = ~np.isnan(first - second)
    columns = [
        _Column(first[defined], _weights(weights_a, defined)),
        _Column(second[defined], _weights(weights_b, defined), sign=-1),
    ]
    difference = _estimate(columns, speakers, defined)
    if not difference.n:
        return PairedComparison(difference, None, None, "")
    contributions = np.sum(
        [one.sign * one.values * one.weights / one.weights.mean() for one in columns], 0
    )
    groups = _clusters(speakers, defined)
    if groups is not None:
        p = sign_flip(_totals(contributions, groups))
        return PairedComparison(
            difference, p, _rank_biserial(contributions), "sign-flip by speaker"
        )
    if len(contributions) < MIN_UNITS:
        return PairedComparison(difference, None, None, "")
    return PairedComparison(
        difference, _signed_rank(contributions), _rank_biserial(contributions), "wilcoxon"
    )


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct a family of p values by Holm's step-down method; None stays None, uncounted."""
    order = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    p_corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - rank)))
        p_corrected[place] = largest
    return p_corrected


def sign_flip(
    effects: Floats, alternative: Literal["two-sided", "greater"] = "two-sided"
) -> float | None:
    """p value of a mean of effects, by flipping their signs at random.

    Args:
        effects: (units,) one per speaker or listener, such as a sum or mean of differences.
        alternative: `greater` asks only for means above zero.

    Returns:
        p, exact up to 12 units and else from 10,000 patterns of signs; None below `MIN_UNITS`.
    """
    n = len(effects)
    if n < MIN_UNITS:
        return None
    if n <= _MAX_EXACT:
        patterns = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    else:
        patterns = np.random.default_rng((_SEED, n)).integers(0, 2, size=(RESAMPLES, n))
        patterns[0] = 1  # what was seen is one of the patterns, so that p is never 0
    sums, seen = (2 * patterns - 1) @ effects, float(effects.sum())
    if alternative == "two-sided":
        sums, seen = np.abs(sums), abs(seen)
    return float(np.mean(sums >= seen - 1e-9 * float(np.abs(effects).sum())))


def _floats(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _clusters(speakers: Sequence[str] | None, defined: npt.NDArray[np.bool_]) -> Indices | None:
    """Index of every defined utterance's speaker; None where speakers are too few to resample."""
    if speakers is None:
        return None
    names, place = np.unique(np.array(speakers, dtype=str)[defined], return_inverse=True)
    return place if len(names) >= MIN_UNITS else None


def _totals(values: Floats, groups: Indices | None) -> Floats:
    """Sums within groups; the values themselves where there are none."""
    if groups is None:
        return values
    return np.bincount(groups, weights=values).astype(np.float64)


def _weights(weights: Sequence[float] | None, defined: npt.NDArray[np.bool_]) -> Floats:
    return (
        np.ones(int(defined.sum()))
        if weights is None
        else np.asarray(weights, dtype=float)[defined]
    )


def _estimate(
    columns: Sequence[_Column], speakers: Sequence[str] | None, defined: npt.NDArray[np.bool_]
) -> MeanEstimate:
    """Estimate the sum of the columns' weighted means with their signs."""
    n = int(defined.sum())
    if not n:
        return MeanEstimate(None, None, None, None, 0, len(defined))
    mean = float(sum(one.sign * one.mean for one in columns))
    low, high = _interval(columns, mean, _clusters(speakers, defined))
    median = float(np.median(np.sum([one.sign * one.values for one in columns], axis=0)))
    return MeanEstimate(mean, low, high, median, n, len(defined) - n)


def _interval(
    columns: Sequence[_Column], mean: float, groups: Indices | None
) -> tuple[float | None, float | None]:
    """Studentised bootstrap interval of the sum of weighted means; groups are drawn as a whole.

    A weighted mean is a ratio of sums, R / W of residuals r = w (v - mean) and weights w beside
    the mean, so what a unit adds to its error is (r - w R / W) / W. Where nearly all values are
    equal (counts that are mostly 0) resamples without any spread are too many, and percentiles
    are taken.
    """
    parts = [
        (_totals(one.weights * (one.values - one.mean), groups), _totals(one.weights, groups))
        for one in columns
    ]
    if len(parts[0][0]) < MIN_UNITS:
        return None, None
    signs = [one.sign for one in columns]
    added = np.sum([s * r / w.sum() for s, (r, w) in zip(signs, parts, strict=True)], axis=0)
    error = float(np.sqrt((added**2).sum()))
    if error <= 1e-12 * max(1.0, abs(mean)):
        return mean, mean
    shift, variance = _resampled(parts, signs)
    no_spread = variance <= (_NO_SPREAD * error) ** 2
    if no_spread.mean() > _MAX_NO_SPREAD:  # few values differ at all, and resamples miss them
        low, high = mean + np.percentile(shift, [2.5, 97.5])
        return float(low), float(high)
    ratios = shift / np.sqrt(np.where(no_spread, np.inf, variance))
    ends = mean - np.percentile(ratios, [97.5, 2.5]) * error
    # One value far from all others can send an end beyond everything that was seen.
    limits = [one.sign * np.array([one.values.min(), one.values.max()]) for one in columns]
    low, high = np.clip(ends, sum(min(one) for one in limits), sum(max(one) for one in limits))
    return float(low), float(high)


def _resampled(
    parts: Sequence[tuple[Floats, Floats]], signs: Sequence[int]
) -> tuple[Floats, Floats]:
    """Deviation of each resample's mean from the mean of all, and its squared standard error."""
    sums = np.stack([column for part in parts for column in part], axis=1)
    pairs = list(combinations_with_replacement(range(sums.shape[1]), 2))
    products = np.stack([sums[:, i] * sums[:, j] for i, j in pairs], axis=1)
    shift, variance = [], []
    for counts in _counts(len(sums)):
        totals, seconds = (counts @ sums).T, (counts @ products).T
        slopes: list[Floats] = []
        for place, sign in enumerate(signs):
            r, w = totals[2 * place : 2 * place + 2]
            slopes += [sign / w, -sign * r / w**2]
        means = [s * totals[2 * k] / totals[2 * k + 1] for k, s in enumerate(signs)]
        shift.append(np.sum(means, axis=0))
        twice = [1 if i == j else 2 for i, j in pairs]
        terms = zip(pairs, twice, seconds, strict=True)
        variance.append(
            np.sum([k * slopes[i] * slopes[j] * second for (i, j), k, second in terms], axis=0)
        )
    return np.concatenate(shift), np.maximum(np.concatenate(variance), 0.0)


def _counts(n: int) -> Iterator[Floats]:
    """Counts of each of n units in each resample, (resamples, n) in all; the same for equal n."""
    if n <= _CACHED_UNITS:
        yield _cached_counts(n)
        return
    rng = np.random.default_rng((_SEED, n))
    rows = max(1, _MAX_NUMBERS // n)
    for start in range(0, RESAMPLES, rows):
        yield _draw(rng, n, min(rows, RESAMPLES - start))


@lru_cache(maxsize=4)
def _cached_counts(n: int) -> Floats:
    return _draw(np.random.default_rng((_SEED, n)), n, RESAMPLES)


def _draw(rng: np.random.Generator, n: int, rows: int) -> Floats:
    return rng.multinomial(n, np.full(n, 1 / n), size=rows).astype(np.float64)


def _signed_rank(gaps: Floats) -> float:
    """Wilcoxon's two-sided signed-rank test, zeros ranked (Pratt 1959)."""
    from scipy.stats import wilcoxon

    if not gaps.any():
        return 1.0
    return float(wilcoxon(gaps, zero_method="pratt").pvalue)


def _rank_biserial(gaps: Floats) -> float:
    from scipy.stats import rankdata

    nonzero = gaps[gaps != 0]
    if not len(nonzero):
        return 0.0
    ranks = rankdata(np.abs(nonzero))
    return float((ranks * np.sign(nonzero)).sum() / ranks.sum())
