"""The utterance table: complete, checked on reading, the same bytes for the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from wavewright.data.manifest import (
    COLUMNS,
    LISTS,
    check_id,
    read_manifest,
    usable_rows,
    write_manifest,
)
from wavewright.errors import WavewrightError


def row(utterance: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": utterance,
        "audio": f"wavs/{utterance}.wav",
        "samples": 22050,
        "sample_rate": 22050,
        "speaker": "speaker",
        "text": "Ten.",
        "normalised_text": "ten.",
        "split": "train",
        "alignment": "",
        "flags": "",
        "reason": "",
        **changes,
    }


ROWS = [
    row("c", split="dev"),
    row("a", flags="clipped,quiet"),
    row("d", split="", reason="empty text"),
    row("b", split="test", text='He said "ä", then\nleft | 1'),
]


def test_what_is_written_is_read_sorted_by_id(tmp_path: Path) -> None:
    write_manifest(pd.DataFrame(ROWS), tmp_path / "m.parquet")
    frame = read_manifest(tmp_path / "m.parquet", lists=True)
    assert list(frame.columns) == [*COLUMNS, *LISTS]
    assert list(read_manifest(tmp_path / "m.parquet").columns) == list(COLUMNS)
    assert frame[list(ROWS[0])].to_dict("records") == sorted(ROWS, key=lambda each: each["id"])
    assert [path.name for path in tmp_path.iterdir()] == ["m.parquet"]


def test_what_is_not_known_is_nan_or_empty(tmp_path: Path) -> None:
    rows = [
        row("a", snr_db=31.5, phones=["HH", "AH0"], phone_seconds=[0.1, 0.2]),
        row("b"),
    ]
    for name, chosen in (("both", rows), ("neither", rows[1:])):
        write_manifest(pd.DataFrame(chosen), tmp_path / f"{name}.parquet")
    both = read_manifest(tmp_path / "both.parquet", lists=True).to_dict("records")[0]
    assert both["snr_db"] == 31.5
    assert list(both["phones"]) == ["HH", "AH0"]
    assert list(both["phone_seconds"]) == [0.1, 0.2]
    empty = read_manifest(tmp_path / "neither.parquet", lists=True).iloc[0]
    assert np.isnan(empty["snr_db"])
    assert len(empty["phones"]) == len(empty["phone_seconds"]) == 0


def test_the_bytes_do_not_depend_on_the_order(tmp_path: Path) -> None:
    write_manifest(pd.DataFrame(ROWS), tmp_path / "a.parquet")
    write_manifest(pd.DataFrame(ROWS[::-1]), tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_usable_leaves_out_the_quarantined(tmp_path: Path) -> None:
    write_manifest(pd.DataFrame(ROWS), tmp_path / "m.parquet")
    frame = read_manifest(tmp_path / "m.parquet")
    assert usable_rows(frame)["id"].tolist() == ["a", "b", "c"]
    assert usable_rows(frame, "train")["id"].tolist() == ["a"]
    assert usable_rows(frame, "test")["id"].tolist() == ["b"]


@pytest.mark.parametrize("utterance", ["LJ001-0001", "a", "A.b_c-9", "x" * 128, ".hidden"])
def test_legal_ids_pass(utterance: str) -> None:
    assert check_id(utterance) == utterance


@pytest.mark.parametrize("utterance", ["CON", "nul", "Com1", "aux.wav"])
def test_names_that_windows_reserves_are_refused(utterance: str) -> None:
    with pytest.raises(WavewrightError, match="Windows reserves this name"):
        check_id(utterance)


@pytest.mark.parametrize(
    "utterance",
    ["", ".", "..", "a/b", "../a", "a b", "a\n", "ä", "a|b", "x" * 129, "a;rm", "a\0", "C:a"],
)
def test_illegal_ids_are_refused_before_they_become_paths(utterance: str) -> None:
    with pytest.raises(WavewrightError, match="use 1 to 128 letters, digits"):
        check_id(utterance)


def test_a_missing_column_is_named_and_nothing_written(tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS).drop(columns=["speaker", "flags"])
    with pytest.raises(WavewrightError, match=r"lacks the columns \['flags', 'speaker'\]"):
        write_manifest(frame, tmp_path / "m.parquet")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([row("a"), row("a")], "the id 'a' appears more than once"),
        ([row("a/b")], "utterance id 'a/b' is not allowed"),
        ([row("a", split="valid")], "unknown split"),
    ],
)
def test_reading_refuses_what_could_do_harm(
    tmp_path: Path, rows: list[dict[str, Any]], words: str
) -> None:
    path = tmp_path / "m.parquet"
    frame = pd.DataFrame(rows).reindex(columns=[*COLUMNS, *LISTS])
    frame.to_parquet(path)
    with pytest.raises(WavewrightError, match=words):
        read_manifest(path)


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(WavewrightError, match=r"none\.parquet: no such manifest"):
        read_manifest(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("id,audio\n")
    with pytest.raises(WavewrightError, match=r"text\.parquet: not a manifest of ours"):
        read_manifest(tmp_path / "text.parquet")
    pd.DataFrame({"id": ["a"]}).to_parquet(tmp_path / "less.parquet")
    with pytest.raises(WavewrightError, match=r"less\.parquet: not a manifest of ours.*audio"):
        read_manifest(tmp_path / "less.parquet")
