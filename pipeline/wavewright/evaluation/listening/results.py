"""Schema of a listening test's results: estimates, ratings, preferences, discrimination."""

from __future__ import annotations

from typing import Literal

from wavewright.evaluation.listening.design import ListeningModel, TestKind
from wavewright.evaluation.listening.screening import Excluded


class ScoreEstimate(ListeningModel):
    """Mean with its 95 % interval, null where listeners or utterances are too few."""

    mean: float
    low: float | None
    high: float | None


class SystemRating(ListeningModel):
    """MOS: mean opinion score of one system, 1 to 5."""

    system: str
    score: ScoreEstimate


class PairDifference(ListeningModel):
    """MOS: mean of a - b over the same listeners and utterances."""

    a: str
    b: str
    difference: ScoreEstimate
    p: float | None
    p_holm: float | None


class Preference(ListeningModel):
    """AB: preference of a over b; half of the answers without a preference count for a."""

    a: str
    b: str
    for_a: int
    neither: int
    for_b: int
    share: ScoreEstimate
    p: float | None
    p_holm: float | None


class Discrimination(ListeningModel):
    """ABX: share of answers that distinguish a system from natural speech; guessing gives 0.5.

    `p_binomial` treats every answer as independent, `p` every listener.
    """

    system: str
    right: int
    answers: int
    share: ScoreEstimate
    p_binomial: float
    p: float | None
    p_holm: float | None


class Ratings(ListeningModel):
    """`ratings.json`: all results of a listening test."""

    schema_version: Literal[1] = 1
    test: str
    kind: TestKind
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
