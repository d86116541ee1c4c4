"""The report's answer in sentences: who is closest, by how much, and what is to blame."""

from __future__ import annotations

from wavewright.evaluation.report.formatting import decimals, fixed, interval
from wavewright.evaluation.report.ranking import ranking
from wavewright.evaluation.results import (
    SIGNIFICANCE_LEVEL,
    Difference,
    MetricInfo,
    Results,
    Summary,
)
from wavewright.evaluation.statistics import MIN_UNITS
from wavewright.evaluation.summary import distance
from wavewright.metrics.metric import Condition

_MOSTLY = 0.6  # share of a distance from which it is called mostly of one making


def answers(results: Results) -> dict[Condition, str]:
    """One or two sentences for each condition that was evaluated."""
    return {
        condition.id: _answer(results, condition.id) for condition in results.evaluated_conditions()
    }


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
        if gap is not None and not gap.significant:
            sentence = (
                f"{names[first.system]} and {names[second.system]} cannot be told apart: {label} "
                f"against {versus}{_doubt(gap, first.system)} (n = {first.n})."
            )
        else:
            share = _share(metric, first, second)
            sentence = (
                f"{names[first.system]} is closest to the recordings: {label} against "
                f"{versus}{share}{_proof(gap)} (n = {first.n})."
            )
    sentence += _too_few(results, condition, first.n)
    return " ".join([sentence, *_dissent(results, condition, metric, first, names)])


def _too_few(results: Results, condition: Condition, n: int) -> str:
    """What so few utterances cannot show, however large the differences are."""
    if n < MIN_UNITS:
        return " That is too few utterances for any test."
    tests = sum(
        gap.condition == condition and gap.corrected is not None for gap in results.differences
    )
    if tests * 2 / 2**n >= SIGNIFICANCE_LEVEL:  # the smallest p of a signed-rank test, corrected
        return f" That is too few utterances for {tests} tests: none can be significant."
    return ""


def _with_interval(row: Summary) -> str:
    mean = row.mean or 0.0
    places = decimals([mean])
    if row.low is None or row.high is None:
        return fixed(mean, places)
    return f"{fixed(mean, places)} {interval(row.low, row.high, places)}"


def _share(metric: MetricInfo, first: Summary, second: Summary) -> str:
    near, far = distance(metric, first.mean or 0.0), distance(metric, second.mean or 0.0)
    if metric.direction != "lower" or far <= 0:
        return ""
    share = 1 - near / far
    return f", {share:.0%} lower" if share >= 0.01 else f", {share:.1%} lower"


def _doubt(gap: Difference, first: str) -> str:
    """The interval of a difference that may be none: `first` less the other."""
    if gap.low is None or gap.high is None:
        return ""
    low, high = (gap.low, gap.high) if gap.a == first else (-gap.high, -gap.low)
    ends = interval(low, high, decimals([low, high]), signed=True)
    return f"; difference {ends}{_proof(gap)}"


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
    return [f"By {_listed(titles)}, {names[s]} is first." for s, titles in others.items()]


def _listed(titles: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(titles[:-1]), titles[-1]]))


def blame(results: Results) -> str:
    """Whether the acoustic model or the vocoder keeps the best system from the recordings.

    Empty unless copy-synthesis and GTA were evaluated by a common metric that has a perfect score.
    The distances add up only roughly, so shares are rounded and words are careful.
    """
    metric = _common(results)
    if metric is None:
        return ""
    best = ranking(results, "copy", metric)[0].system
    far = {
        row.condition: distance(metric, row.mean) - distance(metric, metric.ideal)
        for row in results.summary
        if (row.system, row.metric) == (best, metric.id) and row.mean is not None
    }
    if "copy" not in far or far.get("gta", 0.0) <= 0:
        return ""
    title = next(system.title for system in results.systems if system.id == best)
    share = far["copy"] / far["gta"]
    places = decimals(far.values())
    numbers = f"{metric.title} {fixed(far['copy'], places)} of {fixed(far['gta'], places)}"
    if metric.ideal:
        numbers += f" away from {metric.ideal:g}"
    if share >= 1:
        return (
            f"Predicted mels do not take {title} farther from the recordings than their own mels "
            f"do ({numbers} with GTA mels): what is missing is the vocoder's."
        )
    free = f"; {fixed(far['tts'], places)} in free-running TTS" if "tts" in far else ""
    return (
        f"{_culprit(share)} Of the distance between {title} with predicted mels and the "
        f"recordings, {share:.0%} is there already in copy-synthesis ({numbers}{free}); the other "
        f"{1 - share:.0%} comes with the acoustic model's mels."
    )


def _culprit(share: float) -> str:
    if share >= _MOSTLY:
        return "Mostly the vocoder is to blame."
    if share <= 1 - _MOSTLY:
        return "Mostly the acoustic model is to blame."
    return "Vocoder and acoustic model are to blame about equally."


def _common(results: Results) -> MetricInfo | None:
    """The first metric that ranks systems both in copy-synthesis and GTA."""
    fit = (
        metric
        for metric in results.metrics
        if metric.is_headline
        and all(ranking(results, condition, metric) for condition in ("copy", "gta"))
    )
    return next(fit, None)
