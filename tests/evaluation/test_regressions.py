"""Two evaluations side by side: what changed is told, chance is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.reports import small_report
from wavewright.errors import WavewrightError
from wavewright.evaluation.regressions import (
    ReportComparison,
    compare_results,
    comparison_lines,
    read_results,
)
from wavewright.evaluation.results import Results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return small_report(tmp_path_factory.mktemp("report"), utterances=12)[1]


def moved(results: Results, by: float, scatter: float = 0.0) -> Results:
    """Evaluation with toy-v1's copy-synthesis changed by `by`, more or less."""
    rng = np.random.default_rng(0)
    values = [
        value.model_copy(update={"value": value.value + by + scatter * rng.normal()})
        if (value.system, value.condition) == ("toy-v1", "copy") and value.value is not None
        else value
        for value in results.values
    ]
    return results.model_copy(update={"values": tuple(values)})


def verdicts(comparison: ReportComparison) -> dict[tuple[str, str], str]:
    return {(c.system, c.metric.id): c.verdict for c in comparison.changes if c.condition == "copy"}


@pytest.mark.slow
def test_an_evaluation_is_the_same_as_itself(results: Results) -> None:
    comparison = compare_results(results, results)
    assert {change.verdict for change in comparison.changes} == {"same"}
    assert not comparison.has_regressions


@pytest.mark.slow
@pytest.mark.parametrize(("by", "verdict"), [(0.1, "worse"), (-0.1, "better")])
def test_a_change_of_every_utterance_is_seen(results: Results, by: float, verdict: str) -> None:
    comparison = compare_results(results, moved(results, by))
    assert verdicts(comparison)["toy-v1", "mel_l1"] == verdict
    assert verdicts(comparison)["griffinlim", "mel_l1"] == "same"
    assert comparison.has_regressions == (verdict == "worse")
    assert any(
        line.startswith(f"{verdict}: toy-v1, copy, mel_l1 ")
        for line in comparison_lines(comparison)
    )


def test_scatter_alone_is_no_regression(results: Results) -> None:
    assert not compare_results(results, moved(results, 0.0, scatter=0.1)).has_regressions


def test_values_that_went_missing_are_a_regression(results: Results) -> None:
    values = [
        value.model_copy(update={"value": None, "reason": "too short"})
        if (value.system, value.metric, value.utterance) == ("toy-v1", "mstft", "made-003")
        else value
        for value in results.values
    ]
    comparison = compare_results(results, results.model_copy(update={"values": tuple(values)}))
    assert verdicts(comparison)["toy-v1", "mstft"] == "lost values"
    assert comparison.has_regressions


def test_other_definitions_and_other_systems_are_told(results: Results) -> None:
    metrics = [m.model_copy(update={"definition": "Another."}) for m in results.metrics]
    systems = [s for s in results.systems if s.id != "griffinlim"]
    other = results.model_copy(update={"metrics": tuple(metrics), "systems": tuple(systems)})
    remarks = "\n".join(compare_results(results, other).remarks)
    assert "only in the first: griffinlim" in remarks
    assert "'mel_l1' is defined differently" in remarks


def test_nothing_in_common_is_an_error(results: Results) -> None:
    natural = results.model_copy(update={"systems": results.systems[:1]})
    with pytest.raises(WavewrightError, match="no system in common"):
        compare_results(results, natural)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"schema_version": 99}'])
def test_what_is_no_evaluation_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(WavewrightError, match="not the results of an evaluation"):
        read_results(tmp_path)
    with pytest.raises(WavewrightError, match="cannot be read"):
        read_results(tmp_path / "other.json")
