"""The data report: what it counts, groups, picks and plays, and that nothing in it runs."""

from __future__ import annotations

import base64
import io
import re
import time
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

import wavewright.audio.wav_header
import wavewright.data.corpus.quality
import wavewright.data.corpus.screening
from tests.support.prepared import (
    HOSTILE_TEXT,
    PHONE_LABELS,
    hostile_rows,
    left_out_row,
    manifest_row,
    varied_rows,
    write_corpus,
    write_tables,
)
from tests.support.reports import RATE, speech
from wavewright.audio.files import to_pcm16
from wavewright.data.corpus.report import clips as data_clips
from wavewright.data.corpus.report import figures as data_figures
from wavewright.data.corpus.report import phones as data_phones
from wavewright.data.corpus.report.charts import binned, common_edges, waveform
from wavewright.data.corpus.report.flags import count_flags, flag_meaning
from wavewright.data.corpus.report.measures import compute_measures
from wavewright.data.corpus.report.page import write_data_report
from wavewright.data.corpus.report.reasons import group_reasons, reason_kind
from wavewright.data.manifest import write_manifest
from wavewright.data.shards import Shards
from wavewright.errors import WavewrightError
from wavewright.text.phones import phone_class
from wavewright.webpage.render import printable


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("prepared"), hostile_rows())


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    return write_data_report(folder, title="Data of <i>toys</i>").read_text("utf-8")


def plain(html: str) -> str:
    """Visible text of a piece of HTML, in one line."""
    seen = re.sub(r"<(style|script|title)\b.*?</\1>|<[^>]*>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", seen.replace("\u00a0", " "))


def section(html: str, name: str) -> str:
    """Visible text of one section."""
    start = html.index(f'<section id="{name}"')
    after = re.search(r'<section id="|</main>', html[start + 1 :])
    assert after is not None
    return plain(html[start : start + 1 + after.start()])


def table_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows).sort_values("id", ignore_index=True)


def phones_of(folder: Path, rows: list[dict[str, Any]]) -> data_phones.Phones:
    write_manifest(table_of(rows), folder / "phones.parquet")
    return data_phones.read_phones(folder / "phones.parquet")


def players(html: str) -> dict[str, str]:
    """data: address by id."""
    found = re.findall(r'<audio [^>]*src="([^"]*)" aria-label="([^"]*)"', html)
    assert len({name for _, name in found}) == len(found), "an utterance is embedded twice"
    return {name: address for address, name in found}


def decoded(address: str) -> np.ndarray:
    data, rate = soundfile.read(io.BytesIO(base64.b64decode(address.split(",")[1])), dtype="int16")
    assert rate == RATE
    return np.asarray(data)


# The page


@pytest.mark.slow
def test_sections_come_in_the_order_of_the_questions(text: str) -> None:
    found = re.findall(r'<section id="([\w-]+)"', text)
    assert found == [
        "corpus", "left-out", "flags", "histograms", "odd", "phones", "normal", "method",
    ]  # fmt: skip
    links = re.findall(r'<a href="#([\w-]+)"', text)
    assert set(links) <= set(re.findall(r' id="([\w-]+)"', text))


def test_the_corpus_is_told_in_numbers(text: str) -> None:
    head = plain(text[: text.index('<section id="corpus"')])
    assert "40 of 44 utterances can be used" in head
    assert "3 utterances cannot be used" in head
    assert "1 utterance is left out by the split" in head
    assert "22,050 Hz, 16 bit, mono" in head
    corpus = section(text, "corpus")
    seconds = sum(row["seconds"] for row in hostile_rows() if not row["reason"])
    assert re.search(r"dev 4 10\.0%", corpus)
    assert re.search(rf"all 40 100\.0% {seconds / 3600:.3f} 100\.0% 3\b", corpus)


def test_an_empty_split_is_called_empty(tmp_path: Path) -> None:
    rows = [row | {"split": "test"} for row in varied_rows(6)]
    page = write_data_report(write_corpus(tmp_path, rows), title="x").read_text("utf-8")
    assert "Nothing is in train or dev." in plain(page)


