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
from typing import Literal

import numpy as np
import numpy.typing as npt

RESAMPLES = 10_000
FEW = 6  # below it no two-sided signed-rank test can reach 5 %
_SEED = 20260101
_AT_ONCE = 4_000_000  # numbers, to bound memory on large test sets
_KEPT = 500  # utterances up to which the counts of resamples are kept for the next metric
_ALIKE, _TOO_MANY_ALIKE = 1e-3, 0.005  # of the spread; of the resamples
_EXACT = 12  # units up to which every pattern of signs is tried

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Test = Literal["wilcoxon", "sign-flip by speaker", ""]


@dataclass(frozen=True)
class Estimate:
    """A mean over utterances with its 95 % interval.

    `low` and `high` are None below `FEW` values. `missing` counts undefined values; they are in
    none of the other numbers.
    """

    mean: float | None
    low: float | None
    high: float | None
    median: float | None
    n: int
    missing: int


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same utterances.

    Attributes:
        gap: estimate of the first less the second.
        p: two-sided, of `test`; None where there are too few for any to reach 5 %.
        effect: matched-pairs rank-biserial correlation, from -1 (the second is always larger) to 1.
        test: which test gave `p`; empty where none was made.
    """

    gap: Estimate
    p: float | None
    effect: float | None
    test: Test


def estimate(
    values: Sequence[float | None],
    weights: Sequence[float] | None = None,
    speakers: Sequence[str] | None = None,
) -> Estimate:
    """Summarise one value per utterance; None or NaN means undefined there.

    Args:
        values: one per utterance.
        weights: what each counts for in the mean; None for all the same.
        speakers: who speaks each. From `FEW` speakers on they are resampled instead of the
            utterances, so that the interval says what other speakers would give.
    """
    array = _floats(values)
    kept = ~np.isnan(array)
    found, missing = array[kept], int((~kept).sum())
    if not len(found):
        return Estimate(None, None, None, None, 0, missing)
    weight = np.ones(len(found)) if weights is None else np.asarray(weights, dtype=float)[kept]
    mean = float((weight * found).sum() / weight.sum())
    groups = _clusters(speakers, kept)
    low, high = _interval(found, weight, groups)
    return Estimate(mean, low, high, float(np.median(found)), len(found), missing)


def compare(
    a: Sequence[float | None],
    b: Sequence[float | None],
    weights: Sequence[float] | None = None,
    speakers: Sequence[str] | None = None,
) -> Comparison:
    """Compare two systems over the utterances where both are defined (same order in all)."""
    gaps = _floats(a) - _floats(b)
    kept = ~np.isnan(gaps)
    gap = estimate(list(gaps), weights, speakers)
    weight = np.ones(len(gaps)) if weights is None else np.asarray(weights, dtype=float)
    found = (gaps * weight)[kept]
    groups = _clusters(speakers, kept)
    if groups is not None:
        p = sign_flip(_totals(found, groups))
        return Comparison(gap, p, _rank_biserial(found), "sign-flip by speaker")
    if len(found) < FEW:
        return Comparison(gap, None, None, "")
    return Comparison(gap, _signed_rank(found), _rank_biserial(found), "wilcoxon")


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction of a family of p values; None stays None and counts nothing."""
    order = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - rank)))
        corrected[place] = largest
    return corrected


def sign_flip(
    effects: Floats, alternative: Literal["two-sided", "greater"] = "two-sided"
) -> float | None:
    """p that effects of this mean arise where their signs are a matter of chance.

    Args:
        effects: (units,) one per speaker or listener, such as a sum or mean of differences.
        alternative: `greater` asks only for means above zero.

    Returns:
        p, exact up to 12 units and else from 10,000 patterns of signs; None below `FEW`.
    """
    n = len(effects)
    if n < FEW:
        return None
    if n <= _EXACT:
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


def _clusters(speakers: Sequence[str] | None, kept: npt.NDArray[np.bool_]) -> Places | None:
    """Index of every kept utterance's speaker; None where speakers are too few to be resampled."""
    if speakers is None:
        return None
    names, place = np.unique(np.array(speakers, dtype=str)[kept], return_inverse=True)
    return place if len(names) >= FEW else None


def _totals(values: Floats, groups: Places | None) -> Floats:
    """Sums within groups; the values themselves where there are none."""
    if groups is None:
        return values
    return np.bincount(groups, weights=values).astype(np.float64)


def _interval(
    values: Floats, weights: Floats, groups: Places | None
) -> tuple[float | None, float | None]:
    """Studentised bootstrap of the weighted mean; whole groups are drawn where there are any.

    A weighted mean is a ratio of sums, so its standard error is that of the residuals
    w (v - mean), summed within every unit that is drawn. Where nearly all values are equal (counts
    that are mostly 0) resamples without any spread are too many for it, and percentiles are taken.
    """
    mean = (weights * values).sum() / weights.sum()
    # Residuals about the mean of all keep the numbers small: r = w (v - mean).
    residuals, share = _totals(weights * (values - mean), groups), _totals(weights, groups)
    if len(residuals) < FEW:
        return None, None
    spread = np.sqrt((residuals**2).sum())
    if spread <= 1e-12 * max(1.0, abs(mean)) * share.sum():
        return float(mean), float(mean)
    moments = np.stack([residuals, share, residuals**2, residuals * share, share**2], axis=1)
    drawn = np.concatenate([counts @ moments for counts in _counts(len(residuals))]).T
    shift = drawn[0] / drawn[1]
    variance = drawn[2] - 2 * shift * drawn[3] + shift**2 * drawn[4]
    alike = variance <= (_ALIKE * spread) ** 2
    if alike.mean() > _TOO_MANY_ALIKE:  # few values differ at all, and resamples miss them
        low, high = mean + np.percentile(shift, [2.5, 97.5])
        return float(low), float(high)
    ratios = shift * drawn[1] / np.sqrt(np.where(alike, np.inf, variance))
    ends = mean - np.percentile(ratios, [97.5, 2.5]) * spread / share.sum()
    # One value far from all others can send an end beyond everything that was seen.
    low, high = np.clip(ends, values.min(), values.max())
    return float(low), float(high)


def _counts(n: int) -> Iterator[Floats]:
    """How often each of n units is drawn, (resamples, n) in all; equal n draws equal counts."""
    if n <= _KEPT:
        yield _kept_counts(n)
        return
    rng = np.random.default_rng((_SEED, n))
    rows = max(1, _AT_ONCE // n)
    for start in range(0, RESAMPLES, rows):
        yield _draw(rng, n, min(rows, RESAMPLES - start))


@lru_cache(maxsize=4)
def _kept_counts(n: int) -> Floats:
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

    moved = gaps[gaps != 0]
    if not len(moved):
        return 0.0
    ranks = rankdata(np.abs(moved))
    return float((ranks * np.sign(moved)).sum() / ranks.sum())
