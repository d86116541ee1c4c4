"""Intervals and tests for answers that share listeners and utterances.

Answers of one listener, or about one utterance, are alike. Intervals that treat every answer as
independent are too narrow (Finkelstein et al. 2023; Rosenberg & Ramabhadran 2017), so listeners and
utterances are both resampled (Owen 2007, "The pigeonhole bootstrap", doi:10.1214/07-AOAS122).
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from wavewright.evaluation.listening.results import ScoreEstimate
from wavewright.evaluation.statistics import MIN_UNITS, RESAMPLES

_SEED = 20260102

Answers = npt.NDArray[np.float64]


def clustered_mean(answers: Answers) -> ScoreEstimate:
    """Mean of answers (listeners, utterances) with its 95 % interval by two-way bootstrap.

    Listeners and utterances are drawn with replacement, each independently of the other; the
    2.5th and 97.5th percentile of the means of 10,000 such draws make the interval. It tends to
    be a little wide, never much too narrow. Below 6 of either there is none.
    """
    mean = float(answers.mean())
    if min(answers.shape) < MIN_UNITS:
        return ScoreEstimate(mean=mean, low=None, high=None)
    rng = np.random.default_rng((_SEED, *answers.shape))
    listeners, utterances = answers.shape
    by_listener = _draws(rng, listeners) @ answers
    means = np.einsum("ru,ru->r", by_listener, _draws(rng, utterances))
    low, high = np.percentile(means, [2.5, 97.5])
    return ScoreEstimate(mean=mean, low=float(low), high=float(high))


def _draws(rng: np.random.Generator, count: int) -> Answers:
    """Weights (resamples, count) of `count` draws with replacement; each row sums to 1."""
    return rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count


def binomial_greater(right: int, answers: int) -> float:
    """p value of at least `right` right answers if each is a guess between two."""
    outcomes = sum(math.comb(answers, number) for number in range(right, answers + 1))
    return float(Fraction(outcomes, 2**answers))