def test_faults_stand_apart_from_what_the_split_leaves_out(text: str) -> None:
    found = section(text, "left-out")
    faults, split = found.split("Left out by the split")
    assert "3 utterances, by kind of reason" in faults
    assert re.search(r"too short 2 broken-1", faults)
    assert "same text" not in faults
    assert "1 utterance, by kind of reason" in split
    assert "same text as another, which is in dev 1 twin-1" in split


def test_flags_are_counted_and_explained(text: str) -> None:
    found = section(text, "flags")
    assert re.search(r"clipped more than one sample in a thousand .* 1 2\.5% made-000", found)
    assert "6_channels its file has 6 channels" in found


def test_nothing_left_out_and_nothing_odd_are_said(tmp_path: Path) -> None:
    page = write_data_report(write_corpus(tmp_path, varied_rows(12)), title="x").read_text("utf-8")
    assert "Nothing: every utterance of the corpus is used." in section(page, "left-out")
    assert "No usable utterance has a flag." in section(page, "flags")


def test_a_corpus_without_textgrids_has_no_section_of_phones(tmp_path: Path) -> None:
    rows = [row | {"phones": [], "phone_seconds": []} for row in varied_rows(12)]
    page = write_data_report(write_corpus(tmp_path, rows), title="x").read_text("utf-8")
    assert 'id="phones"' not in page
    assert "Words per second" in section(page, "histograms")
    assert "Phones per second" not in page


def test_a_corpus_without_texts_has_no_rates_of_text(tmp_path: Path) -> None:
    rows = varied_rows(12)
    for row in rows:
        row |= {"text": "", "normalised_text": "", "characters_per_second": 0.0}
    page = write_data_report(write_corpus(tmp_path, rows), title="x").read_text("utf-8")
    assert "no text" in section(page, "odd")
    assert "Characters per second" not in section(page, "histograms")
    assert 'id="odd-slowest"' not in page


def test_a_corpus_without_a_usable_utterance_still_has_a_page(tmp_path: Path) -> None:
    rows = [left_out_row("a", "a.wav: empty"), left_out_row("b", "b.wav: empty")]
    page = write_data_report(write_corpus(tmp_path, rows), title="x").read_text("utf-8")
    assert "0 of 2 utterances can be used" in plain(page)
    assert "<audio" not in page
    assert 'id="histograms"' not in page


def test_text_stays_text(text: str) -> None:
    assert "<title>Data of &lt;i&gt;toys&lt;/i&gt;</title>" in text
    assert len(re.findall(r"<script", text)) == 1
    for tag in ("<i>", "<img src=x", "<b>bert"):
        assert tag not in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", text)
    assert "[U+001B][31m&lt;script&gt;" in text
    assert "[U+202E]abc" in text
    assert "{{ 7 * 7 }} שלום" in text


def test_the_page_asks_for_nothing_from_outside(text: str) -> None:
    addresses = re.findall(r'(?:src|href)="([^"]*)"', text)
    allowed = ("data:", "#", "quarantine.csv", "manifest.parquet")
    assert all(address.startswith(allowed) for address in addresses)
    assert "default-src 'none'" in unescape(text)
    assert " style=" not in text


def test_pictures_and_tables_have_words(text: str) -> None:
    assert len(re.findall("<caption>", text)) == len(re.findall("<table", text)) > 5
    assert len(re.findall("<figcaption>", text)) == len(re.findall("<figure", text)) > 8
    pictures = re.findall(r"<(?:img|svg)\b[^>]*>", text)
    assert len(pictures) > 30
    assert all(re.search(r'(?:alt|aria-label)="[^"]{5,}', picture) for picture in pictures)


@pytest.mark.slow
def test_equal_inputs_give_equal_bytes(folder: Path, tmp_path: Path, text: str) -> None:
    again = write_corpus(tmp_path, list(reversed(hostile_rows())))
    page = write_data_report(again, title="Data of <i>toys</i>").read_text("utf-8")
    # Left out, in the order of the table; all else must not depend on the rows' order.
    assert page == text


