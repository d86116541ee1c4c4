"""Alignment targets: word and phone times become a symbol index for every frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wavewright.acoustic.alignment_targets import (
    read_alignment_targets,
    targets_from_phones,
    targets_from_words,
)
from wavewright.acoustic.lexicon import phone_text
from wavewright.data.shards import Shards, write_shards
from wavewright.mel.spec import MelSpec
from wavewright.text.symbols import SYMBOLS, encode
from wavewright.text.textgrid import Alignment, Interval, write_alignment

SPEC = MelSpec.preset("hifigan").model_copy(update={"n_mels": 4})
FRAME = SPEC.hop_length / SPEC.sample_rate
TEXT = "ab, cd."


def alignment(*labels: str) -> Alignment:
    """A frame of silence, two words of four frames with two frames between, three of silence."""
    edges = [0, 1, 5, 7, 11, 14]
    words = tuple(
        Interval(start * FRAME, end * FRAME, label)
        for start, end, label in zip(edges[:-1], edges[1:], labels, strict=True)
    )
    return Alignment(words=words, phones=words, duration=14 * FRAME)


def test_symbols_pass_evenly_within_words_and_pauses() -> None:
    targets = targets_from_words(alignment("", "AB", "sil", "CD", ""), TEXT, SPEC, 14)
    assert targets is not None
    # The first word's two symbols take four frames, so each frame is half a symbol further.
    np.testing.assert_allclose(targets[1:5], [-0.25, 0.25, 0.75, 1.25], atol=1e-5)
    np.testing.assert_allclose(targets[5:7], [2.0, 3.0], atol=1e-5)  # the comma and the space
    np.testing.assert_allclose(targets[7:11], [3.75, 4.25, 4.75, 5.25], atol=1e-5)
    assert (np.diff(targets) >= 0).all()
    assert 5.5 < targets[11] < targets[13] <= 6.5  # the full stop, in the silence at the end


def test_another_number_of_words_says_nothing() -> None:
    assert targets_from_words(alignment("", "AB", "C", "X", ""), TEXT, SPEC, 14) is None
    assert targets_from_words(alignment("", "", "sil", "", ""), TEXT, SPEC, 14) is None


def test_labels_may_join_or_part_words() -> None:
    joined = targets_from_words(
        alignment("", "Of the", "", "Wolf", "dog"), "of the wolf-dog", SPEC, 14
    )
    assert joined is not None
    # Six symbols in four frames, then the space; the hyphen has no time of its own.
    np.testing.assert_allclose(joined[1:5], 6 * np.array([1, 3, 5, 7]) / 8 - 0.5, atol=1e-5)
    np.testing.assert_allclose(joined[7:11], 7 + np.array([1, 3, 5, 7]) / 2 - 0.5, atol=1e-5)
    assert 11.5 < joined[11] < 12.5


def test_phonemes_are_matched_by_the_number_of_words() -> None:
    targets = targets_from_words(
        alignment("", "one", "", "two", ""), "w\u02c8\u028cn t\u02c8u\u02d0", SPEC, 14
    )
    assert targets is not None
    np.testing.assert_allclose(targets[1:5], 4 * np.array([1, 3, 5, 7]) / 8 - 0.5, atol=1e-5)


def test_each_phone_of_a_phone_text_has_the_time_of_the_textgrid() -> None:
    edges = [0, 2, 5, 6, 10, 12, 14]
    labels = ["sil", "T", "ER", "sil", "N", ""]
    phones = tuple(
        Interval(start * FRAME, end * FRAME, label)
        for start, end, label in zip(edges[:-1], edges[1:], labels, strict=True)
    )
    said = Alignment(words=(), phones=phones, duration=14 * FRAME)
    written = [SYMBOLS[number] for number in encode(phone_text(said))]
    assert written == ["@T", "@ER", ",", " ", "@N", "."]
    targets = targets_from_phones(said, written, SPEC, 14)
    assert targets is not None
    # Symbol n lasts from place n - 0.5 to n + 0.5, so a frame's symbol is the nearest number.
    nearest_symbols = [written[n] for n in np.round(targets).astype(int)]
    assert (
        nearest_symbols[2:] == ["@T"] * 3 + ["@ER"] + [","] * 2 + [" "] * 2 + ["@N"] * 2 + ["."] * 2
    )
    np.testing.assert_allclose(targets[2:5], np.array([1, 3, 5]) / 6 - 0.5, atol=1e-5)
    assert (targets[:2] == -0.5).all()  # the silence before belongs to no symbol
    assert targets_from_phones(said, written[:-2], SPEC, 14) is None


def test_punctuation_that_stands_alone_is_no_word() -> None:
    assert targets_from_words(alignment("", "ab", "", "cd", ""), "ab - cd", SPEC, 14) is not None


def test_a_mel_may_be_a_frame_longer_than_its_textgrid() -> None:
    targets = targets_from_words(alignment("", "ab", "", "cd", ""), TEXT, SPEC, 15)
    assert targets is not None
    assert targets[-1] == pytest.approx(len(TEXT) - 0.5)


def test_utterances_without_a_fitting_textgrid_are_passed_over(tmp_path: Path) -> None:
    pytest.importorskip("tgt")
    write_shards(
        tmp_path / "mels",
        ["a", "b", "c"],
        lambda _: np.zeros((4, 14), dtype=np.float32),
        mel=SPEC,
        sample_rate=SPEC.sample_rate,
    )
    grids = {}
    for name, label in (("a", "cd"), ("b", "")):
        grids[name] = tmp_path / f"{name}.TextGrid"
        write_alignment(grids[name], alignment("", "ab", "", label, ""))
    texts = dict.fromkeys("abc", TEXT)
    assert list(read_alignment_targets(texts, grids, Shards(tmp_path / "mels"), SPEC)) == ["a"]
