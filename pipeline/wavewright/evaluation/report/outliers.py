"""Which values are odd: standard deviations from the mean of the same system's own values."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from wavewright.evaluation.layout import pick_evenly
from wavewright.evaluation.report.formatting import decimals, fixed
from wavewright.evaluation.report.media import Choice
from wavewright.evaluation.report.ranking import ranking
from wavewright.evaluation.report.verdict import headline_metric
from wavewright.evaluation.results import NATURAL, MetricInfo, Results, Value
from wavewright.evaluation.summary import distance
from wavewright.metrics.metric import Condition

ODD = 3.0  # standard deviations from which a value is called an outlier
WORST = 1.0  # standard deviations from which an utterance may be called one of the worst
_FEWEST = 4  # values that a standard deviation is taken of

Key = tuple[str, Condition, str, str]  # system, condition, metric, utterance


def deviations(results: Results) -> dict[Key, float]:
    """How much worse each value is than the mean of its system, in standard deviations.

    Positive is farther from a perfect copy, whatever the metric's direction. Natural speech has
    none, nor has a system with fewer than four values or with equal ones.
    """
    metrics = {metric.id: metric for metric in results.metrics}
    columns: dict[tuple[str, Condition, str], list[Value]] = defaultdict(list)
    for value in results.values:
        if value.value is not None and value.system != NATURAL:
            columns[value.system, value.condition, value.metric].append(value)
    found: dict[Key, float] = {}
    for (system, condition, metric), column in columns.items():
        far = np.array([distance(metrics[metric], value.value or 0.0) for value in column])
        spread = far.std(ddof=1) if len(far) >= _FEWEST else 0.0
        if spread > 1e-9 * max(1.0, float(np.abs(far).max())):
            for value, z in zip(column, (far - far.mean()) / spread, strict=True):
                found[system, condition, metric, value.utterance] = float(z)
    return found


def choose(results: Results, shown: int, known: dict[Key, float] | None = None) -> list[Choice]:
    """Up to `shown` utterances to listen to, the worst first.

    Half of them are those where a headline metric is worst beside the same system's other
    utterances, anchors left out; the others are spread evenly over the rest of the set, in its
    order.

    Args:
        results: the evaluation.
        shown: how many at most.
        known: `deviations(results)`, where they are there already.
    """
    known = deviations(results) if known is None else known
    worst = _worst(results, known)[: (min(shown, len(results.utterances)) + 1) // 2]
    taken = {choice.utterance.id for choice in worst}
    others = [utterance for utterance in results.utterances if utterance.id not in taken]
    system, condition = _leading(results)
    return worst + [
        Choice(utterance, "", system, condition)
        for utterance in pick_evenly(others, shown - len(worst))
    ]


def _leading(results: Results) -> tuple[str, str]:
    """The best system of the first condition, to be heard first where nothing else is odd."""
    for condition in results.evaluated_conditions():
        metric = headline_metric(results, condition.id)
        if metric is not None:
            return ranking(results, condition.id, metric)[0].system, condition.id
    return "", ""


def _worst(results: Results, known: dict[Key, float]) -> list[Choice]:
    """Utterances with a headline value far from its system's mean, the farthest first."""
    heads = {
        c.id: metric
        for c in results.evaluated_conditions()
        if (metric := headline_metric(results, c.id))
    }
    fair = {system.id for system in results.systems if system.is_candidate}
    worst: dict[str, tuple[float, Key]] = {}
    for key, z in known.items():
        system, condition, name, utterance = key
        head = heads.get(condition)
        if z >= WORST and system in fair and head is not None and head.id == name:
            worst[utterance] = max(worst.get(utterance, (z, key)), (z, key))
    ids = {utterance.id: utterance for utterance in results.utterances}
    ordered = sorted(worst.items(), key=lambda item: (-item[1][0], item[0]))
    return [
        Choice(ids[name], _reason(results, heads[key[1]], z, key), key[0], key[1])
        for name, (z, key) in ordered
    ]


def _reason(results: Results, metric: MetricInfo, z: float, key: Key) -> str:
    system, condition, _, utterance = key
    title = next(s.title for s in results.systems if s.id == system)
    where = next(c.in_sentence for c in results.conditions if c.id == condition)
    value = next(
        v.value
        for v in results.values
        if (v.system, v.condition, v.metric, v.utterance)
        == (system, condition, metric.id, utterance)
    )
    shown = "" if value is None else f" {fixed(value, decimals([value]))}"
    return (
        f"{metric.title}{shown} of {title} in {where} is {z:.1f} standard deviations worse than "
        "its mean"
    )
