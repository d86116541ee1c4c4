"""Splits: by list, by hash, and never the same text on both sides."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from wavewright.data.corpus.splits import read_split_lists, split_utterances
from wavewright.errors import WavewrightError

TEXTS = {
    f"u{i:03d}": f"Sentence number {chr(97 + i // 10)} {chr(97 + i % 10)}." for i in range(100)
}


def by_split(splits: dict[str, str]) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for name, split in sorted(splits.items()):
        result[split].append(name)
    return result


def test_by_hash() -> None:
    splits, left_out = split_utterances(TEXTS, {}, dev=4, test=6)
    found = by_split(splits)
    assert left_out == {}
    assert [len(found[s]) for s in ("train", "dev", "test")] == [90, 4, 6]
    # The choice is the ids' own: other utterances do not move it, nor does their order.
    fewer = dict(reversed([item for item in TEXTS.items() if item[0] not in found["train"][:50]]))
    assert by_split(split_utterances(fewer, {}, dev=4, test=6)[0])["test"] != []
    assert set(found["test"][:1]) <= set(TEXTS)
    again, _ = split_utterances(dict(reversed(TEXTS.items())), {}, dev=4, test=6)
    assert again == splits


def test_by_hash_of_a_small_corpus() -> None:
    few = dict(list(TEXTS.items())[:24])
    found = by_split(split_utterances(few, {}, dev=50, test=50)[0])
    assert [len(found[s]) for s in ("train", "dev", "test")] == [20, 2, 2]
    three = dict(list(TEXTS.items())[:3])
    found = by_split(split_utterances(three, {}, dev=50, test=50)[0])
    assert [len(found[s]) for s in ("train", "dev", "test")] == [1, 1, 1]
    with pytest.raises(WavewrightError, match="2 utterances are too few"):
        split_utterances(dict(list(TEXTS.items())[:2]), {}, dev=1, test=1)


def test_by_lists() -> None:
    lists = {"dev": ["u001", "u002", "elsewhere"], "test": ["u003"]}
    found = by_split(split_utterances(TEXTS, lists, dev=9, test=9)[0])
    assert (found["dev"], found["test"], len(found["train"])) == (["u001", "u002"], ["u003"], 97)
    splits, left_out = split_utterances(TEXTS, {**lists, "train": ["u004", "u005"]}, dev=9, test=9)
    assert by_split(splits)["train"] == ["u004", "u005"]
    assert left_out["u006"] == "left out: in none of the split lists"
    assert len(splits) + len(left_out) == 100


def test_the_hash_decides_what_the_lists_do_not() -> None:
    test = [f"u{i:03d}" for i in range(20)]
    found = by_split(split_utterances(TEXTS, {"test": test}, dev=5, test=9)[0])
    assert found["test"] == test
    assert len(found["dev"]) == 5
    assert not set(found["dev"]) & set(test)


def test_lists_that_miss_the_corpus_are_said_loudly(caplog: pytest.LogCaptureFixture) -> None:
    splits, _ = split_utterances(TEXTS, {"dev": ["x"], "test": ["u003"]}, dev=3, test=3)
    assert splits == split_utterances(TEXTS, {}, dev=3, test=3)[0]
    assert "THE OFFICIAL SPLIT IS NOT USED: its dev list names none of the 100" in caplog.text


def test_an_id_in_two_lists() -> None:
    with pytest.raises(WavewrightError, match="'u001' is in the lists of dev and of test"):
        split_utterances(TEXTS, {"dev": ["u001"], "test": ["u001", "u002"]}, dev=1, test=1)


def test_repeated_takes_go_together_by_hash() -> None:
    takes = {f"{name}_{take}": text for name, text in TEXTS.items() for take in "abc"}
    splits, left_out = split_utterances(takes, {}, dev=4, test=6)
    assert left_out == {}
    for name in TEXTS:
        assert len({splits[f"{name}_{take}"] for take in "abc"}) == 1
    assert len(by_split(splits)["test"]) == 18


def test_repeated_takes_are_left_out_by_list() -> None:
    texts = {**TEXTS, "again": TEXTS["u003"].upper() + "!", "and-again": TEXTS["u001"]}
    lists = {"dev": ["u001", "again"], "test": ["u003"]}
    splits, left_out = split_utterances(texts, lists, dev=1, test=1)
    assert left_out == {
        "again": "left out: same text as u003, which is in test",
        "and-again": "left out: same text as u001, which is in dev",
    }
    assert "again" not in splits


def test_list_files(tmp_path: Path) -> None:
    (tmp_path / "dev.txt").write_text("a.b_1\nDUMMY/LJ001-0001.wav|Text.\n\n x-2 \n")
    assert read_split_lists(tmp_path) == {"dev": ["a.b_1", "LJ001-0001", "x-2"]}
    with pytest.raises(WavewrightError, match=r"no train\.txt, dev\.txt or test\.txt"):
        read_split_lists(tmp_path / "nowhere")


def test_shipped_lists_are_the_official_ones(root: Path, shared: Path) -> None:
    ljspeech = read_split_lists(root / "recipes/ljspeech/splits")
    official = shared / "corpora/ljspeech-meta/filelists/nvidia-tacotron2"
    for split, name in (("dev", "val"), ("test", "test")):
        lines = (official / f"ljs_audio_text_{name}_filelist.txt").read_text().splitlines()
        assert sorted(ljspeech[split]) == sorted(line.partition(".")[0][6:] for line in lines)
    kathleen = (shared / "corpora/kathleen/splits/dev.txt").read_text().split()
    assert read_split_lists(root / "recipes/kathleen/splits") == {"test": kathleen}


def test_utterances_without_text_are_each_their_own() -> None:
    texts = {f"n{i}": "" for i in range(100)} | {f"t{i}": f"Text number {i}." for i in range(100)}
    splits, reasons = split_utterances(texts, {}, dev=5, test=5)
    assert reasons == {}
    assert sorted(Counter(splits.values()).items()) == [("dev", 5), ("test", 5), ("train", 190)]
    listed, left_out = split_utterances(texts, {"test": ["n0"], "dev": ["t0"]}, dev=5, test=5)
    assert left_out == {}
    assert Counter(listed.values())["train"] == 198


def test_speakers_can_be_kept_apart() -> None:
    texts = {
        f"{speaker}-{i}": f"{speaker} {i}" for speaker in "abcdefghijklmnopqrst" for i in range(9)
    }
    speakers = {name: name[0] for name in texts}
    splits, _ = split_utterances(texts, {}, dev=10, test=10, speakers=speakers)
    owners = {s: {splits[n] for n in texts if speakers[n] == s} for s in set(speakers.values())}
    assert all(len(found) == 1 for found in owners.values())
    # A tenth of twenty speakers, then of the eighteen left.
    assert Counter(splits.values()) == {"test": 18, "dev": 9, "train": 153}
    with pytest.raises(WavewrightError, match="speakers are too few"):
        split_utterances({"a": "A.", "b": "B."}, {}, dev=1, test=1, speakers={"a": "x", "b": "x"})
