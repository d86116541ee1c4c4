"""Made-up values for tests of statistics and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.support.reports import large_results
from wavewright.evaluation.report.pairwise import SystemPair, system_pairs
from wavewright.evaluation.report.ranking import rank_metric
from wavewright.evaluation.report.tables import SummaryTable
from wavewright.evaluation.report.view import build_view
from wavewright.evaluation.results import MetricInfo, Results, System, Utterance, Value
from wavewright.evaluation.summary import summarize
from wavewright.metrics.metric import Condition

MEL_L1 = MetricInfo(
    id="mel_l1",
    name="mel_l1",
    title="mel L1",
    unit="ln",
    direction="lower",
    ideal=0.0,
    band=None,
    definition="A distance.",
    conditions=("copy",),
)


def values_of(**columns: list[float | None]) -> tuple[list[Utterance], list[Value]]:
    """Utterances, and the values of each system on them."""
    ids = [f"u{index}" for index in range(len(next(iter(columns.values()))))]
    rows = [
        Value(system=name, condition="copy", utterance=u, metric="mel_l1", value=value)
        for name, column in columns.items()
        for u, value in zip(ids, column, strict=True)
    ]
    return [Utterance(id=u, text="", seconds=1.0) for u in ids], rows


def files(*names: str) -> list[System]:
    """Systems of unknown origin."""
    return [System(id=name, title=name, kind="files") for name in names]


HOSTILE_NAME = "<img src=x onerror=alert(1)> | `x` [a](b)"
EVERY: tuple[Condition, ...] = ("copy", "gta", "tts")


def metric(key: str = "mel_l1", **changes: object) -> MetricInfo:
    """Distance that applies under every condition, with changes."""
    fields: dict[str, object] = {
        "id": key,
        "name": key,
        "title": key,
        "unit": "",
        "direction": "lower",
    }
    fields |= {"ideal": 0.0, "band": None, "definition": "A distance.", "conditions": EVERY}
    return MetricInfo.model_validate({**fields, **changes})


def results_of(
    columns: Mapping[tuple[str, str, str], Sequence[float | None]],
    metrics: Sequence[MetricInfo] = (metric(),),
    kinds: dict[str, str] | None = None,
) -> Results:
    """Results with these columns of values by (system, condition, metric)."""
    names = list(dict.fromkeys(system for system, _, _ in columns))
    systems = [
        System.model_validate({"id": n, "title": n, "kind": (kinds or {}).get(n, "vocoder")})
        for n in names
    ]
    count = len(next(iter(columns.values())))
    utterances = [Utterance(id=f"u{index}", text="", seconds=1.0) for index in range(count)]
    values = [
        Value.model_validate(
            {"system": s, "condition": c, "metric": m, "utterance": f"u{index}", "value": value}
        )
        for (s, c, m), column in columns.items()
        for index, value in enumerate(column)
    ]
    summary, differences = summarize(systems, EVERY, metrics, utterances, values)
    return large_results().model_copy(
        update={
            "systems": tuple(systems),
            "utterances": tuple(utterances),
            "metrics": tuple(metrics),
            "values": tuple(values),
            "summary": summary,
            "differences": differences,
        }
    )


def verdict(results: Results) -> str:
    """Sentences about copy-synthesis."""
    return build_view(results).conditions["copy"].verdict


def tables_of(results: Results) -> Sequence[SummaryTable]:
    """Tables of copy-synthesis."""
    return build_view(results).conditions["copy"].tables


def pairs_of(results: Results) -> list[SystemPair]:
    """Pairs of systems by the first metric of copy-synthesis."""
    systems = {system.id: system for system in results.systems}
    return system_pairs(rank_metric(results, "copy", results.metrics[0]), systems)


def around(mean: float, count: int = 8) -> list[float]:
    """Values within 0.01 of a mean."""
    return [mean + 0.01 * (index % 3 - 1) for index in range(count)]
