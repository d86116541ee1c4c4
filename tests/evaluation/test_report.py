"""The report: statistics, sentences, tables and a page that says the same, safely."""

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

from tests.support.reports import HOSTILE, RATE, small_report
from wavewright.evaluation.layout import pick_evenly
from wavewright.evaluation.report.ranking import rank_metric
from wavewright.evaluation.report.tables import results_csv
from wavewright.evaluation.report.view import build_view
from wavewright.evaluation.results import (
    Difference,
    MetricInfo,
    Results,
    Summary,
    System,
    Utterance,
    Value,
)
from wavewright.evaluation.statistics import compare_paired, estimate_mean, holm
from wavewright.evaluation.summary import distance, summarize
from wavewright.webpage import figures

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


# Statistics


def test_intervals_cover_the_mean_about_as_often_as_the_report_says() -> None:
    """94 to 96 of 100 where there are many, also of skewed values (docs/evaluation.md)."""
    rng = np.random.default_rng(0)
    for samples, mean in (
        (rng.normal(size=(300, 200)), 0.0),
        (rng.lognormal(size=(300, 200)), np.exp(0.5)),
    ):
        found = [estimate_mean(sample.tolist()) for sample in samples]
        covered = sum(one.low <= mean <= one.high for one in found)  # type: ignore[operator]
        assert 0.90 <= covered / 300 <= 0.985


def test_values_that_are_nearly_all_equal_get_no_absurd_interval() -> None:
    """One utterance of eight is clipped: most resamples have no spread at all."""
    found = estimate_mean([0.0] * 7 + [0.06])
    assert (found.low, found.n) == (0.0, 8)
    assert found.high == pytest.approx(0.0225, abs=0.01)


def test_a_pooled_ratio_weighs_its_denominators() -> None:
    """Two errors in 10 words and none in 30 are two in 40; its interval is that of the ratio."""
    found = estimate_mean([0.2, 0.0] * 10, weights=[10.0, 30.0] * 10)
    assert found.mean == pytest.approx(0.05)
    assert found.low < 0.05 < found.high  # type: ignore[operator]
    same = estimate_mean([0.2, 0.0] * 10, weights=[10.0, 10.0] * 10)
    plain = estimate_mean([0.2, 0.0] * 10)
    assert (same.low, same.high) == pytest.approx((plain.low, plain.high))


def test_pooled_ratios_of_two_systems_have_denominators_of_their_own() -> None:
    """An F1 weighs by what a system calls voiced: 8 of 10 and 1 of 30 pool to 9 of 40."""
    a, weights_a = [0.8, 1 / 30] * 10, [10.0, 30.0] * 10
    b, weights_b = [0.5, 0.5] * 10, [20.0, 20.0] * 10
    found = compare_paired(a, b, weights_a, weights_b)
    assert found.difference.mean == pytest.approx(9 / 40 - 0.5)
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 20, size=(4000, 20))
    ratios = [
        (np.array(v)[drawn] * np.array(w)[drawn]).sum(1) / np.array(w)[drawn].sum(1)
        for v, w in ((a, weights_a), (b, weights_b))
    ]
    low, high = np.percentile(ratios[0] - ratios[1], [2.5, 97.5])
    assert found.difference.low == pytest.approx(low, abs=0.3 * (high - low))
    assert found.difference.high == pytest.approx(high, abs=0.3 * (high - low))


def test_speakers_are_resampled_from_six_on() -> None:
    """Utterances of one speaker are alike, so that they tell less than as many speakers would."""
    rng = np.random.default_rng(2)
    speakers = [f"s{index // 10}" for index in range(80)]
    values = (np.repeat(rng.normal(size=8), 10) + 0.1 * rng.normal(size=80)).tolist()
    clustered, plain = estimate_mean(values, speakers=speakers), estimate_mean(values)
    assert clustered.high - clustered.low > 2 * (plain.high - plain.low)  # type: ignore[operator]
    few = [name if name in ("s0", "s1") else "s2" for name in speakers]
    assert estimate_mean(values, speakers=few) == plain
    gap = compare_paired([value + 0.01 for value in values], values, speakers=speakers)
    assert gap.test == "sign-flip by speaker"
    assert gap.p == pytest.approx(2 / 2**8)


