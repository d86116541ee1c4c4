"""The report: verdicts, tables, and a self-contained page with the same content."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.support.report_values import MEL_L1, files, values_of
from tests.support.reports import HOSTILE, RATE, small_report
from wavewright.evaluation.layout import pick_evenly
from wavewright.evaluation.report.ranking import rank_metric
from wavewright.evaluation.report.tables import results_csv
from wavewright.evaluation.report.view import build_view
from wavewright.evaluation.results import (
    Difference,
    Results,
    Summary,
)
from wavewright.evaluation.summary import summarize


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Results]:
    return small_report(tmp_path_factory.mktemp("report"))


class Page(HTMLParser):
    """Every element of a page with its attributes, and the text of the hostile sentence."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


# Verdicts and tables


@pytest.mark.slow
def test_systems_that_share_a_letter_cannot_be_told_apart(report: tuple[Path, Results]) -> None:
    """a is near b and b near c, but a and c differ: two letters, both of them b's."""
    names = ["a", "b", "c"]
    rows = [
        Summary(system=n, condition="copy", metric="mel_l1", mean=m, low=None, high=None,
                median=m, n=9, missing=0)
        for n, m in zip(names, (0.1, 0.2, 0.3), strict=True)
    ]  # fmt: skip
    gaps = [
        Difference(condition="copy", metric="mel_l1", a=a, b=b, mean=0.1, low=0.0, high=0.2, n=9,
                   p=p, corrected=p)
        for a, b, p in (("a", "b", 0.2), ("b", "c", 0.2), ("a", "c", 0.01))
    ]  # fmt: skip
    results = report[1].model_copy(
        update={"systems": files(*names), "summary": rows, "differences": gaps}
    )
    assert rank_metric(results, "copy", MEL_L1).letters == {"a": "a", "b": "ab", "c": "b"}


def verdict(results: Results) -> str:
    """Sentences about copy-synthesis."""
    return build_view(results).conditions["copy"].verdict


def with_values(results: Results, **columns: list[float | None]) -> Results:
    """The results with these mel L1 columns under copy-synthesis in place of all values."""
    ids, rows = values_of(**columns)
    summary, differences = summarize(files(*columns), ["copy"], [MEL_L1], ids, rows)
    names = {"natural": "natural speech", "a": "system a", "b": "system b"}
    systems = [
        results.systems[1].model_copy(update={"id": name, "title": names[name]}) for name in columns
    ]
    return results.model_copy(
        update={
            "systems": tuple(systems),
            "metrics": (MEL_L1,),
            "conditions": results.conditions[:1],
            "values": tuple(rows),
            "summary": summary,
            "differences": differences,
        }
    )


def test_the_answer_names_the_closest_system_and_by_how_much(
    report: tuple[Path, Results],
) -> None:
    results = with_values(report[1], a=[0.4] * 8, b=[0.1, 0.3] * 4)
    text = verdict(results)
    assert text.startswith("system b is closest to the recordings: mel L1 0.200 [")
    assert "against 0.400" in text
    assert "50% lower, p = 0.008 (n = 8)" in text


def test_a_difference_around_zero_is_no_victory(report: tuple[Path, Results]) -> None:
    results = with_values(report[1], a=[0.1, 0.4] * 4, b=[0.4, 0.1] * 4)
    text = verdict(results)
    assert "cannot be told apart" in text
    low, high = re.findall(r"difference \[(\S+), (\S+)\], p = 1\.000", text)[0]
    assert (low[0], high[0]) == ("\u2212", "+")
    (table,) = build_view(results).conditions["copy"].tables
    ranks = {s.title: c[0].rank for s, c in table.rows}
    assert sorted(ranks.values()) == ["best", "tie"]


def test_too_few_utterances_are_called_too_few(report: tuple[Path, Results]) -> None:
    results = with_values(report[1], a=[0.1] * 3, b=[0.4] * 3)
    assert "too few" in verdict(results)


def test_too_few_utterances_for_so_many_tests_are_said(report: tuple[Path, Results]) -> None:
    results = with_values(report[1], a=[0.1] * 7, b=[0.4] * 7)
    assert "too few" not in verdict(results)
    many = [gap for gap in results.differences for _ in range(6)]
    text = verdict(results.model_copy(update={"differences": tuple(many)}))
    assert "too few utterances for 6 tests" in text


