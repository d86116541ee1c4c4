"""The acoustic stage: trains, validates, draws, resumes exactly, and refuses what does not fit."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from wavewright.acoustic.tacotron2 import Tacotron2
from wavewright.checkpoints.checkpoint import load_model
from wavewright.data.manifest import write_manifest
from wavewright.data.shards import write_shards
from wavewright.errors import MelMismatch, WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.text.textgrid import Alignment, Interval, write_alignment
from wavewright_stages.acoustic import acoustic

SPEC = MelSpec.preset("hifigan").model_copy(update={"n_mels": 8})
CONFIG: dict[str, Any] = {
    "frames_per_step": 2,
    "encoder_width": 16,
    "prenet_width": 12,
    "attention_rnn_width": 24,
    "attention_width": 10,
    "decoder_rnn_width": 24,
    "postnet_width": 12,
    "guided_attention": 1.0,
}


def some_mel(utterance: str) -> np.ndarray:
    random = np.random.default_rng(int(utterance[1:]))
    return random.normal(-5, 1, (SPEC.n_mels, 14 + int(utterance[1:]))).astype(np.float32)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    prepared, mels = folder / "prepared", folder / "mels"
    prepared.mkdir()
    ids = [f"u{index:02d}" for index in range(12)]
    texts = ["Hello.", "Good evening, all.", "7 %"]
    rows = [
        {
            "id": id_,
            "audio": "audio",
            "samples": some_mel(id_).shape[1] * SPEC.hop_length,
            "sample_rate": SPEC.sample_rate,
            "speaker": "speaker",
            "text": texts[index % 2 if index != 3 else 2],
            "normalised_text": texts[index % 2 if index != 3 else 2],
            "split": "dev" if index > 8 else "train",
            "alignment": f"{id_}.TextGrid" if index % 2 == 0 and index < 8 else "",
            "flags": "",
            "reason": "",
        }
        for index, id_ in enumerate(ids)
    ]
    write_manifest(pd.DataFrame(rows), prepared / "manifest.parquet")
    write_shards(mels, ids, some_mel, mel=SPEC, sample_rate=SPEC.sample_rate)
    return prepared, mels


def run(inputs: tuple[Path, Path], out: Path, **options: Any) -> Path:
    usual = {
        "mel": SPEC,
        "seed": 1,
        "config": CONFIG,
        "batch_size": 4,
        "device": "cpu",
        "validation_utterances": 2,
        "spoken_utterances": 1,
    }
    acoustic(*inputs, None, out, **{**usual, **options})
    return out


@pytest.mark.slow
@pytest.mark.renders
def test_it_trains_validates_and_draws(
    inputs: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "wavewright")
    out = run(inputs, tmp_path, max_steps=3)
    assert "u03 is left out of the train split" in caplog.text
    model = load_model(out)
    assert isinstance(model, Tacotron2)
    assert model.mel_spec == SPEC
    assert model.config.frames_per_step == 2
    curve = [json.loads(line) for line in (out / "validation.jsonl").read_text().splitlines()]
    assert [line["step"] for line in curve] == [0, 1, 2, 3]
    assert {"mel", "postnet", "gate", "attention", "focus", "diagonality"} <= set(curve[0])
    assert {"free_coverage", "free_stopped"} <= set(curve[0])
    assert curve[-1]["mel"] < curve[0]["mel"]
    assert (out / "attention.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.renders
def test_a_resumed_run_equals_one_that_was_not_stopped(
    inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    whole = run(inputs, tmp_path / "whole", max_steps=4)
    run(inputs, tmp_path / "parts", max_steps=2)
    parts = run(inputs, tmp_path / "parts", max_steps=4)
    for key, value in load_model(whole).state_dict().items():
        assert torch.equal(value, load_model(parts).state_dict()[key]), key
    assert (whole / "attention.png").read_bytes() == (parts / "attention.png").read_bytes()


@pytest.mark.slow
def test_training_can_start_from_a_checkpoint(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    first = run(inputs, tmp_path / "first", max_steps=2)
    second = run(
        inputs,
        tmp_path / "second",
        max_steps=1,
        init_from=first,
        config={**CONFIG, "learning_rate": 1e-12},
    )
    for key, value in load_model(first).named_parameters():
        torch.testing.assert_close(value, load_model(second).get_parameter(key))


@pytest.mark.slow
def test_word_times_of_the_corpus_are_used_where_they_are(
    inputs: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("tgt")
    said = (Interval(0.01, 0.1, "hello"),)
    for index in range(0, 8, 2):
        path = inputs[0] / f"u{index:02d}.TextGrid"
        write_alignment(path, Alignment(words=said, phones=said, duration=0.16))
    caplog.set_level(logging.INFO, "wavewright")
    run(inputs, tmp_path, max_steps=1, config={**CONFIG, "aligned_attention": 1.0})
    assert "word times known for 4 of 8 utterances" in caplog.text


def test_mels_of_another_convention_are_refused(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(MelMismatch, match="fmax"):
        run(inputs, tmp_path, max_steps=1, mel=SPEC.model_copy(update={"fmax": 7600.0}))


def test_a_wrong_field_is_named(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(WavewrightError, match=r"encoder_widht.*encoder_width"):
        run(inputs, tmp_path, max_steps=1, config={"encoder_widht": 3})