# Errors


def test_a_missing_column_is_an_error(folder: Path, tmp_path: Path) -> None:
    frame = pd.read_parquet(folder / "manifest.parquet").drop(columns="snr_db")
    frame.to_parquet(tmp_path / "manifest.parquet")
    with pytest.raises(WavewrightError, match="snr_db"):
        write_data_report(tmp_path, title="x")


def test_tables_of_different_runs_are_an_error(tmp_path: Path) -> None:
    rows = [*varied_rows(3), left_out_row("gone", "gone.wav: empty")]
    write_corpus(tmp_path, rows)
    (tmp_path / "quarantine.csv").write_text("id,reason\n")
    with pytest.raises(WavewrightError, match="'gone'"):
        write_data_report(tmp_path, title="x")
    (tmp_path / "quarantine.csv").write_text("name,why\n")
    with pytest.raises(WavewrightError, match=r"\['name', 'why'\]"):
        write_data_report(tmp_path, title="x")


def test_phones_without_times_are_an_error(tmp_path: Path) -> None:
    rows = [manifest_row("a", phones=["AH", "B"], phone_seconds=[0.1])]
    with pytest.raises(WavewrightError, match="'a' has 2 phones, but 1 phone_seconds"):
        phones_of(tmp_path, rows)


# Reasons and flags


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("a.wav: too short: 0.032 s, the minimum is 0.100 s", "too short"),
        ("b.flac: silent (loudest 50 ms: -80 dBFS)", "silent"),
        ("c.wav: sample rate 2000 Hz is outside 4000 to 768000", None),
        ("left out: same text as made-003, which is in test", None),
        ("left out: in none of the split lists", "in none of the split lists"),
        ("duplicate id 'x-1': it appears on 3 lines", "duplicate id …"),
        ("line 7 has 4 columns, expected 3", "line … has … columns, expected …"),
        ("empty text on line 12", "empty text on line …"),
        ("", ""),
    ],
)
def test_reasons_of_one_kind_have_one_name(reason: str, kind: str | None) -> None:
    expected = {
        "c": "sample rate … Hz is outside … to …",
        "l": "same text as another, which is in test",
    }
    assert reason_kind(reason, {"made-003"}) == (expected[reason[0]] if kind is None else kind)


def test_groups_come_by_size_and_the_rest_is_counted() -> None:
    rows = [(f"u{i}", f"kind {'abcdefghijklmnopqrstuvwxyz'[i % 26]}") for i in range(60)]
    found = group_reasons(rows, set())
    assert found.count == 60
    assert len(found.shown) == 20
    assert [group.count for group in found.shown] == sorted(
        (group.count for group in found.shown), reverse=True
    )
    assert sum(group.count for group in found.shown) + found.other_count == 60
    assert all(len(group.examples) <= 3 for group in found.shown)


def test_every_flag_of_the_screening_has_an_explanation() -> None:
    modules = (
        wavewright.data.corpus.screening,
        wavewright.data.corpus.quality,
        wavewright.audio.wav_header,
    )
    source = "".join(Path(module.__file__ or "").read_text() for module in modules)
    found = re.findall(r'yield "(\w+)"|\["(\w+)"\] (?:if|for)', source)
    flags = {first or second for first, second in found} | {"less_gain", "12_channels"}
    flags |= set(re.findall(r'"((?:fast|slow)\w*)"', source))
    assert len(flags) > 8
    assert sorted(flag for flag in flags if not flag_meaning(flag)) == []


def test_a_flag_that_nobody_explains_is_shown_all_the_same() -> None:
    found = count_flags([("a", "brand_new"), ("b", "brand_new,clipped")])
    assert [(row.flag, row.count) for row in found] == [("brand_new", 2), ("clipped", 1)]
    assert found[0].meaning == ""


