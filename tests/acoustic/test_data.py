"""Batches of texts and mels: padding, order, buckets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from wavewright.acoustic.data import TextMelData, collate, encode_texts
from wavewright.acoustic.tacotron2 import Tacotron2
from wavewright.data.shards import Shards, write_shards
from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import silent_mel

SPEC = MelSpec.preset("hifigan").model_copy(update={"n_mels": 4})
LENGTHS = {f"u{number:02d}": 10 + number * 7 % 23 for number in range(26)}
TEXTS = {id_: [1 + index % 5] * (2 + index % 9) for index, id_ in enumerate(LENGTHS)}


def made_mel(utterance: str) -> np.ndarray:
    return np.full((SPEC.n_mels, LENGTHS[utterance]), -float(utterance[1:]), dtype=np.float32)


@pytest.fixture
def mels(tmp_path: Path) -> Shards:
    write_shards(tmp_path, list(LENGTHS), made_mel, mel=SPEC, sample_rate=SPEC.sample_rate)
    return Shards(tmp_path)


def test_padding_is_symbol_zero_and_silence(mels: Shards) -> None:
    batch = collate(mels, SPEC, ["u01", "u02"], TEXTS)
    assert batch.text.shape == (2, 4)
    assert batch.text[0].tolist() == [2, 2, 2, 0]
    assert batch.mel_lengths.tolist() == [17, 24]
    assert (batch.mel[0, :, :17] == -1).all()
    assert bool((batch.mel[0, :, 17:] == torch.from_numpy(silent_mel(SPEC, 1))).all())
    assert (batch.mel[1] == -2).all()


def test_a_batch_depends_on_seed_and_step_alone(mels: Shards) -> None:
    first = TextMelData(mels, TEXTS, batch_size=4, seed=1)
    second = TextMelData(mels, TEXTS, batch_size=4, seed=1)
    forwards = [first.batch(step) for step in range(14)]
    for step in reversed(range(14)):
        again = second.batch(step)
        assert again.ids == forwards[step].ids
        assert torch.equal(again.mel, forwards[step].mel)
    other = TextMelData(mels, TEXTS, batch_size=4, seed=2)
    assert [other.batch(step).ids for step in range(6)] != [b.ids for b in forwards[:6]]


def test_an_epoch_holds_an_utterance_at_most_once_and_all_get_their_turn(mels: Shards) -> None:
    data = TextMelData(mels, TEXTS, batch_size=4, seed=1)
    assert len(data) == 6
    turns: Counter[str] = Counter()
    for epoch in range(20):
        ids = [id_ for step in range(6) for id_ in data.batch(epoch * 6 + step).ids]
        assert len(set(ids)) == 24
        turns.update(ids)
    assert set(turns) == set(LENGTHS)
    assert [data.batch(step).ids for step in range(6)] != [data.batch(6 + s).ids for s in range(6)]


def test_batches_hold_like_lengths(mels: Shards) -> None:
    data = TextMelData(mels, TEXTS, batch_size=4, seed=1)
    spread = [
        int(batch.mel_lengths.max() - batch.mel_lengths.min())
        for batch in map(data.batch, range(6))
    ]
    assert float(np.mean(spread)) < 6  # 16 on average without buckets


def test_a_corpus_smaller_than_a_batch_is_one_batch(mels: Shards) -> None:
    data = TextMelData(mels, dict(list(TEXTS.items())[:3]), batch_size=16, seed=0)
    assert len(data) == 1
    assert sorted(data.batch(7).ids) == ["u00", "u01", "u02"]


def test_utterances_over_the_limit_are_left_out(mels: Shards) -> None:
    data = TextMelData(mels, TEXTS, batch_size=4, seed=0, longest_frames=20)
    assert data.ids == sorted(id_ for id_, frames in LENGTHS.items() if frames <= 20)
    with pytest.raises(WavewrightError, match="under 5 frames"):
        TextMelData(mels, TEXTS, batch_size=4, seed=0, longest_frames=5)


def test_audio_shards_are_refused(tmp_path: Path) -> None:
    write_shards(
        tmp_path, ["a"], lambda _: np.zeros(10, dtype=np.int16), mel=None, sample_rate=22050
    )
    with pytest.raises(WavewrightError, match="audio where mels"):
        TextMelData(Shards(tmp_path), {"a": [1]}, batch_size=1, seed=0)


def test_unreadable_texts_are_named() -> None:
    model = Tacotron2.create("tacotron2", "small")
    encoded, refused = encode_texts(model, {"good": "Fine.", "bad": "50 %", "empty": " "})
    assert list(encoded) == ["good"]
    assert "PERCENT SIGN" in refused["bad"]
    assert "empty" in refused["empty"]
