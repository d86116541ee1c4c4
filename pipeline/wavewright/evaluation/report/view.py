"""Everything that a report shows, computed once; page and Markdown only render it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wavewright.evaluation.report.media import SelectedUtterance
from wavewright.evaluation.report.outliers import (
    select_utterances,
    standard_deviations,
)
from wavewright.evaluation.report.pairwise import PairTable, pair_tables
from wavewright.evaluation.report.ranking import ConditionRanking, rank_conditions
from wavewright.evaluation.report.tables import SummaryTable, summary_tables
from wavewright.evaluation.report.utterances import UtteranceRow, utterance_rows
from wavewright.evaluation.report.verdict import bottleneck, condition_verdict
from wavewright.evaluation.results import Results, Speed, System, SystemSpeed
from wavewright.metrics.metric import Condition


@dataclass(frozen=True)
class ConditionView:
    """One evaluated condition: its verdict, rankings and tables."""

    ranking: ConditionRanking
    verdict: str
    tables: tuple[SummaryTable, ...]
    pairs: tuple[PairTable, ...]


@dataclass(frozen=True)
class ReportView:
    """An evaluation as a reader sees it.

    Attributes:
        results: what was measured.
        speed: what was timed; None if nothing was.
        titles: systems' titles by id.
        conditions: evaluated conditions by id.
        bottleneck: sentences about which model loses the most; empty where that is unknown.
        rows: every value, the worst first.
        selection: utterances to listen to, the worst first.
        speeds: timed systems, in the order of the timing.
    """

    results: Results
    speed: Speed | None
    titles: Mapping[str, str]
    conditions: Mapping[Condition, ConditionView]
    bottleneck: str
    rows: tuple[UtteranceRow, ...]
    selection: tuple[SelectedUtterance, ...]
    speeds: tuple[tuple[System, SystemSpeed], ...]


def build_view(
    results: Results, speed: Speed | None = None, *, max_players: int = 12
) -> ReportView:
    """Compute rankings, verdicts, tables and outliers of an evaluation.

    Args:
        results: what was measured.
        speed: what was timed; None if nothing was.
        max_players: most utterances to listen to.
    """
    rankings = rank_conditions(results)
    deviations = standard_deviations(results)
    systems = {system.id: system for system in results.systems}
    titles = {system.id: system.title for system in results.systems}
    return ReportView(
        results=results,
        speed=speed,
        titles=titles,
        conditions={
            name: ConditionView(
                ranking,
                condition_verdict(ranking, titles),
                summary_tables(ranking, results.systems),
                pair_tables(ranking, systems),
            )
            for name, ranking in rankings.items()
        },
        bottleneck=bottleneck(results, rankings),
        rows=tuple(utterance_rows(results, rankings, deviations)),
        selection=tuple(select_utterances(results, rankings, deviations, max_players)),
        speeds=tuple((systems[row.system], row) for row in (speed.systems if speed else ())),
    )