# Histograms


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_bins_hold_every_value_once(scale: float) -> None:
    values = scale * np.random.default_rng(0).normal(3, 1, 5000)
    bins = binned(values, common_edges(values))
    assert bins.counts.sum() + bins.below + bins.above == len(values)
    assert 10 <= len(bins.counts) <= 30
    assert bins.below + bins.above <= 0.01 * len(values)


def test_a_lone_giant_does_not_flatten_the_others() -> None:
    values = np.append(np.random.default_rng(0).uniform(1, 5, 999), 900.0)
    edges = common_edges(values)
    assert edges[-1] < 6
    assert binned(values, edges).above == 1
    figure = next(
        f for f in data_figures.measure_figures({"duration": values}) if f.title == "Duration"
    )
    assert "1 further right, up to 900.00 s." in figure.caption.replace("\u00a0", " ")


@pytest.mark.parametrize("value", [0.0, -23.0, 1e-9])
def test_equal_values_make_one_bar(value: float) -> None:
    bins = binned(np.full(7, value), common_edges(np.full(7, value)))
    assert bins.counts.max() == 7
    assert bins.below == bins.above == 0


def test_what_is_not_known_is_counted_and_not_drawn() -> None:
    column = np.array([30.0, 40.0, np.nan, np.inf])
    (figure,) = data_figures.measure_figures({"snr": column})
    assert "Not known of 2." in figure.caption
    assert "Median 35.0" in figure.caption
    assert data_figures.measure_figures({"snr": np.full(3, np.nan)}) == []


def test_levels_before_and_after_are_both_drawn_where_they_differ() -> None:
    level = np.random.default_rng(0).normal(-30, 2, 200)
    (same,) = data_figures.measure_figures({"level": level, "level_after": level})
    (moved,) = data_figures.measure_figures({"level": level, "level_after": level + 6})
    assert "outline" not in same.picture
    assert "no gain was applied" in same.caption
    assert 'class="outline"' in moved.picture


def test_many_speakers_make_a_bounded_figure() -> None:
    rows = [manifest_row(f"u{i:04d}", 1.0 + i, speaker=f"<s{i}>") for i in range(300)]
    figure = data_figures.speaker_figure(table_of(rows))
    assert figure is not None
    assert figure.picture.count("<rect") == 20
    assert "<s2" not in figure.picture
    assert "The 280 not drawn" in figure.caption
    assert data_figures.speaker_figure(table_of(rows[:1])) is None


# Phones


def test_phones_are_counted_by_class_and_label(tmp_path: Path) -> None:
    rows = [
        manifest_row("a", phones=["sil", "AH0", "B"], phone_seconds=[0.5, 0.1, 0.4]),
        manifest_row("b", phones=["AH1", "ŋ", "qq"], phone_seconds=[0.3, 0.1, 0.1]),
        manifest_row("c"),
    ]
    phones = phones_of(tmp_path, rows)
    classes = {row.name: row for row in data_phones.statistics_by_class(phones)}
    assert {name: row.count for name, row in classes.items()} == {
        "vowels": 2, "stops": 1, "nasals": 1, "other": 1, "silence": 1,
    }  # fmt: skip
    assert classes["vowels"].utterances == 2
    assert classes["vowels"].middle == pytest.approx(0.2)
    assert sum(row.share for row in classes.values()) == pytest.approx(1.0)
    labels = [row.name for row in data_phones.statistics_by_label(phones)]
    assert labels == ["AH0", "AH1", "B", "qq", "ŋ"]
    assert phones.aligned() == 2
    np.testing.assert_array_equal(phones.spoken(), [2, 3, np.nan])
    np.testing.assert_allclose(phones.longest(), [0.4, 0.3, np.nan], rtol=1e-6)


@pytest.mark.parametrize(
    ("label", "expected"),
    [("AA1", "vowels"), ("aɪ", "diphthongs"), ("iː", "vowels"), ("tʃ", "affricates"),
     ("ˈə", "vowels"), ("pʰ", "stops"), ("<eps>", "silence"), ("NG", "nasals"),
     ("ɹ", "liquids, glides"), ("spn", "other")],
)  # fmt: skip
def test_phones_of_both_alphabets_have_their_class(label: str, expected: str) -> None:
    assert phone_class(label) == expected


