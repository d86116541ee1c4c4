"""Verdicts in sentences: which system is closest, by how much, and which model loses the most."""

from __future__ import annotations

from collections.abc import Mapping

from wavewright.evaluation.report.formatting import decimal_places, format_fixed, format_interval
from wavewright.evaluation.report.ranking import ConditionRanking, MetricRanking
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

_MOSTLY = 0.6  # share of a distance from which one model is called its main cause
_COMPARED: tuple[Condition, ...] = ("copy", "gta")

Rankings = Mapping[Condition, ConditionRanking]


def condition_verdict(ranking: ConditionRanking, titles: Mapping[str, str]) -> str:
    """One or two sentences about an evaluated condition.

    Args:
        ranking: of the condition.
        titles: systems' titles by id.
    """
    headline = ranking.headline
    if headline is None:
        return "No metric has a value here."
    metric, (first, *others) = headline.metric, headline.ranked
    label = f"{metric.title} {_with_interval(first)}"
    if not others:
        sentence = f"Only {titles[first.system]} was evaluated: {label} (n = {first.n})."
    else:
        second = others[0]
        difference = headline.difference(first.system, second.system)
        versus = f"{_with_interval(second)} for {titles[second.system]}"
        if difference is not None and not difference.significant:
            sentence = (
                f"{titles[first.system]} and {titles[second.system]} cannot be told apart: "
                f"{label} against {versus}{_uncertain(difference, first.system)} (n = {first.n})."
            )
        else:
            share = _share(metric, first, second)
            sentence = (
                f"{titles[first.system]} is closest to the recordings: {label} against "
                f"{versus}{share}{_p_value(difference)} (n = {first.n})."
            )
    sentence += _too_few(first.n, ranking.tests)
    return " ".join([sentence, *_dissent(ranking, headline, titles)])


def _too_few(n: int, tests: int) -> str:
    """Sentence for so few utterances that no difference can be significant, else empty."""
    if n < MIN_UNITS:
        return " That is too few utterances for any test."
    if tests * 2 / 2**n >= SIGNIFICANCE_LEVEL:  # the smallest p of a signed-rank test, corrected
        return f" That is too few utterances for {tests} tests: none can be significant."
    return ""


def _with_interval(row: Summary) -> str:
    mean = row.mean or 0.0
    places = decimal_places([mean])
    if row.low is None or row.high is None:
        return format_fixed(mean, places)
    return f"{format_fixed(mean, places)} {format_interval(row.low, row.high, places)}"


def _share(metric: MetricInfo, first: Summary, second: Summary) -> str:
    near, far = distance(metric, first.mean or 0.0), distance(metric, second.mean or 0.0)
    if metric.direction != "lower" or far <= 0:
        return ""
    share = 1 - near / far
    return f", {share:.0%} lower" if share >= 0.01 else f", {share:.1%} lower"


def _uncertain(difference: Difference, first: str) -> str:
    """Interval and p of a difference that may be zero: `first` less the other."""
    low, high = difference.low, difference.high
    if low is None or high is None:
        return ""
    if difference.a != first:
        low, high = -high, -low
    ends = format_interval(low, high, decimal_places([low, high]), signed=True)
    return f"; difference {ends}{_p_value(difference)}"


def _p_value(difference: Difference | None) -> str:
    p = None if difference is None else difference.corrected
    if p is None:
        return ""
    return ", p < 0.001" if p < 0.001 else f", p = {p:.3f}"


def _dissent(
    ranking: ConditionRanking, headline: MetricRanking, titles: Mapping[str, str]
) -> list[str]:
    """Sentences that name the metrics by which another system is first."""
    others: dict[str, list[str]] = {}
    for one in ranking.metrics.values():
        metric = one.metric
        skipped = metric.direction == "ideal" or metric.phones is not None
        if skipped or one is headline or not one.ranked:
            continue
        if one.best.system != headline.best.system:
            others.setdefault(one.best.system, []).append(metric.title)
    return [
        f"By {_join_and(names)}, {titles[system]} is first." for system, names in others.items()
    ]


def _join_and(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def bottleneck(results: Results, rankings: Rankings) -> str:
    """Sentences about which model, acoustic or vocoder, keeps the best system from the recordings.

    Empty unless copy-synthesis and GTA were evaluated by a common metric that has a perfect score.
    The distances add up only roughly, so shares are rounded and the wording is careful.
    """
    metric = _common_metric(results, rankings)
    if metric is None:
        return ""
    best = rankings["copy"].metrics[metric.id].best.system
    distances = {
        row.condition: distance(metric, row.mean) - distance(metric, metric.ideal)
        for ranking in rankings.values()
        if metric.id in ranking.metrics
        for row in ranking.metrics[metric.id].means
        if row.system == best and row.mean is not None
    }
    if "copy" not in distances or distances.get("gta", 0.0) <= 0:
        return ""
    title = next(system.title for system in results.systems if system.id == best)
    share = distances["copy"] / distances["gta"]
    places = decimal_places(distances.values())
    copy, gta = (format_fixed(distances[name], places) for name in ("copy", "gta"))
    numbers = f"{metric.title} {copy} of {gta}"
    if metric.ideal:
        numbers += f" away from {metric.ideal:g}"
    if share >= 1:
        return (
            f"Predicted mels do not take {title} farther from the recordings than their own mels "
            f"do ({numbers} with GTA mels): what is missing is the vocoder's."
        )
    tts = distances.get("tts")
    free = "" if tts is None else f"; {format_fixed(tts, places)} in free-running TTS"
    return (
        f"{_main_cause(share)} Of the distance between {title} with predicted mels and the "
        f"recordings, {share:.0%} is there already in copy-synthesis ({numbers}{free}); the other "
        f"{1 - share:.0%} comes with the acoustic model's mels."
    )


def _main_cause(share: float) -> str:
    if share >= _MOSTLY:
        return "Mostly the vocoder is to blame."
    if share <= 1 - _MOSTLY:
        return "Mostly the acoustic model is to blame."
    return "Vocoder and acoustic model are to blame about equally."


def _common_metric(results: Results, rankings: Rankings) -> MetricInfo | None:
    """First headline metric that ranks systems both in copy-synthesis and in GTA."""
    needed = [rankings[name].metrics for name in _COMPARED if name in rankings]
    if len(needed) < 2:
        return None
    for metric in results.metrics:
        ranked = [metric.id in by_metric and by_metric[metric.id].ranked for by_metric in needed]
        if metric.is_headline and all(ranked):
            return metric
    return None
