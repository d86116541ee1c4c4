"""The report's answer in sentences: which system is closest under each condition, by how much."""

from __future__ import annotations

from wavewright.metrics.metric import Condition
from wavewright.report.results import Difference, MetricInfo, Results, Summary
from wavewright.report.statistics import FEW
from wavewright.report.summary import distance, ranking


def answers(results: Results) -> dict[Condition, str]:
    """One or two sentences for each condition that was evaluated."""
    return {condition.id: _answer(results, condition.id) for condition in results.present()}


def headline_metric(results: Results, condition: Condition) -> MetricInfo | None:
    """The first metric asked for that ranks systems by their distance."""
    for metric in results.metrics_of(condition):
        if metric.direction != "ideal" and ranking(results, condition, metric):
            return metric
    return None


def _answer(results: Results, condition: Condition) -> str:
    metric = headline_metric(results, condition)
    if metric is None:
        return "No metric has a value here."
    first, *others = ranking(results, condition, metric)
    names = {system.id: system.title for system in results.systems}
    label = f"{metric.title} {_with_interval(first)}"
    if not others:
        sentence = f"Only {names[first.system]} was evaluated: {label} (n = {first.n})."
    else:
        second = others[0]
        gap = difference_of(results, condition, metric, first.system, second.system)
        versus = f"{_with_interval(second)} for {names[second.system]}"
        if gap is not None and not gap.told_apart:
            sentence = (
                f"{names[first.system]} and {names[second.system]} cannot be told apart: {label} "
                f"against {versus}{_doubt(gap)} (n = {first.n})."
            )
        else:
            share = _share(metric, first, second)
            sentence = (
                f"{names[first.system]} is closest to the recordings: {label} against "
                f"{versus}{share}{_proof(gap)} (n = {first.n})."
            )
    if first.n < FEW:
        sentence += " That is too few utterances for any test."
    return " ".join([sentence, *_dissent(results, condition, metric, first, names)])


def _with_interval(row: Summary) -> str:
    if row.low is None:
        return f"{row.mean:.3f}"
    return f"{row.mean:.3f} [{row.low:.3f}, {row.high:.3f}]"


def _share(metric: MetricInfo, first: Summary, second: Summary) -> str:
    near, far = distance(metric, first.mean or 0.0), distance(metric, second.mean or 0.0)
    if metric.direction != "lower" or far <= 0:
        return ""
    return f", {1 - near / far:.0%} lower"


def _doubt(gap: Difference) -> str:
    """The interval of a difference that may be none."""
    if gap.low is None or gap.high is None:
        return ""
    return f"; difference [{gap.low:.3f}, {gap.high:.3f}]" + _proof(gap)


def _proof(gap: Difference | None) -> str:
    """The p value that a claim rests on."""
    p = None if gap is None else gap.corrected
    if p is None:
        return ""
    return ", p < 0.001" if p < 0.001 else f", p = {p:.3f}"


def difference_of(
    results: Results, condition: Condition, metric: MetricInfo, a: str, b: str
) -> Difference | None:
    """The paired difference of two systems, in whichever order it was taken."""
    for row in results.differences:
        if (row.condition, row.metric) == (condition, metric.id) and {row.a, row.b} == {a, b}:
            return row
    return None


def _dissent(
    results: Results,
    condition: Condition,
    headline: MetricInfo,
    first: Summary,
    names: dict[str, str],
) -> list[str]:
    """Metrics that put another system first are named: no metric is the truth."""
    others: dict[str, list[str]] = {}
    for metric in results.metrics_of(condition):
        ranked = ranking(results, condition, metric)
        aside = metric.direction == "ideal" or metric.phones is not None
        if aside or metric is headline or not ranked:
            continue
        if ranked[0].system != first.system:
            others.setdefault(ranked[0].system, []).append(metric.title)
    return [f"By {' and '.join(titles)}, {names[s]} is first." for s, titles in others.items()]