# Odd ones out and normal ones


def test_the_odd_ones_out_are_the_ends_of_the_order(tmp_path: Path) -> None:
    frame = table_of(varied_rows(40))
    values = compute_measures(frame, phones_of(tmp_path, varied_rows(40)))
    found = {item.heading: item for item in data_clips.find_extremes(values, 3)}
    assert found["Shortest"].rows == frame["seconds"].nsmallest(3).index.to_list()
    assert found["Noisiest"].rows == frame["snr_db"].nsmallest(3).index.to_list()
    assert found["Fastest"].rows == frame["characters_per_second"].nlargest(3).index.to_list()
    assert "Most clipped" not in found
    anchors = [item.anchor for item in found.values()]
    assert len(set(anchors)) == len(anchors)


def test_what_is_the_same_everywhere_is_not_odd() -> None:
    values = {"duration": np.array([1.0, 1.0, 1.0]), "snr": np.array([np.nan, 30.0, np.nan])}
    assert data_clips.find_extremes(values, 3) == []


def test_only_what_is_clipped_is_most_clipped() -> None:
    (found,) = data_clips.find_extremes({"clipped": np.array([0.0, 0.0, 2.0, 0.0])}, 3)
    assert (found.heading, found.rows) == ("Most clipped", [2])


def test_normal_ones_are_normal_and_drawn_by_their_ids(tmp_path: Path) -> None:
    rows = varied_rows(80)
    for row in rows[::4]:
        row["flags"] = "clipped"
    frame = table_of(rows)
    values = compute_measures(frame, phones_of(tmp_path, rows))
    chosen = data_clips.pick_typical(frame, values, 4)
    assert len(chosen) == 4
    assert (frame.loc[chosen, "flags"] == "").all()
    assert frame.loc[chosen, "speaker"].value_counts().to_dict() == {"anna": 2, "bert": 2}
    low, high = np.quantile(frame["snr_db"], (0.1, 0.9))
    assert frame.loc[chosen, "snr_db"].between(low, high).all()
    # Another table that holds these and others finds the same ones, wherever they stand.
    fewer = frame.drop(index=[i for i in range(80) if i % 7 == 0 and i not in chosen])
    assert set(data_clips.pick_typical(frame, {}, 80)) > set(data_clips.pick_typical(fewer, {}, 3))


# Sounds


def test_players_hold_the_prepared_samples(folder: Path, text: str) -> None:
    shards = Shards(folder / "audio")
    found = players(text)
    assert len(found) > 15
    for name, address in found.items():
        assert address.startswith("data:audio/flac")
        np.testing.assert_array_equal(decoded(address), shards.array(name))


@pytest.mark.slow
def test_a_small_page_holds_smaller_sounds_and_then_fewer(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "report.html").stat().st_size / 1e6
    write_corpus(tmp_path, hostile_rows())
    page = write_data_report(tmp_path, title="x", megabytes=0.75 * whole)
    assert page.stat().st_size <= 0.75e6 * whole
    found = players(page.read_text("utf-8"))
    assert set(found) == set(players((folder / "report.html").read_text("utf-8")))
    length = Shards(tmp_path / "audio").length
    for name, address in found.items():
        assert address.startswith("data:audio/mpeg")
        assert abs(len(decoded(address)) - length(name)) < 0.1 * RATE
    page = write_data_report(tmp_path, title="x", megabytes=0.35 * whole)
    assert page.stat().st_size <= 0.35e6 * whole
    fewer = page.read_text("utf-8")
    assert 0 < len(players(fewer)) < len(found)
    assert "not embedded" in fewer


