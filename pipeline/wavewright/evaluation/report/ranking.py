"""Rankings of systems, and groups of those that no test tells apart."""

from __future__ import annotations

from collections.abc import Iterator

from wavewright.evaluation.results import MetricInfo, Results, Summary
from wavewright.evaluation.summary import distance
from wavewright.metrics.metric import Condition


def ranking(results: Results, condition: Condition, metric: MetricInfo) -> list[Summary]:
    """List the candidates' rows, the nearest to a perfect copy first."""
    candidates = {system.id for system in results.systems if system.is_candidate}
    rows = [
        row
        for row in results.summary
        if (row.condition, row.metric) == (condition, metric.id) and row.system in candidates
    ]
    defined = [(distance(metric, row.mean), row) for row in rows if row.mean is not None]
    return [row for _, row in sorted(defined, key=lambda pair: (pair[0], pair[1].system))]


def groups(results: Results, condition: Condition, metric: MetricInfo) -> dict[str, str]:
    """Map every candidate to its letters; two that share one cannot be told apart.

    Every letter is a largest set of systems none of which is told apart from another.
    """
    names = [row.system for row in ranking(results, condition, metric)]
    apart = {
        frozenset((gap.a, gap.b))
        for gap in results.differences
        if (gap.condition, gap.metric) == (condition, metric.id) and gap.significant
    }
    letters: dict[str, str] = dict.fromkeys(names, "")
    for letter, members in zip("abcdefghijklmnopqrstuvwxyz", _cliques(names, apart), strict=False):
        for name in members:
            letters[name] += letter
    return letters


def _cliques(names: list[str], apart: set[frozenset[str]]) -> list[list[str]]:
    """Largest sets without a pair of `apart`, those of the best-ranked members first.

    Source: Bron and Kerbosch 1973, with a pivot.
    """
    alike = {
        name: {other for other in names if other != name and frozenset((name, other)) not in apart}
        for name in names
    }

    def grow(members: set[str], open_: set[str], closed: set[str]) -> Iterator[set[str]]:
        if not open_ and not closed:
            yield members
            return
        pivot = max(open_ | closed, key=lambda name: (len(alike[name] & open_), name))
        for name in sorted(open_ - alike[pivot]):
            yield from grow(members | {name}, open_ & alike[name], closed & alike[name])
            open_, closed = open_ - {name}, closed | {name}

    order = {name: place for place, name in enumerate(names)}
    sets = (sorted(found, key=order.__getitem__) for found in grow(set(), set(names), set()))
    return sorted(sets, key=lambda members: [order[name] for name in members])