def test_metrics_that_disagree_are_named(report: tuple[Path, Results]) -> None:
    results = with_values(report[1], a=[0.1] * 8, b=[0.4] * 8)
    other = MEL_L1.model_copy(update={"id": "mstft", "title": "M-STFT"})
    reversed_rows = [
        row.model_copy(update={"metric": "mstft", "mean": 1 - (row.mean or 0)})
        for row in results.summary
    ]
    results = results.model_copy(
        update={"metrics": (MEL_L1, other), "summary": (*results.summary, *reversed_rows)}
    )
    assert verdict(results).endswith("By M-STFT, system b is first.")


def test_the_noisier_system_is_further_away(report: tuple[Path, Results]) -> None:
    _, results = report
    for metric in results.metrics_for("copy"):
        ranked = rank_metric(results, "copy", metric).ranked
        assert [row.system for row in ranked] == ["griffinlim", "toy-v1"]


def test_csv_and_json_hold_the_same_values(report: tuple[Path, Results]) -> None:
    page, results = report
    parsed = Results.model_validate_json((page.parent / "results.json").read_text())
    assert parsed == results
    rows = list(csv.DictReader(io.StringIO((page.parent / "results.csv").read_text())))
    assert len(rows) == len(results.values)
    assert [float(row["value"]) for row in rows if row["value"]] == [
        value.value for value in results.values if value.value is not None
    ]
    assert results_csv(results) == (page.parent / "results.csv").read_text()


def test_markdown_tables_are_whole(report: tuple[Path, Results]) -> None:
    text = (report[0].parent / "report.md").read_text()
    assert "<b>" not in text
    assert "Not evaluated: this run made no GTA mels." in text
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        widths = {line.count("|") for line in block.splitlines()}
        assert len(widths) == 1, block


# The page


def test_the_page_asks_for_nothing_from_outside(report: tuple[Path, Results]) -> None:
    page = Page(report[0].read_text("utf-8"))
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "poster", "action", "data"):
            target = attributes.get(name) or ""
            assert not re.match(r"(https?:)?//", target), target
    assert "url(" not in report[0].read_text("utf-8")
    assert all(
        (link["href"] or "").startswith(("#", "wavs/", "results.", "speed.", "report."))
        for link in page.all("a")
    )


def test_relative_links_lead_to_files(report: tuple[Path, Results]) -> None:
    page = Page(report[0].read_text("utf-8"))
    anchors = {attributes.get("id") for _, attributes in page.elements}
    for link in page.all("a"):
        target = link["href"] or ""
        if target.startswith("#"):
            assert target[1:] in anchors, target
        else:
            assert (report[0].parent / target).exists(), target


