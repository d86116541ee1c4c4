"""Comparison of two evaluations of the same speech: significant improvements and regressions.

Systems are paired by id, values by utterance; every change is tested as a difference between two
systems of one report is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from wavewright.errors import WavewrightError
from wavewright.evaluation.results import SIGNIFICANCE_LEVEL, MetricInfo, Results
from wavewright.evaluation.statistics import compare_paired, estimate_mean, holm
from wavewright.evaluation.summary import distance
from wavewright.metrics.metric import Condition

Verdict = Literal["better", "worse", "same", "lost values"]
_SMALLEST = 1e-9  # share of the value below which two runs gave the same


@dataclass(frozen=True)
class MetricChange:
    """Change of one metric of one system between two evaluations.

    Attributes:
        system, condition, metric: which.
        before, after: means over the utterances that both have; None without any.
        low, high: 95 % interval of after - before; None below six utterances.
        p: Holm-corrected over all changes; None with too few utterances.
        n: utterances that both have.
        lost: utterances that had a value before and have none now.
        verdict: `better` and `worse` are significant.
    """

    system: str
    condition: Condition
    metric: MetricInfo
    before: float | None
    after: float | None
    low: float | None
    high: float | None
    p: float | None
    n: int
    lost: int
    verdict: Verdict = "same"


@dataclass(frozen=True)
class ReportComparison:
    """All changes, and remarks on what could not be compared."""

    changes: list[MetricChange]
    remarks: list[str]

    @property
    def has_regressions(self) -> bool:
        """True if something is worse, or values were lost."""
        return any(change.verdict in ("worse", "lost values") for change in self.changes)


def read_results(path: Path) -> Results:
    """Read `results.json`, given itself or as its report's folder.

    Raises:
        WavewrightError: no such file, or not an evaluation of this schema.
    """
    file = path / "results.json" if path.is_dir() else path
    try:
        return Results.model_validate_json(file.read_bytes())
    except OSError as error:
        raise WavewrightError(f"{file}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise WavewrightError(
            f"{file}: not the results of an evaluation: {place}: {first['msg'].lower()}"
        ) from error


def compare_results(before: Results, after: Results) -> ReportComparison:
    """Compare every metric of every candidate that both evaluations have.

    Raises:
        WavewrightError: they have no candidate or no utterance in common.
    """
    shared = [system.id for system in before.systems if system.is_candidate]
    shared = [name for name in shared if name in {s.id for s in after.systems if s.is_candidate}]
    ids = [utterance.id for utterance in before.utterances]
    ids = [name for name in ids if name in {u.id for u in after.utterances}]
    if not shared or not ids:
        what = "system" if not shared else "utterance"
        raise WavewrightError(f"the two evaluations have no {what} in common")
    changes = list(_changes(before, after, shared, ids))
    p_values = holm([change.p for change in changes])
    changes = [
        _with_verdict(replace(change, p=p)) for change, p in zip(changes, p_values, strict=True)
    ]
    return ReportComparison(changes, list(_remarks(before, after, shared, ids)))


def _changes(
    before: Results, after: Results, systems: Sequence[str], ids: Sequence[str]
) -> Iterator[MetricChange]:
    old = {(v.system, v.condition, v.metric, v.utterance): v for v in before.values}
    new = {(v.system, v.condition, v.metric, v.utterance): v for v in after.values}
    speakers = {utterance.id: utterance.speaker for utterance in after.utterances}
    metrics = {metric.id: metric for metric in after.metrics}
    columns = dict.fromkeys((v.system, v.condition, v.metric) for v in before.values)
    for system, condition, name in columns:
        if system not in systems or name not in metrics:
            continue
        rows = [(old.get(key), new.get(key)) for key in ((system, condition, name, u) for u in ids)]
        first = [None if a is None else a.value for a, _ in rows]
        second = [None if b is None else b.value for _, b in rows]
        before_weights, after_weights = (
            [cell.weight if cell else 1.0 for cell in column] for column in zip(*rows, strict=True)
        )
        comparison = compare_paired(
            second, first, after_weights, before_weights, [speakers[u] for u in ids]
        )
        both = [a is not None and b is not None for a, b in zip(first, second, strict=True)]
        yield MetricChange(
            system=system,
            condition=condition,
            metric=metrics[name],
            before=_mean(first, before_weights, both),
            after=_mean(second, after_weights, both),
            low=comparison.difference.low,
            high=comparison.difference.high,
            p=comparison.p,
            n=sum(both),
            lost=sum(a is not None and b is None for a, b in zip(first, second, strict=True)),
        )


def _mean(
    values: Sequence[float | None], weights: Sequence[float], usable: Sequence[bool]
) -> float | None:
    """Weighted mean over the usable utterances; None without any."""
    return estimate_mean(
        [value if is_usable else None for value, is_usable in zip(values, usable, strict=True)],
        weights,
    ).mean


def _with_verdict(change: MetricChange) -> MetricChange:
    if change.lost:
        return replace(change, verdict="lost values")
    if change.before is None or change.after is None:
        return change
    near, far = distance(change.metric, change.after), distance(change.metric, change.before)
    if abs(near - far) <= _SMALLEST * max(1.0, abs(change.before)):
        return change
    if change.p is None or change.p >= SIGNIFICANCE_LEVEL:
        return change
    return replace(change, verdict="better" if near < far else "worse")


def _remarks(
    before: Results, after: Results, systems: Sequence[str], ids: Sequence[str]
) -> Iterator[str]:
    """Differences between the evaluations that limit the comparison."""
    for name, results, other in (("first", before, after), ("second", after, before)):
        alone = [s.id for s in results.systems if s.is_candidate and s.id not in systems]
        if alone:
            yield f"only in the {name}: {', '.join(alone)}"
        left = len(results.utterances) - len(ids)
        if left:
            yield f"{left} utterances are only in the {name}"
        missing = {m.id for m in results.metrics} - {m.id for m in other.metrics}
        if missing:
            yield f"metrics only in the {name}: {', '.join(sorted(missing))}"
    old = {metric.id: metric.definition for metric in before.metrics}
    for metric in after.metrics:
        if metric.id in old and metric.definition != old[metric.id]:
            yield f"'{metric.id}' is defined differently in the two"
    if before.sample_rate != after.sample_rate:
        yield f"compared at {before.sample_rate:,} Hz and at {after.sample_rate:,} Hz"
    if len(ids) < 6:
        yield f"{len(ids)} utterances in common are too few for any test"


def comparison_lines(comparison: ReportComparison, *, everything: bool = False) -> list[str]:
    """Lines for a terminal; `everything` includes what stayed the same."""
    changes = [c for c in comparison.changes if everything or c.verdict != "same"]
    lines = [f"note: {remark}" for remark in comparison.remarks]
    for change in changes:
        line = f"{change.verdict}: {change.system}, {change.condition}, {change.metric.id}"
        if change.before is not None and change.after is not None:
            line += f" {change.before:.4f} -> {change.after:.4f}"
        if change.low is not None:
            line += f", change [{change.low:+.4f}, {change.high:+.4f}]"
        line += "" if change.p is None else f", p = {max(change.p, 0.0001):.4f}"
        line += f" (n = {change.n})"
        line += f", {change.lost} values lost" if change.lost else ""
        lines.append(line)
    counts = {kind: sum(c.verdict == kind for c in comparison.changes) for kind in
              ("worse", "lost values", "better", "same")}  # fmt: skip
    return [*lines, ", ".join(f"{count} {kind}" for kind, count in counts.items())]
