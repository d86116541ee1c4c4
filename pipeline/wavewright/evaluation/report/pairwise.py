"""Pairs of systems under one metric, the better one first: the rows of forest plots and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wavewright.evaluation.report.formatting import decimal_places
from wavewright.evaluation.report.ranking import ConditionRanking, MetricRanking
from wavewright.evaluation.results import Difference, MetricInfo, System

_MOST_CHARTED = 15  # pairs above which only those with the best system are charted


@dataclass(frozen=True)
class SystemPair:
    """`better` less `worse` on the same utterances: mean, 95 % interval, test.

    `better` is the one whose mean is nearer to a perfect copy, significantly or not.
    """

    better: System
    worse: System
    mean: float
    low: float | None
    high: float | None
    n: int
    p: float | None
    corrected: float | None
    effect: float | None
    test: str
    significant: bool


@dataclass(frozen=True)
class PairTable:
    """All pairs of systems under one metric.

    Attributes:
        charted: the pairs that a chart has room for.
        places: decimals of the differences.
    """

    metric: MetricInfo
    rows: tuple[SystemPair, ...]
    charted: tuple[SystemPair, ...]
    places: int


def pair_tables(ranking: ConditionRanking, systems: Mapping[str, System]) -> tuple[PairTable, ...]:
    """Pairs by metric: headline metrics first, then those confined to a band."""
    ranked = [
        one
        for one in ranking.metrics.values()
        if one.metric.direction != "ideal" and one.metric.phones is None
    ]
    tables = []
    for one in sorted(ranked, key=lambda one: not one.metric.is_headline):
        if rows := system_pairs(one, systems):
            places = decimal_places(v for row in rows for v in (row.mean, row.low, row.high))
            tables.append(PairTable(one.metric, tuple(rows), tuple(charted_pairs(rows)), places))
    return tuple(tables)


def system_pairs(ranking: MetricRanking, systems: Mapping[str, System]) -> list[SystemPair]:
    """All pairs of systems with values, in the order of their ranks."""
    rank = {row.system: index for index, row in enumerate(ranking.ranked)}
    pairs = [
        _pair(row, systems, reverse=rank[row.a] > rank[row.b])
        for row in ranking.differences
        if row.mean is not None and row.a in rank and row.b in rank
    ]
    return sorted(pairs, key=lambda pair: (rank[pair.better.id], rank[pair.worse.id]))


def charted_pairs(pairs: Sequence[SystemPair]) -> Sequence[SystemPair]:
    """The pairs that a chart has room for: all, or those with the best system."""
    if len(pairs) <= _MOST_CHARTED:
        return pairs
    return [pair for pair in pairs if pair.better == pairs[0].better]


def _pair(row: Difference, systems: Mapping[str, System], *, reverse: bool) -> SystemPair:
    first, second = (row.b, row.a) if reverse else (row.a, row.b)
    sign = -1.0 if reverse else 1.0
    low, high = (row.high, row.low) if reverse else (row.low, row.high)
    return SystemPair(
        better=systems[first],
        worse=systems[second],
        mean=sign * (row.mean or 0.0),
        low=None if low is None else sign * low,
        high=None if high is None else sign * high,
        n=row.n,
        p=row.p,
        corrected=row.corrected,
        effect=None if row.effect is None else sign * row.effect,
        test=row.test,
        significant=row.significant,
    )
