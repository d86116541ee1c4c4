"""Intervals and tests for answers that share listeners and utterances.

Answers of one listener, or about one utterance, are alike. Intervals that treat every answer as
independent are too narrow (Finkelstein et al. 2023; Rosenberg & Ramabhadran 2017), so listeners and
utterances are both resampled (Owen 2007, "The pigeonhole bootstrap", doi:10.1214/07-AOAS122).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

RESAMPLES = 10_000
FEW = 6  # below so many listeners no two-sided test can reach 0.05
_EXACT = 13  # up to so many listeners every pattern of signs is tried
_SEED = 20260102

Answers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval; None where listeners or utterances are too few."""

    mean: float
    low: float | None
    high: float | None


def clustered_mean(answers: Answers) -> Interval:
    """Mean of answers (listeners, utterances) with its 95 % interval by two-way bootstrap.

    Listeners and utterances are drawn with replacement, each independently of the other; the
    2.5th and 97.5th percentile of the means of 10,000 such draws make the interval. It tends to
    be a little wide, never much too narrow. Below 6 of either there is none.
    """
    mean = float(answers.mean())
    if min(answers.shape) < FEW:
        return Interval(mean, None, None)
    rng = np.random.default_rng((_SEED, *answers.shape))
    listeners, utterances = answers.shape
    by_listener = _draws(rng, listeners) @ answers
    means = np.einsum("ru,ru->r", by_listener, _draws(rng, utterances))
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(mean, float(low), float(high))


def _draws(rng: np.random.Generator, count: int) -> Answers:
    """Weights (resamples, count) of `count` draws with replacement; each row sums to 1."""
    return rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count


def sign_flip(
    effects: npt.NDArray[np.float64], alternative: Literal["two-sided", "greater"] = "two-sided"
) -> float | None:
    """p that effects of this mean arise where their signs are a matter of chance.

    Args:
        effects: (listeners,) one per listener, such as the mean of that listener's differences.
        alternative: `greater` asks only for means above zero.

    Returns:
        p, exact up to 13 listeners and else from 10,000 patterns of signs; None below 6.
    """
    count = len(effects)
    if count < FEW:
        return None
    if count <= _EXACT:
        patterns = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    else:
        rng = np.random.default_rng((_SEED, count))
        patterns = rng.integers(0, 2, size=(RESAMPLES, count))
        patterns[0] = 1  # the effects as they are
    sums = (2 * patterns - 1) @ effects
    found = float(effects.sum())
    margin = 1e-9 * float(np.abs(effects).sum())
    if alternative == "two-sided":
        sums, found = np.abs(sums), abs(found)
    return float(np.mean(sums >= found - margin))


def holm(chances: Sequence[float | None]) -> list[float | None]:
    """p values corrected for their number by Holm's method; None stays None and does not count."""
    known = sorted((p, index) for index, p in enumerate(chances) if p is not None)
    corrected: list[float | None] = [None] * len(chances)
    largest = 0.0
    for rank, (p, index) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        corrected[index] = largest
    return corrected


def binomial_greater(right: int, answers: int) -> float:
    """p of so many right answers or more where each is a guess between two."""
    outcomes = sum(math.comb(answers, number) for number in range(right, answers + 1))
    return float(Fraction(outcomes, 2**answers))
