"""Rankings of systems, and the groups that no test separates: computed once for each report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wavewright.evaluation.results import (
    ConditionInfo,
    Difference,
    MetricInfo,
    Results,
    Summary,
)
from wavewright.evaluation.summary import distance
from wavewright.metrics.metric import Condition

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class MetricRanking:
    """Means of one metric under one condition, the order of the candidates, and their tests.

    Attributes:
        means: rows of all systems that have values, in the order of the results.
        ranked: rows of the candidates, the nearest to a perfect copy first.
        differences: paired differences of the candidates.
        letters: group letters by candidate; two that share a letter do not differ significantly.
    """

    metric: MetricInfo
    means: tuple[Summary, ...]
    ranked: tuple[Summary, ...]
    differences: tuple[Difference, ...]
    letters: Mapping[str, str]

    @property
    def best(self) -> Summary:
        """Row of the first candidate; there must be one."""
        return self.ranked[0]

    def difference(self, a: str, b: str) -> Difference | None:
        """Paired difference of two systems, in whichever order it was taken."""
        return next((row for row in self.differences if {row.a, row.b} == {a, b}), None)


@dataclass(frozen=True)
class ConditionRanking:
    """Rankings by every metric of one condition.

    Attributes:
        metrics: by metric id, in the order in which metrics were asked for.
        headline: the first ranking by a metric with a direction; None if nothing ranks systems.
        tests: number of corrected tests.
    """

    condition: ConditionInfo
    metrics: Mapping[str, MetricRanking]
    headline: MetricRanking | None
    tests: int


def rank_conditions(results: Results) -> dict[Condition, ConditionRanking]:
    """Rank the candidates by every metric of every evaluated condition."""
    return {info.id: _rank_condition(results, info) for info in results.evaluated_conditions()}


def _rank_condition(results: Results, condition: ConditionInfo) -> ConditionRanking:
    rankings = {
        metric.id: rank_metric(results, condition.id, metric)
        for metric in results.metrics_for(condition.id)
    }
    ranks = (one for one in rankings.values() if one.metric.direction != "ideal" and one.ranked)
    tests = sum(
        row.condition == condition.id and row.corrected is not None for row in results.differences
    )
    return ConditionRanking(condition, rankings, next(ranks, None), tests)


def rank_metric(results: Results, condition: Condition, metric: MetricInfo) -> MetricRanking:
    """Rank the candidates by one metric under one condition."""
    key = condition, metric.id
    candidates = {system.id for system in results.systems if system.is_candidate}
    means = tuple(row for row in results.summary if (row.condition, row.metric) == key)
    distances = [
        (distance(metric, row.mean), row.system, row)
        for row in means
        if row.mean is not None and row.system in candidates
    ]
    ranked = tuple(row for *_, row in sorted(distances, key=lambda item: item[:2]))
    differences = tuple(row for row in results.differences if (row.condition, row.metric) == key)
    separated = {frozenset((row.a, row.b)) for row in differences if row.significant}
    letters = _group_letters([row.system for row in ranked], separated)
    return MetricRanking(metric, means, ranked, differences, letters)


def _group_letters(names: list[str], separated: set[frozenset[str]]) -> dict[str, str]:
    """Letters by system; each letter is a largest set without a pair of `separated`."""
    letters = dict.fromkeys(names, "")
    for letter, members in zip(_LETTERS, _cliques(names, separated), strict=False):
        for name in members:
            letters[name] += letter
    return letters


def _cliques(names: list[str], separated: set[frozenset[str]]) -> list[list[str]]:
    """Largest sets without a pair of `separated`, those of the best-ranked members first.

    Source: Bron and Kerbosch 1973, with a pivot.
    """
    similar = {
        name: {
            other for other in names if other != name and frozenset((name, other)) not in separated
        }
        for name in names
    }

    def grow(members: set[str], open_: set[str], closed: set[str]) -> Iterator[set[str]]:
        if not open_ and not closed:
            yield members
            return
        pivot = max(open_ | closed, key=lambda name: (len(similar[name] & open_), name))
        for name in sorted(open_ - similar[pivot]):
            yield from grow(members | {name}, open_ & similar[name], closed & similar[name])
            open_, closed = open_ - {name}, closed | {name}

    order = {name: place for place, name in enumerate(names)}
    sets = (sorted(members, key=order.__getitem__) for members in grow(set(), set(names), set()))
    return sorted(sets, key=lambda members: [order[name] for name in members])
