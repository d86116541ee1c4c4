"""Charts of the page: means with intervals, and speed against quality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from wavewright.evaluation.report.charts import SpeedPoint, scatter_plot
from wavewright.evaluation.report.ranking import ConditionRanking
from wavewright.evaluation.results import Speed
from wavewright.webpage import figures


@dataclass(frozen=True)
class TitledChart:
    """A chart and the title of its metric."""

    title: str
    chart: Markup


def headline_chart(ranking: ConditionRanking, titles: Mapping[str, str]) -> TitledChart | None:
    """Interval chart of the headline metric; None where nothing ranks systems.

    Args:
        ranking: of the condition.
        titles: systems' titles by id.
    """
    headline = ranking.headline
    if headline is None:
        return None
    rows = [
        (titles[row.system], row.mean, row.low, row.high)
        for row in headline.ranked
        if row.mean is not None
    ]
    return TitledChart(headline.metric.title, figures.interval_chart(rows))


def speed_chart(
    ranking: ConditionRanking, titles: Mapping[str, str], speed: Speed | None
) -> TitledChart | None:
    """Scatter plot of speed against the headline metric; None for fewer than two timed systems."""
    headline = ranking.headline
    if headline is None or speed is None:
        return None
    factors = {row.system: row.real_time_factor for row in speed.systems}
    points = [
        SpeedPoint(
            titles[row.system],
            list(titles).index(row.system) - 1,
            factors[row.system],
            row.mean,
            row.low,
            row.high,
        )
        for row in headline.ranked
        if row.system in factors and row.mean is not None
    ]
    if len(points) < 2:
        return None
    return TitledChart(headline.metric.title, scatter_plot(points, headline.metric))
