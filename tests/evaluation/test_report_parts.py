"""Parts of the report: outliers, verdicts, tables, embedded data."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.support.report_values import (
    HOSTILE_NAME,
    around,
    metric,
    results_of,
    tables_of,
    verdict,
)
from tests.support.reports import SYSTEMS, large_results, made_up_speed, small_report
from wavewright.evaluation.report import formatting, outliers
from wavewright.evaluation.report.embedded_data import embed_results
from wavewright.evaluation.report.markdown import report_markdown
from wavewright.evaluation.report.page import write_report
from wavewright.evaluation.report.ranking import rank_metric
from wavewright.evaluation.report.view import build_view
from wavewright.evaluation.results import Results

# Which utterances


def test_the_worst_come_first_and_the_others_are_spread() -> None:
    good, bad = around(1.0, 20), around(2.0, 20)
    good[13], bad[4] = 9.0, 2.5
    results = results_of({("a", "copy", "mel_l1"): good, ("b", "copy", "mel_l1"): bad})
    selection = build_view(results, max_players=6).selection
    assert [choice.utterance.id for choice in selection[:2]] == ["u13", "u4"]
    assert selection[0].reason.startswith("mel_l1 9.000 of a in copy-synthesis is 4.2 standard dev")
    assert (selection[0].system, selection[0].condition) == ("a", "copy")
    rest = [choice for choice in selection if not choice.reason]
    places = [int(choice.utterance.id[1:]) for choice in rest]
    assert len(selection) == 6
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, 19)
    assert {(choice.system, choice.condition) for choice in rest} == {("a", "copy")}


def test_half_of_the_shown_are_the_worst_at_most() -> None:
    rng = np.random.default_rng(0)
    results = results_of({("a", "copy", "mel_l1"): rng.normal(size=50).tolist()})
    selection = build_view(results, max_players=7).selection
    assert [bool(choice.reason) for choice in selection] == [True] * 4 + [False] * 3
    assert len({choice.utterance.id for choice in selection}) == 7


@pytest.mark.slow
def test_an_anchor_makes_nobody_one_of_the_worst() -> None:
    wild = [*around(1.0, 9), 50.0]
    columns = {("a", "copy", "mel_l1"): [1.0] * 10, ("low", "copy", "mel_l1"): wild}
    results = results_of(columns, kinds={"low": "anchor"})
    selection = build_view(results, max_players=4).selection
    assert not any(choice.reason for choice in selection)


@pytest.mark.slow
def test_deviations_are_positive_where_a_value_is_worse() -> None:
    higher = metric("pesq", direction="higher", ideal=4.6)
    ratio = metric("ratio", direction="ideal", ideal=1.0)
    columns = {
        ("a", "copy", "pesq"): [4.0, 4.1, 3.9, 4.0, 1.0],
        ("a", "copy", "ratio"): [1.0, 1.01, 0.99, 1.0, 0.5],
    }
    result = outliers.standard_deviations(results_of(columns, (higher, ratio)))
    assert result["a", "copy", "pesq", "u4"] > 1.5
    assert result["a", "copy", "ratio", "u4"] > 1.5
    assert outliers.standard_deviations(results_of({("a", "copy", "mel_l1"): [1.0] * 9})) == {}


@pytest.mark.slow
def test_outliers_are_marked_in_words_and_undefined_values_say_why() -> None:
    column: list[float | None] = [*around(1.0, 18), 9.0, None]
    results = results_of({("a", "copy", "mel_l1"): column})
    rows = build_view(results).rows
    assert (rows[0].utterance.id, rows[0].cells[0].outlier) == ("u18", "+4.1 SD")
    assert sum(bool(row.cells[0].outlier) for row in rows) == 1
    assert rows[-1].utterance.id == "u19"
    assert rows[-1].worse is None


# Who is closest, who is to blame


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_a_doubtful_difference_is_the_first_named_less_the_other(names: str) -> None:
    """Whatever the order in which systems were given."""
    rng = np.random.default_rng(5)
    noise = rng.normal(size=20)
    columns = {"a": 1.0 + noise, "b": 1.05 + noise + 0.2 * rng.normal(size=20)}
    results = results_of({(n, "copy", "mel_l1"): columns[n].tolist() for n in names})
    sentences = verdict(results)
    means = {row.system: row.mean or 0 for row in results.summary if row.condition == "copy"}
    assert "cannot be told apart" in sentences
    ends = re.findall(r"difference \[(\S+), (\S+)\]", sentences)[0]
    low, high = (float(end.replace(formatting.MINUS, "-")) for end in ends)
    assert low < means[sentences[0]] - means[sentences[6]] < high
    assert abs(low) > high  # the first is the nearer one


@pytest.mark.slow
def test_metrics_that_disagree_are_listed_like_words() -> None:
    metrics = [metric(name) for name in ("m", "x", "y", "z")]
    columns: dict[tuple[str, str, str], list[float]] = {}
    for one in metrics:
        near, far = ("a", "b") if one.id == "m" else ("b", "a")
        columns |= {(near, "copy", one.id): around(1.0), (far, "copy", one.id): around(2.0)}
    assert verdict(results_of(columns, metrics)).endswith("By x, y and z, b is first.")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("copy", "gta", "words"),
    [
        (0.8, 1.0, "Mostly the vocoder is to blame. Of the distance between a with predicted"),
        (0.2, 1.0, "Mostly the acoustic model is to blame."),
        (0.5, 1.0, "about equally"),
        (1.0, 0.9, "Predicted mels do not take a farther"),
    ],
)
def test_blame_follows_the_share_of_copy_synthesis(copy: float, gta: float, words: str) -> None:
    columns = {("a", "copy", "mel_l1"): around(copy), ("a", "gta", "mel_l1"): around(gta)}
    columns |= {("b", "copy", "mel_l1"): around(3.0), ("b", "gta", "mel_l1"): around(3.1)}
    assert words in build_view(results_of(columns)).bottleneck


@pytest.mark.slow
def test_blame_counts_from_the_perfect_score_of_a_metric() -> None:
    pesq = metric("pesq", direction="higher", ideal=4.5)
    columns = {("a", "copy", "pesq"): around(4.3), ("a", "gta", "pesq"): around(3.5)}
    sentences = build_view(results_of(columns, (pesq,))).bottleneck
    assert "20% is there already in copy-synthesis" in sentences
    assert "away from 4.5" in sentences


@pytest.mark.slow
def test_without_gta_nobody_is_blamed() -> None:
    only_copy = {("a", "copy", "mel_l1"): around(1.0)}
    assert build_view(results_of(only_copy)).bottleneck == ""
    only_tts = {("a", "copy", "mel_l1"): around(1.0), ("a", "tts", "mel_l1"): around(2.0)}
    assert build_view(results_of(only_tts)).bottleneck == ""


# Tables


def test_letters_join_those_that_cannot_be_told_apart() -> None:
    rng = np.random.default_rng(3)
    near = rng.normal(1.0, 0.2, size=(2, 30))
    columns = {
        ("a", "copy", "mel_l1"): near[0].tolist(),
        ("b", "copy", "mel_l1"): near[1].tolist(),
        ("c", "copy", "mel_l1"): rng.normal(3.0, 0.2, size=30).tolist(),
    }
    results = results_of(columns)
    letters = rank_metric(results, "copy", results.metrics[0]).letters
    assert letters["a"] == letters["b"] == "a"
    assert letters["c"] == "b"
    (table,) = tables_of(results)
    assert {s.id: cells[0].letters for s, cells in table.rows} == letters


@pytest.mark.slow
def test_anchors_never_win_and_few_values_have_no_interval() -> None:
    columns = {("low", "copy", "mel_l1"): [0.1] * 4, ("a", "copy", "mel_l1"): [0.2] * 4}
    columns |= {("b", "copy", "mel_l1"): [0.9] * 4}
    results = results_of(columns, kinds={"low": "anchor"})
    (table,) = tables_of(results)
    cells = {system.id: row[0] for system, row in table.rows}
    assert (cells["low"].rank, cells["a"].rank) == ("", "best")
    assert {cell.interval for cell in cells.values()} == {"too few"}
    assert {cell.letters for cell in cells.values()} == {""}
    assert verdict(results).startswith("a is closest") or "a and b" in verdict(results)


@pytest.mark.slow
def test_many_metrics_make_several_readable_tables() -> None:
    metrics = [metric(f"m{index}") for index in range(9)]
    metrics.insert(3, metric("m7_8k", name="m7", title="m7 ≤ 8 kHz", band=8000.0))
    metrics.append(metric("lag", direction="ideal"))
    metrics += [
        metric(f"m0@{group}", name="m0", title=f"m0, {group}", phones=group)
        for group in ("vowels", "nasals")
    ]
    columns = {("a", "copy", one.id): around(1.0) for one in metrics}
    results = results_of(columns, metrics)
    result = tables_of(results)
    heads = [[one.id for one in table.metrics] for table in result]
    assert heads[0] + heads[1] == [
        *("m0", "m1", "m2", "m7_8k", "m7", "m3", "m4", "m5", "m6", "m8"),
    ]
    assert heads[2:] == [["lag"], ["m0@vowels", "m0@nasals"]]
    assert max(map(len, heads)) <= 7
    assert result[-1].title == "Copy-synthesis, m0 by class of phones"


def test_numbers_have_decimals_for_their_size_and_a_true_minus() -> None:
    assert [formatting.decimal_places([value]) for value in (0.1, 12.0, 281.4, 5000.0)] == [
        3,
        2,
        1,
        0,
    ]
    assert formatting.format_fixed(-0.5, 2) == "\u22120.50"
    assert formatting.format_fixed(0.5, 2, signed=True) == "+0.50"
    assert formatting.format_fixed(-0.0004, 3) == "0.000"
    assert formatting.format_interval(-1, 2, 1, signed=True) == "[\u22121.0, +2.0]"


# Files


@pytest.mark.slow
def test_data_in_the_page_is_what_results_json_holds(tmp_path: Path) -> None:
    page, results = small_report(tmp_path, utterances=2)
    (data,) = re.findall(r'id="data">(.*?)</script>', page.read_text("utf-8"), flags=re.DOTALL)
    assert "<" not in data
    assert Results.model_validate_json(data) == results
    schema = json.loads((tmp_path / "results.schema.json").read_text())
    pytest.importorskip("jsonschema").validate(
        json.loads((tmp_path / "results.json").read_text()), schema
    )


@pytest.mark.slow
def test_data_that_is_too_large_for_the_page_is_left_out_by_parts() -> None:
    results = large_results()
    whole, missing = embed_results(results)
    assert missing == []
    part, missing = embed_results(results, max_bytes=len(whole) // 2)
    assert missing == ["values"]
    assert "summary" in json.loads(part)


@pytest.mark.slow
def test_how_it_was_made_is_told_and_written(tmp_path: Path) -> None:
    _, results = small_report(tmp_path, utterances=2)
    run = {"command": "wavewright evaluate --out <here>", "commit": "abc"}
    page = write_report(tmp_path, results, None, run=run)
    assert json.loads((tmp_path / "run.json").read_text()) == run
    text = page.read_text("utf-8")
    assert "wavewright evaluate --out &lt;here&gt;" in text
    assert 'href="run.json"' in text
    assert 'id="speed"' not in text


@pytest.mark.slow
def test_hostile_names_stay_text_in_page_and_markdown(tmp_path: Path) -> None:
    _, results = small_report(tmp_path, utterances=2)
    toy = SYSTEMS[2].model_copy(update={"title": HOSTILE_NAME, "source": HOSTILE_NAME})
    changed = results.model_copy(
        update={
            "systems": (*results.systems[:2], toy),
            "absent_metrics": {"pesq": HOSTILE_NAME},
        }
    )
    page = write_report(tmp_path, changed, made_up_speed())
    assert "<img src=x" not in page.read_text("utf-8")
    text = report_markdown(build_view(changed, made_up_speed()))
    assert "<img" not in text
    assert "[a](b)" not in text
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