def test_holm_steps_down() -> None:
    """His own example: three of four at 5 % are not told by Bonferroni."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.02, None, 0.6]) == [pytest.approx(0.04), None, pytest.approx(0.6)]
    assert holm([]) == []


@pytest.mark.parametrize(("n", "p"), [(5, None), (6, 2 / 2**6), (8, 2 / 2**8)])
def test_a_signed_rank_test_needs_six(n: int, p: float | None) -> None:
    found = compare_paired([1.0 + 0.1 * i for i in range(n)], [0.5] * n)
    assert (found.p is None) == (p is None)
    assert found.p == p or found.p == pytest.approx(p)
    assert found.effect is None or found.effect == 1.0


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


def test_undefined_values_are_counted_and_never_averaged() -> None:
    found = estimate_mean([1.0, None, 3.0, float("nan")])
    assert (found.mean, found.n, found.missing) == (2.0, 2, 2)
    assert estimate_mean([None]).mean is None
    assert estimate_mean([4.0]).low is None


def test_a_paired_difference_is_narrower_than_its_parts() -> None:
    rng = np.random.default_rng(1)
    hard = rng.normal(size=30).tolist()
    easier = [value - 0.1 + 0.001 * rng.normal() for value in hard]
    gap, alone = compare_paired(hard, easier).difference, estimate_mean(hard)
    assert gap.mean == pytest.approx(0.1, abs=0.01)
    assert gap.high - gap.low < 0.1 * (alone.high - alone.low)  # type: ignore[operator]


def values_of(**columns: list[float | None]) -> tuple[list[Utterance], list[Value]]:
    ids = [f"u{index}" for index in range(len(next(iter(columns.values()))))]
    rows = [
        Value(system=name, condition="copy", utterance=u, metric="mel_l1", value=value)
        for name, column in columns.items()
        for u, value in zip(ids, column, strict=True)
    ]
    return [Utterance(id=u, text="", seconds=1.0) for u in ids], rows


def files(*names: str) -> list[System]:
    return [System(id=name, title=name, kind="files") for name in names]


def test_means_are_taken_over_the_same_utterances() -> None:
    ids, rows = values_of(a=[1.0, 2.0, 9.0], b=[2.0, 3.0, None], never=[None, None, None])
    summary, differences = summarize(files("a", "b", "never"), ["copy"], [MEL_L1], ids, rows)
    found = {row.system: row for row in summary}
    assert (found["a"].mean, found["a"].n, found["a"].missing) == (1.5, 2, 0)
    assert (found["b"].mean, found["b"].n, found["b"].missing) == (2.5, 2, 1)
    assert (found["never"].mean, found["never"].missing) == (None, 3)
    assert (differences[0].a, differences[0].b, differences[0].mean) == ("a", "b", -1.0)


def test_the_order_of_systems_changes_no_number() -> None:
    ids, rows = values_of(a=[1.0, 2.0, 4.0], b=[2.0, 3.0, 4.0])
    one, _ = summarize(files("a", "b"), ["copy"], [MEL_L1], ids, rows)
    other, _ = summarize(files("b", "a"), ["copy"], [MEL_L1], ids, rows)
    assert set(one) == set(other)


def test_nearness_follows_the_direction_of_a_metric() -> None:
    higher = MEL_L1.model_copy(update={"direction": "higher", "ideal": 1.0})
    ratio = MEL_L1.model_copy(update={"direction": "ideal", "ideal": 1.0})
    assert distance(MEL_L1, 0.1) < distance(MEL_L1, 0.2)
    assert distance(higher, 0.9) < distance(higher, 0.8)
    assert distance(ratio, 1.05) < distance(ratio, 0.9)


# Words and tables


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
    turned = [
        row.model_copy(update={"metric": "mstft", "mean": 1 - (row.mean or 0)})
        for row in results.summary
    ]
    results = results.model_copy(
        update={"metrics": (MEL_L1, other), "summary": (*results.summary, *turned)}
    )
    assert verdict(results).endswith("By M-STFT, system b is first.")


def test_the_noisier_system_is_further_away(report: tuple[Path, Results]) -> None:
    _, results = report
    for metric in results.metrics_of("copy"):
        ranked = rank_metric(results, "copy", metric).ranked
        assert [row.system for row in ranked] == ["griffinlim", "toy-v1"]


def test_csv_and_json_hold_the_same_values(report: tuple[Path, Results]) -> None:
    page, results = report
    read = Results.model_validate_json((page.parent / "results.json").read_text())
    assert read == results
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
    found = [condition.in_sentence for condition in report[1].conditions]
    assert found == ["copy-synthesis", "GTA", "free-running TTS"]


def test_text_stays_text(report: tuple[Path, Results]) -> None:
    text = report[0].read_text("utf-8")
    page = Page(text)
    assert [script.get("type") for script in page.all("script")] == ["application/json", None]
    assert not page.all("b") or "<b>toys</b>" not in text
    assert HOSTILE in "".join(page.words)
    assert "{{ 7 * 7 }}" in text


def test_players_and_pictures_carry_the_right_sounds(report: tuple[Path, Results]) -> None:
    page, results = report
    read = Page(page.read_text("utf-8"))
    players = read.all("audio")
    failed = 1
    assert len(players) == len(results.utterances) * (1 + 2 * 2) - failed
    for player in players:
        wav, rate = soundfile.read(io.BytesIO(_decode(player["src"])), dtype="int16")
        assert rate == RATE
        utterance = (player["aria-label"] or "").partition(",")[0]
        if (player["aria-label"] or "").endswith("the recording"):
            file = page.parent / "wavs" / "natural" / "recording" / f"{utterance}.wav"
            assert np.array_equal(wav, soundfile.read(file, dtype="int16")[0])
    pictures = [image for image in read.all("img") if (image["alt"] or "").startswith("Mel")]
    assert len(pictures) == len(players)
    differences = [one["alt"] or "" for one in read.all("img") if one.get("class") == "difference"]
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


def test_what_the_size_budget_has_no_room_for_plays_from_the_folder(tmp_path: Path) -> None:
    whole, results = small_report(tmp_path / "whole")
    megabytes = 0.6 * whole.stat().st_size / 1e6
    part, _ = small_report(tmp_path / "part", max_megabytes=megabytes)
    assert part.stat().st_size <= megabytes * 1e6
    read = Page(part.read_text("utf-8"))
    assert len(read.all("article")) == len(results.utterances)
    files = [src for one in read.all("audio") if not (src := one["src"] or "").startswith("data:")]
    assert 0 < len(files) < len(read.all("audio"))
    assert all((part.parent / file).is_file() for file in files)
    policies = [Page(page.read_text("utf-8")).all("meta")[1]["content"] for page in (whole, part)]
    assert "media-src data:;" in (policies[0] or "")
    assert "media-src data: 'self' file:;" in (policies[1] or "")


def test_utterances_without_room_for_their_pictures_are_left_out(tmp_path: Path) -> None:
    page, results = small_report(tmp_path, max_megabytes=0.001)
    text = page.read_text("utf-8")
    assert "<article" not in text
    assert f"0 of {len(results.utterances)} utterances; the others are in" in text


def test_small_sounds_are_called_lossy(tmp_path: Path) -> None:
    page, _ = small_report(tmp_path, utterances=2, sounds="mp3")
    read = Page(page.read_text("utf-8"))
    assert all((one["src"] or "").startswith("data:audio/mpeg") for one in read.all("audio"))
    assert "Players hold MP3" in page.read_text("utf-8")
    assert page.read_text("utf-8").count("MP3, lossy") == len(read.all("audio"))


def test_equal_inputs_give_equal_bytes(tmp_path: Path, report: tuple[Path, Results]) -> None:
    again, _ = small_report(tmp_path)
    for name in ("index.html", "results.json", "results.csv", "report.md", "speed.json"):
        assert (again.parent / name).read_bytes() == (report[0].parent / name).read_bytes(), name


def test_shown_utterances_are_spread_over_the_set() -> None:
    assert pick_evenly(list(range(10)), 4) == [0, 3, 6, 9]
    assert pick_evenly(list(range(3)), 9) == [0, 1, 2]
    assert pick_evenly(list(range(10)), 1) == [0]


# Pictures


def test_the_colour_of_a_level_is_the_same_in_every_image() -> None:
    """One level, two images of different contrast: the same pixel."""
    from PIL import Image

    flat = np.full((80, 40), -4.0)
    busy = flat.copy()
    busy[:, 20:] = 1.5
    pixels = [
        np.asarray(Image.open(io.BytesIO(figures.mel_image(mel))).convert("RGB"), dtype=int)[40, 5]
        for mel in (flat, busy)
    ]
    assert np.abs(pixels[0] - pixels[1]).max() <= 6


def test_low_bands_lie_at_the_bottom() -> None:
    from PIL import Image

    mel = np.full((80, 40), figures.DARKEST)
    mel[:20] = figures.BRIGHTEST
    picture = np.asarray(Image.open(io.BytesIO(figures.mel_image(mel))).convert("L"), dtype=int)
    assert picture[-10:].mean() > 150 > picture[:10].mean()


@pytest.mark.parametrize("high", [0.003, 0.47, 1.0, 5.5, 20_000.0])
def test_axes_have_a_handful_of_round_ticks_within(high: float) -> None:
    ticks = figures.Axis(0, high, 0, 100).ticks()
    assert 3 <= len(ticks) <= 9
    assert all(0 <= tick <= high * (1 + 1e-9) for tick in ticks)


def test_labels_of_lines_that_end_together_do_not_overlap() -> None:
    curves = {name: [(0, 3.0), (10, 0.5)] for name in ("a", "b", "c")}
    chart = figures.training_curve(curves, {"level": 0.5}, "mel L1")
    heights = sorted(float(y) for y in re.findall(r'label[^>]*x="460" y="([\d.]+)"', chart))
    assert len(heights) == 4
    assert min(np.diff(heights)) >= 12


def test_chart_labels_are_escaped() -> None:
    chart = figures.interval_chart([("<i>x</i>", 1.0, 0.9, 1.1)])
    assert "<i>" not in chart
    assert "&lt;i&gt;" in chart


# Style


def _style() -> str:
    return (Path(figures.__file__).parent / "assets" / "style.css").read_text()


def _palettes() -> list[dict[str, str]]:
    light, dark = re.findall(r":root \{(.*?)\}", _style(), flags=re.DOTALL)[:2]
    return [dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in (light, dark)]


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("palette", _palettes(), ids=["light", "dark"])
@pytest.mark.parametrize("ink", ["ink", "soft", "accent", "s0", "s1", "s2", "s3", "s4"])
@pytest.mark.parametrize("ground", ["paper", "card", "wash"])
def test_text_has_enough_contrast(palette: dict[str, str], ink: str, ground: str) -> None:
    levels = sorted(_luminance(palette[name]) for name in (ink, ground))
    assert (levels[1] + 0.05) / (levels[0] + 0.05) >= 4.5


def test_results_have_a_schema_that_describes_them(report: tuple[Path, Results]) -> None:
    schema: dict[str, Any] = Results.model_json_schema()
    written = json.loads((report[0].parent / "results.json").read_text())
    assert set(written) == set(schema["properties"])
    assert written["schema_version"] == 2