@pytest.mark.slow
def test_a_long_utterance_is_cut_and_the_page_says_so(tmp_path: Path) -> None:
    rows = [*varied_rows(10), manifest_row("long", 31.0)]
    page = write_data_report(write_corpus(tmp_path, rows), title="x").read_text("utf-8")
    wav = decoded(players(page)["long"])
    assert abs(len(wav) / RATE - 30.0) < 0.1
    assert "its first 30 s" in plain(page)


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_a_tone_is_a_line_in_its_spectrogram(rate: int) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 0.15 * rate * np.arange(rate) / rate)
    levels = data_clips.spectrogram(to_pcm16(tone), rate)
    middle = levels[:, levels.shape[1] // 2]
    assert levels.shape[0] == 96
    assert abs(levels.shape[1] - 101) <= 1
    assert abs(int(middle.argmax()) - 0.15 / 0.5 * 96) <= 1
    assert -6 - 12 < middle.max() <= -6 + 1
    assert np.sort(middle)[-4] < middle.max() - 40


def test_a_sound_of_one_sample_has_pictures_too() -> None:
    one = np.zeros(1, dtype=np.int16)
    assert data_clips.spectrogram(one, RATE).shape[0] == 96
    assert "<path" in waveform(one, "one sample")


def test_a_waveform_reaches_as_far_as_its_samples() -> None:
    pcm = np.zeros(4800, dtype=np.int16)
    pcm[2400:2420] = 32767
    pcm[4780:] = -32768
    heights = [
        int(pair.split()[1])
        for pair in re.findall(r'd="M([^Z]*)Z', waveform(pcm, "x"))[0].split("L")
    ]
    assert (min(heights), max(heights)) == (0, 65)
    assert heights[:100] == [32] * 100


@pytest.mark.slow
@pytest.mark.parametrize("count", [20_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_very_many_utterances_make_a_page_of_the_same_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    class Endless:
        sample_rate = RATE
        pcm = to_pcm16(speech(0, 4.0))

        def __init__(self, folder: Path) -> None:
            pass

        def length(self, name: str) -> int:
            return len(self.pcm)

        def crop(self, name: str, start: int, stop: int) -> np.ndarray:
            return self.pcm[start:stop]

    monkeypatch.setattr("wavewright.data.shards.Shards", Endless)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame([manifest_row("u")] * count)
    frame["id"] = [f"u{i:06d}" for i in range(count)]
    frame["text"] = "<script>x</script>" * 40
    frame["speaker"] = [f"speaker {i % 4000}" for i in range(count)]
    frame["seconds"] = rng.gamma(4, 1.5, count)
    for name in ("level_dbfs", "peak_dbfs", "snr_db", "characters_per_second"):
        frame[name] = rng.standard_t(2, count)
    frame["flags"] = np.where(np.arange(count) % 3 == 0, "clipped", "")
    frame["phones"] = [list(PHONE_LABELS)] * count
    frame["phone_seconds"] = [[0.1] * len(PHONE_LABELS)] * count
    frame.loc[: count // 10, "reason"] = [
        f"f{i}.wav: too short: {i} s" for i in range(count // 10 + 1)
    ]
    frame.loc[: count // 10, "split"] = ""
    write_tables(tmp_path, frame.to_dict("records"))
    began = time.process_time()
    page = write_data_report(tmp_path, title="x")
    assert time.process_time() - began < 20
    assert page.stat().st_size < 6e6
    html = page.read_text("utf-8")
    assert 20 < len(players(html)) < 45
    around = re.sub(r'(src="data:|d="M)[^"]*"', "", html)
    assert len(around) < 300_000


# Texts


def test_visible_text_shows_what_would_not_be_seen() -> None:
    assert printable("a\x00b\x1b[2Jc\n") == "a[U+0000]b[U+001B][2Jc[U+000A]"
    assert printable("\u2066x\u2069\u200f") == "[U+2066]x[U+2069][U+200F]"
    assert printable("\x85\u2028") == "[U+0085][U+2028]"
    assert printable("é 漢字 שלום \u200d") == "é 漢字 שלום \u200d"
    assert printable("x" * 500, 10) == "x" * 9 + "…"
    assert "\x1b" not in printable(HOSTILE_TEXT)
