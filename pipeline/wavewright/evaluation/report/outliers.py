"""Outliers: standard deviations from the mean of the same system, and the utterances to play."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from wavewright.evaluation.layout import pick_evenly
from wavewright.evaluation.report.formatting import decimal_places, format_fixed
from wavewright.evaluation.report.media import SelectedUtterance
from wavewright.evaluation.report.verdict import Rankings
from wavewright.evaluation.results import NATURAL, MetricInfo, Results, Value
from wavewright.evaluation.summary import distance
from wavewright.metrics.metric import Condition

OUTLIER = 3.0  # standard deviations above which a value is called an outlier
_WORST = 1.0  # standard deviations from which an utterance may be called one of the worst
_FEWEST = 4  # values that a standard deviation is taken of

ValueKey = tuple[str, Condition, str, str]  # system, condition, metric, utterance
Deviations = Mapping[ValueKey, float]


def standard_deviations(results: Results) -> dict[ValueKey, float]:
    """Distance of each value from the mean of its system, in standard deviations.

    Positive is farther from a perfect copy, whatever the metric's direction. Natural speech has
    none, nor has a system with fewer than four values or with equal ones.
    """
    metrics = {metric.id: metric for metric in results.metrics}
    columns: dict[tuple[str, Condition, str], list[Value]] = defaultdict(list)
    for value in results.values:
        if value.value is not None and value.system != NATURAL:
            columns[value.system, value.condition, value.metric].append(value)
    deviations: dict[ValueKey, float] = {}
    for (system, condition, metric), column in columns.items():
        far = np.array([distance(metrics[metric], value.value or 0.0) for value in column])
        spread = far.std(ddof=1) if len(far) >= _FEWEST else 0.0
        if spread > 1e-9 * max(1.0, float(np.abs(far).max())):
            for value, z in zip(column, (far - far.mean()) / spread, strict=True):
                deviations[system, condition, metric, value.utterance] = float(z)
    return deviations


def select_utterances(
    results: Results, rankings: Rankings, deviations: Deviations, count: int
) -> list[SelectedUtterance]:
    """Select up to `count` utterances to listen to, the worst first.

    Half of them are those where a headline metric is worst beside the same system's other
    utterances, anchors left out; the others are spread evenly over the rest of the set, in its
    order.

    Args:
        results: the evaluation.
        rankings: `rank_conditions(results)`.
        deviations: `standard_deviations(results)`.
        count: most utterances.
    """
    half = (min(count, len(results.utterances)) + 1) // 2
    worst = _worst(results, rankings, deviations)[:half]
    ids = {selection.utterance.id for selection in worst}
    others = [utterance for utterance in results.utterances if utterance.id not in ids]
    system, condition = _leader(rankings)
    return worst + [
        SelectedUtterance(utterance, "", system, condition)
        for utterance in pick_evenly(others, count - len(worst))
    ]


def _leader(rankings: Rankings) -> tuple[str, str]:
    """Best system of the first ranked condition, which plays first unless another is an outlier."""
    for condition, ranking in rankings.items():
        if ranking.headline is not None:
            return ranking.headline.best.system, condition
    return "", ""


def _worst(results: Results, rankings: Rankings, deviations: Deviations) -> list[SelectedUtterance]:
    """Utterances with a headline value far from its system's mean, the farthest first."""
    headlines = {
        condition: ranking.headline.metric
        for condition, ranking in rankings.items()
        if ranking.headline is not None
    }
    candidates = {system.id for system in results.systems if system.is_candidate}
    worst: dict[str, tuple[float, ValueKey]] = {}
    for key, z in deviations.items():
        system, condition, name, utterance = key
        headline = headlines.get(condition)
        if z >= _WORST and system in candidates and headline is not None and headline.id == name:
            worst[utterance] = max(worst.get(utterance, (z, key)), (z, key))
    utterances = {utterance.id: utterance for utterance in results.utterances}
    ordered = sorted(worst.items(), key=lambda item: (-item[1][0], item[0]))
    return [
        SelectedUtterance(
            utterances[name], _reason(results, headlines[key[1]], z, key), key[0], key[1]
        )
        for name, (z, key) in ordered
    ]


def _reason(results: Results, metric: MetricInfo, z: float, key: ValueKey) -> str:
    system, condition, *_ = key
    title = next(s.title for s in results.systems if s.id == system)
    where = next(c.title_in_sentence for c in results.conditions if c.id == condition)
    value = next(
        row.value
        for row in results.values
        if (row.system, row.condition, row.metric, row.utterance) == key
    )
    text = "" if value is None else f" {format_fixed(value, decimal_places([value]))}"
    return (
        f"{metric.title}{text} of {title} in {where} is {z:.1f} standard deviations worse than "
        "its mean"
    )