def test_the_policy_allows_exactly_the_pages_own_style_and_script(
    report: tuple[Path, Results],
) -> None:
    text = report[0].read_text("utf-8")
    policy = Page(text).all("meta")[1]["content"] or ""
    assert policy.startswith("default-src 'none'")
    for tag in ("style", "script"):  # the other script holds data, which never runs
        bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
        assert len(bodies) == 1
        digest = base64.b64encode(hashlib.sha256(bodies[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert " style=" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)


def test_titles_keep_their_abbreviations_within_sentences(report: tuple[Path, Results]) -> None:
    result = [condition.title_in_sentence for condition in report[1].conditions]
    assert result == ["copy-synthesis", "GTA", "free-running TTS"]


def test_text_stays_text(report: tuple[Path, Results]) -> None:
    text = report[0].read_text("utf-8")
    page = Page(text)
    assert [script.get("type") for script in page.all("script")] == ["application/json", None]
    assert not page.all("b") or "<b>toys</b>" not in text
    assert HOSTILE in "".join(page.words)
    assert "{{ 7 * 7 }}" in text


def test_players_and_pictures_carry_the_right_sounds(report: tuple[Path, Results]) -> None:
    page, results = report
    parsed = Page(page.read_text("utf-8"))
    players = parsed.all("audio")
    failed = 1
    assert len(players) == len(results.utterances) * (1 + 2 * 2) - failed
    for player in players:
        wav, rate = soundfile.read(io.BytesIO(_decode(player["src"])), dtype="int16")
        assert rate == RATE
        utterance = (player["aria-label"] or "").partition(",")[0]
        if (player["aria-label"] or "").endswith("the recording"):
            file = page.parent / "wavs" / "natural" / "recording" / f"{utterance}.wav"
            assert np.array_equal(wav, soundfile.read(file, dtype="int16")[0])
    pictures = [image for image in parsed.all("img") if (image["alt"] or "").startswith("Mel")]
    assert len(pictures) == len(players)
    differences = [
        one["alt"] or "" for one in parsed.all("img") if one.get("class") == "difference"
    ]
    assert len(differences) == 2 * len(results.utterances)  # of copy-synthesis; none of TTS
    assert all("copy-synthesis" in alternative for alternative in differences)
    assert all(_decode(image["src"])[8:12] == b"WEBP" for image in pictures)
    assert any(re.search(r"mel L1 \d\.\d{3}", image["alt"] or "") for image in pictures)


def _decode(uri: str | None) -> bytes:
    return base64.b64decode((uri or "").partition("base64,")[2])


def test_tables_are_labelled_and_failures_are_told(report: tuple[Path, Results]) -> None:
    text = report[0].read_text("utf-8")
    page = Page(text)
    assert len(page.all("caption")) == len(page.all("table")) > 0
    assert all(head.get("scope") in ("row", "col") for head in page.all("th"))
    assert len(page.all("h1")) == 1
    assert "the vocoder gave values that are not finite" in text
    assert "1 undefined" in text
    assert "A note that the recipe passes in." in text
    assert "preparation set 1 utterance" in text


@pytest.mark.slow
def test_what_the_size_budget_has_no_room_for_plays_from_the_folder(tmp_path: Path) -> None:
    whole, results = small_report(tmp_path / "whole")
    megabytes = 0.6 * whole.stat().st_size / 1e6
    part, _ = small_report(tmp_path / "part", max_megabytes=megabytes)
    assert part.stat().st_size <= megabytes * 1e6
    parsed = Page(part.read_text("utf-8"))
    assert len(parsed.all("article")) == len(results.utterances)
    files = [
        src for one in parsed.all("audio") if not (src := one["src"] or "").startswith("data:")
    ]
    assert 0 < len(files) < len(parsed.all("audio"))
    assert all((part.parent / file).is_file() for file in files)
    policies = [Page(page.read_text("utf-8")).all("meta")[1]["content"] for page in (whole, part)]
    assert "media-src data:;" in (policies[0] or "")
    assert "media-src data: 'self' file:;" in (policies[1] or "")


@pytest.mark.slow
def test_utterances_without_room_for_their_pictures_are_left_out(tmp_path: Path) -> None:
    page, results = small_report(tmp_path, max_megabytes=0.001)
    text = page.read_text("utf-8")
    assert "<article" not in text
    assert f"0 of {len(results.utterances)} utterances; the others are in" in text


@pytest.mark.slow
def test_small_sounds_are_called_lossy(tmp_path: Path) -> None:
    page, _ = small_report(tmp_path, utterances=2, sounds="mp3")
    parsed = Page(page.read_text("utf-8"))
    assert all((one["src"] or "").startswith("data:audio/mpeg") for one in parsed.all("audio"))
    assert "Players hold MP3" in page.read_text("utf-8")
    assert page.read_text("utf-8").count("MP3, lossy") == len(parsed.all("audio"))


@pytest.mark.slow
def test_equal_inputs_give_equal_bytes(tmp_path: Path, report: tuple[Path, Results]) -> None:
    again, _ = small_report(tmp_path)
    for name in ("index.html", "results.json", "results.csv", "report.md", "speed.json"):
        assert (again.parent / name).read_bytes() == (report[0].parent / name).read_bytes(), name


def test_shown_utterances_are_spread_over_the_set() -> None:
    assert pick_evenly(list(range(10)), 4) == [0, 3, 6, 9]
    assert pick_evenly(list(range(3)), 9) == [0, 1, 2]
    assert pick_evenly(list(range(10)), 1) == [0]


def test_results_have_a_schema_that_describes_them(report: tuple[Path, Results]) -> None:
    schema: dict[str, Any] = Results.model_json_schema()
    written = json.loads((report[0].parent / "results.json").read_text())
    assert set(written) == set(schema["properties"])
    assert written["schema_version"] == 2
