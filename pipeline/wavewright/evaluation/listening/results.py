"""Schema of a listening test's results: estimates, ratings, preferences, discrimination."""

from __future__ import annotations

from typing import Literal

from wavewright.evaluation.listening.design import Kind, Record
from wavewright.evaluation.listening.screening import Excluded


class Estimate(Record):
    """A mean with its 95 % interval, null where listeners or utterances are too few."""

    mean: float
    low: float | None
    high: float | None


class SystemRating(Record):
    """MOS: the mean opinion score of one system, 1 to 5."""

    system: str
    score: Estimate


class PairDifference(Record):
    """MOS: the mean of a - b over the same listeners and utterances."""

    a: str
    b: str
    difference: Estimate
    p: float | None
    p_holm: float | None


class Preference(Record):
    """AB: how often a was preferred to b; half of the answers without a preference count for a."""

    a: str
    b: str
    for_a: int
    neither: int
    for_b: int
    share: Estimate
    p: float | None
    p_holm: float | None


class Discrimination(Record):
    """ABX: how often a system was told from natural speech; guessing gives 0.5.

    `p_binomial` takes every answer for independent, `p` every listener.
    """

    system: str
    right: int
    answers: int
    share: Estimate
    p_binomial: float
    p: float | None
    p_holm: float | None


class Ratings(Record):
    """`ratings.json`: everything that a listening test found."""

    schema_version: Literal[1] = 1
    test: str
    kind: Kind
    title: str
    question: str
    listeners: tuple[str, ...]
    excluded: tuple[Excluded, ...]
    devices: dict[str, int]
    utterances: int
    median_seconds: float
    scores: tuple[SystemRating, ...] = ()
    differences: tuple[PairDifference, ...] = ()
    preferences: tuple[Preference, ...] = ()
    discriminations: tuple[Discrimination, ...] = ()
