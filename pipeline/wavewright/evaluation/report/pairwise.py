"""Every two systems under one metric, the better one first: what forest plots and tables show."""

from __future__ import annotations

from dataclasses import dataclass

from wavewright.evaluation.report.ranking import ranking
from wavewright.evaluation.results import Difference, MetricInfo, Results, System
from wavewright.metrics.metric import Condition

_DRAWN = 15  # pairs above which only those with the best system are drawn


@dataclass(frozen=True)
class Pairing:
    """`better` less `worse` on the same utterances: mean, 95 % interval, test.

    `better` is the one whose mean is nearer to a perfect copy, told apart or not.
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


def pairings(results: Results, condition: Condition, metric: MetricInfo) -> list[Pairing]:
    """All pairs of systems with values, in the order of their ranks."""
    systems = {system.id: system for system in results.systems}
    place = {row.system: rank for rank, row in enumerate(ranking(results, condition, metric))}
    found = [
        _paired(gap, systems, turned=place[gap.a] > place[gap.b])
        for gap in results.differences
        if (gap.condition, gap.metric) == (condition, metric.id)
        and gap.mean is not None
        and gap.a in place
        and gap.b in place
    ]
    return sorted(found, key=lambda pair: (place[pair.better.id], place[pair.worse.id]))


def drawn(pairs: list[Pairing]) -> list[Pairing]:
    """Those that a chart has room for: all, or those with the best system."""
    return pairs if len(pairs) <= _DRAWN else [p for p in pairs if p.better == pairs[0].better]


def _paired(gap: Difference, systems: dict[str, System], *, turned: bool) -> Pairing:
    first, second = (gap.b, gap.a) if turned else (gap.a, gap.b)
    sign = -1.0 if turned else 1.0
    low, high = (gap.high, gap.low) if turned else (gap.low, gap.high)
    return Pairing(
        better=systems[first],
        worse=systems[second],
        mean=sign * (gap.mean or 0.0),
        low=None if low is None else sign * low,
        high=None if high is None else sign * high,
        n=gap.n,
        p=gap.p,
        corrected=gap.corrected,
        effect=None if gap.effect is None else sign * gap.effect,
        test=gap.test,
        significant=gap.significant,
    )
