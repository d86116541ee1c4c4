"""Listening tests: equalized stimuli, blind pages, and webMUSHRA."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from ruamel.yaml import YAML

from tests.support.listeners import (
    SYSTEMS,
    made_test,
    systems_of,
    write_systems,
)
from tests.support.reports import HOSTILE, RATE, speech
from wavewright.audio.files import load_wav, save_wav
from wavewright.audio.loudness import decibels, measure_level
from wavewright.errors import WavewrightError
from wavewright.evaluation.listening.design import (
    ANCHOR,
    ListeningKey,
    ListeningOptions,
    TestKind,
    Trial,
    read_key,
)
from wavewright.evaluation.listening.page import parse_candidates, write_listening_test
from wavewright.evaluation.listening.plan import plan_test
from wavewright.evaluation.listening.stimuli import equalize, find_system_files
from wavewright.evaluation.listening.webmushra import export_webmushra

KINDS: tuple[TestKind, ...] = ("mos", "ab", "abx")


@pytest.fixture(scope="module")
def tests(tmp_path_factory: pytest.TempPathFactory) -> dict[TestKind, tuple[Path, ListeningKey]]:
    return {kind: made_test(tmp_path_factory.mktemp(kind), kind, utterances=8) for kind in KINDS}


# Sounds


def active_level(path: Path) -> float:
    level = measure_level(*load_wav(path))
    return decibels((level.energy / level.samples) ** 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_all_sounds_are_equally_loud_and_none_clips(
    tests: dict[TestKind, tuple[Path, ListeningKey]], kind: TestKind
) -> None:
    folder, key = tests[kind]
    paths = sorted((folder / "listeners" / "sounds").iterdir())
    assert [path.stem for path in paths] == sorted(key.sounds)
    levels = [active_level(path) for path in paths]
    assert max(levels) - min(levels) < 0.1
    assert np.mean(levels) == pytest.approx(key.level, abs=0.05)
    assert max(np.abs(load_wav(path)[0]).max() for path in paths) < 0.98


@pytest.mark.parametrize("kind", KINDS)
def test_sounds_of_an_utterance_are_equally_long(
    tests: dict[TestKind, tuple[Path, ListeningKey]], kind: TestKind
) -> None:
    folder, key = tests[kind]
    lengths: dict[str, set[int]] = {}
    for name, sound in key.sounds.items():
        info = soundfile.info(folder / "listeners" / "sounds" / f"{name}.wav")
        lengths.setdefault(sound.utterance, set()).add(info.frames)
        assert (info.samplerate, info.channels) == (RATE, 1)
    assert {len(result) for result in lengths.values()} == {1}


def test_another_timing_is_padded_and_not_cut(tmp_path: Path) -> None:
    for system, seconds in (("natural", 1.0), ("slow", 1.5)):
        (tmp_path / system).mkdir()
        save_wav(tmp_path / system / "a.wav", speech(0, seconds), RATE)
    sources = find_system_files(tmp_path / "natural", {"slow": tmp_path / "slow"})
    equalized = equalize(sources, "a", ["natural", "slow"], RATE)
    assert {len(wav) for wav in equalized.values()} == {round(1.5 * RATE)}
    assert not equalized["natural"][RATE:].any()
    assert np.abs(equalized["slow"][round(1.4 * RATE) :]).max() > 0.01


def test_a_loud_peak_lowers_all_sounds(tmp_path: Path) -> None:
    folders = write_systems(tmp_path, 2)
    wav, _ = load_wav(folders["natural"] / "utt-0.wav")
    wav = 0.1 * wav
    wav[5000] = 1.0
    save_wav(folders["natural"] / "utt-0.wav", wav, RATE)
    natural = folders.pop("natural")
    remarks = write_listening_test(
        "mos", natural, folders, tmp_path / "test", ListeningOptions(seed=1)
    )
    assert any("lowered to" in remark for remark in remarks)
    paths = list((tmp_path / "test" / "listeners" / "sounds").iterdir())
    levels = [active_level(path) for path in paths]
    assert max(levels) - min(levels) < 0.1
    assert max(levels) < -27
    assert max(np.abs(load_wav(path)[0]).max() for path in paths) < 0.98


def test_a_higher_rate_keeps_its_band(tmp_path: Path) -> None:
    folders = write_systems(tmp_path, 2)
    fast = tmp_path / "fast"
    fast.mkdir()
    for index in range(2):
        wav, _ = load_wav(folders["natural"] / f"utt-{index}.wav", 44100)
        save_wav(fast / f"utt-{index}.wav", wav, 44100)
    write_listening_test(
        "ab", folders["natural"], {"fast": fast}, tmp_path / "test", ListeningOptions()
    )
    assert read_key(tmp_path / "test" / "key.json").sample_rate == 44100


# Blindness


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_listeners_get_names_a_system(
    tests: dict[TestKind, tuple[Path, ListeningKey]], kind: TestKind
) -> None:
    folder, key = tests[kind]
    names = [path.stem for path in (folder / "listeners" / "sounds").iterdir()]
    assert all(re.fullmatch(r"[a-f][0-9a-f]{11}", name) for name in names)
    page = (folder / "listeners" / "index.html").read_text()
    assert [
        word for word in (*SYSTEMS, "utt-", ANCHOR, str(folder), '"seed"') if word in page
    ] == []
    data = page_data(page)
    assert data["test"] == key.test.model_dump(mode="json")
    assert data["sounds"] == {name: f"sounds/{name}.wav" for name in names}
    times = {path.stat().st_mtime_ns for path in (folder / "listeners" / "sounds").iterdir()}
    assert len(times) == 1


def test_the_same_seed_makes_the_same_test_and_another_seed_another(tmp_path: Path) -> None:
    folders = write_systems(tmp_path, 3)
    natural = folders.pop("natural")
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_listening_test("abx", natural, folders, tmp_path / out, ListeningOptions(seed=seed))
    a, b, c = (read_key(tmp_path / out / "key.json") for out in "abc")
    assert a == b
    assert a.test.id != c.test.id
    assert not set(a.sounds) & set(c.sounds)
    pages = [(tmp_path / out / "listeners" / "index.html").read_bytes() for out in "ab"]
    assert pages[0] == pages[1]


def test_other_sounds_under_the_same_seed_are_another_test(tmp_path: Path) -> None:
    folders = write_systems(tmp_path, 2)
    natural = folders.pop("natural")
    write_listening_test("mos", natural, folders, tmp_path / "a", ListeningOptions(seed=1))
    save_wav(natural / "utt-0.wav", speech(9), RATE)
    write_listening_test("mos", natural, folders, tmp_path / "b", ListeningOptions(seed=1))
    a, b = (read_key(tmp_path / out / "key.json").test.id for out in "ab")
    assert a != b


def test_each_system_is_as_often_a_as_b_and_as_often_x(
    tests: dict[TestKind, tuple[Path, ListeningKey]],
) -> None:
    _, ab = tests["ab"]
    firsts = [systems_of(ab, trial.stimuli)[0] for trial in asked(ab)]
    assert {firsts.count(system) for system in SYSTEMS} == {4}
    _, abx = tests["abx"]
    for candidate in SYSTEMS:
        crossed = [
            (systems_of(abx, trial.stimuli)[0], systems_of(abx, trial.references)[0])
            for trial in asked(abx)
            if candidate in systems_of(abx, trial.stimuli)
        ]
        assert {crossed.count(one) for one in crossed} == {2}
        assert len(set(crossed)) == 4


def asked(key: ListeningKey) -> list[Trial]:
    return [trial for trial in key.test.trials if trial.id not in key.checks]


def test_every_system_is_rated_on_every_utterance(
    tests: dict[TestKind, tuple[Path, ListeningKey]],
) -> None:
    _, key = tests["mos"]
    rated_pairs = sorted(
        (key.sounds[t.stimuli[0]].system, key.sounds[t.stimuli[0]].utterance) for t in asked(key)
    )
    assert rated_pairs == sorted((s, u) for s in ("natural", *SYSTEMS) for u in key.utterances)
    checks = [t for t in key.test.trials if t.id in key.checks]
    assert {key.sounds[t.stimuli[0]].system for t in checks} == {ANCHOR}
    practised = key.sounds[key.test.practice.stimuli[0]].utterance
    assert practised not in key.utterances


def test_text_of_anybody_stays_text(tmp_path: Path) -> None:
    folder, _ = made_test(tmp_path, "mos", title=HOSTILE, question=HOSTILE)
    page = (folder / "listeners" / "index.html").read_text()
    assert "<script>document" not in page
    assert page.count("</script>") == 2
    assert page_data(page)["test"]["question"] == HOSTILE


def page_data(page: str) -> dict[str, Any]:
    result = re.search(r'id="test">(.*?)</script>', page, re.S)
    assert result is not None
    data: dict[str, Any] = json.loads(result.group(1))
    return data


def test_a_single_file_holds_the_same_samples(tmp_path: Path) -> None:
    import base64
    import io

    folders = write_systems(tmp_path, 2)
    natural = folders.pop("natural")
    options = ListeningOptions(seed=1)
    write_listening_test("mos", natural, folders, tmp_path / "one", options, single_file=True)
    write_listening_test("mos", natural, folders, tmp_path / "many", options)
    assert [p.name for p in (tmp_path / "one" / "listeners").iterdir()] == ["index.html"]
    page = (tmp_path / "one" / "listeners" / "index.html").read_text()
    result = dict(re.findall(r'"([0-9a-f]{12})":"data:audio/flac;base64,([^"]+)"', page))
    beside = tmp_path / "many" / "listeners" / "sounds"
    assert sorted(result) == sorted(path.stem for path in beside.iterdir())
    for name, data in result.items():
        embedded, _ = soundfile.read(io.BytesIO(base64.b64decode(data)), dtype="int16")
        assert (embedded == soundfile.read(beside / f"{name}.wav", dtype="int16")[0]).all()


# Bad input


def test_folders_that_do_not_fit_are_named(tmp_path: Path) -> None:
    folders = write_systems(tmp_path, 2)
    natural = folders["natural"]
    with pytest.raises(WavewrightError, match="absent: no such folder"):
        find_system_files(natural, {"x": tmp_path / "absent"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(WavewrightError, match="empty: no audio file"):
        find_system_files(natural, {"x": tmp_path / "empty"})
    save_wav(tmp_path / "empty" / "other.wav", speech(0), RATE)
    with pytest.raises(WavewrightError, match=r"'utt-0' and the like, .* has 'other'"):
        find_system_files(natural, {"x": tmp_path / "empty"})
    save_wav(tmp_path / "empty" / "utt-0.wav", np.zeros(9000), RATE)
    with pytest.raises(WavewrightError, match=r"utt-0\.wav: silent"):
        write_listening_test(
            "ab", natural, {"x": tmp_path / "empty"}, tmp_path / "test", ListeningOptions()
        )
    assert not (tmp_path / "test").exists()
    assert not (tmp_path / ".test.partial").exists()


def test_utterances_that_somebody_lacks_are_left_out_and_said(tmp_path: Path) -> None:
    folders = write_systems(tmp_path, 3)
    (folders["noisy-one"] / "utt-1.wav").unlink()
    natural = folders.pop("natural")
    remarks = write_listening_test("mos", natural, folders, tmp_path / "test", ListeningOptions())
    assert remarks[0].startswith("left out 1 utterance")
    assert "'utt-1' (missing: noisy-one)" in remarks[0]
    assert read_key(tmp_path / "test" / "key.json").utterances == ("utt-0", "utt-2")


def test_names_and_folders_of_the_command_line_are_checked(tmp_path: Path) -> None:
    for wrong in ("name", "name=", "=x"):
        with pytest.raises(WavewrightError, match=r"NAME=DIR|not usable"):
            write_listening_test(
                "ab", tmp_path, parse_candidates([wrong]), tmp_path / "t", ListeningOptions()
            )
    with pytest.raises(WavewrightError, match="another NAME"):
        parse_candidates(["a=x", "a=y"])
    with pytest.raises(WavewrightError, match="'natural' and 'anchor' are taken"):
        write_listening_test(
            "ab", tmp_path, {"natural": tmp_path}, tmp_path / "t", ListeningOptions()
        )
    folders = write_systems(tmp_path / "systems", 1)
    natural = folders.pop("natural")
    with pytest.raises(WavewrightError, match="exists already and is not empty"):
        write_listening_test("ab", natural, folders, tmp_path / "systems", ListeningOptions())
    with pytest.raises(WavewrightError, match="at least one candidate"):
        plan_test("ab", [], ["a"], "a", ListeningOptions())


# webMUSHRA


def test_webmushra_gets_what_it_accepts(tmp_path: Path) -> None:
    folders = write_systems(tmp_path, 4)
    save_wav(folders["natural"] / "utt-3.wav", speech(3, 13.0), RATE)
    natural = folders.pop("natural")
    options = ListeningOptions(seed=4, title="<b>Voices</b>", utterances=2)
    remarks = export_webmushra(natural, folders, tmp_path / "out", options)
    assert remarks[0] == "left out 1 utterance of more than 12 s"
    (path,) = (tmp_path / "out" / "configs").glob("*.yaml")
    config = YAML(typ="safe").load(path.read_text())
    assert config["testname"] == "&lt;b&gt;Voices&lt;/b&gt;"
    assert path.stem == config["testId"]
    volume, asked_pages, finish = config["pages"]
    assert (asked_pages[0], finish["type"]) == ("random", "finish")
    assert soundfile.info(tmp_path / "out" / volume["stimulus"]).samplerate == 48000
    key = json.loads((tmp_path / "out" / "key.json").read_text())
    for page in asked_pages[1:]:
        assert (page["createAnchor35"], page["createAnchor70"]) == (True, True)
        sounds = [page["reference"], *page["stimuli"].values()]
        infos = [soundfile.info(tmp_path / "out" / sound) for sound in sounds]
        assert {info.samplerate for info in infos} == {48000}
        assert len({info.frames for info in infos}) == 1
        assert infos[0].duration <= 12
        assert sorted(key["conditions"][page["id"]]) == sorted(page["stimuli"])
        assert sorted(key["conditions"][page["id"]].values()) == sorted(SYSTEMS)
    texts = path.read_text() + "".join(map(str, (tmp_path / "out" / "configs").rglob("*")))
    assert not any(name in texts.replace(str(tmp_path), "") for name in SYSTEMS)


def test_webmushra_refuses_what_does_not_fit(tmp_path: Path) -> None:
    folders = write_systems(tmp_path, 1)
    many = {f"system{index}": folders["close-one"] for index in range(10)}
    with pytest.raises(WavewrightError, match="10 candidates; webMUSHRA takes 12 conditions"):
        export_webmushra(folders["natural"], many, tmp_path / "out", ListeningOptions())
    save_wav(folders["natural"] / "utt-0.wav", speech(3, 13.0), RATE)
    with pytest.raises(WavewrightError, match="no utterance of at most 12 s"):
        export_webmushra(
            folders["natural"], {"a": folders["close-one"]}, tmp_path / "out", ListeningOptions()
        )
