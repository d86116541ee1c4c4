"""Tacotron 2 against a run of NVIDIA's code with the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.official import FixtureFolder, OfficialRun
from wavewright.acoustic.tacotron2 import Tacotron2, rename_official
from wavewright.acoustic.tacotron2_config import Tacotron2Config
from wavewright.acoustic.tacotron2_layers import DecoderOutput
from wavewright.mel.spec import MelSpec
from wavewright.models.acoustic import TextBatch

OFFICIAL_GATE_BEYOND_THE_END = 1e3


@pytest.fixture(scope="module")
def official(fixture_folder: FixtureFolder) -> OfficialRun:
    return fixture_folder("tacotron2-nvidia-small")


@pytest.fixture(scope="module")
def batch(official: OfficialRun) -> TextBatch:
    values = {name: torch.from_numpy(value) for name, value in official.inputs.items()}
    return TextBatch(
        text=values["text"],
        text_lengths=values["text_lengths"],
        mel=values["mel"],
        mel_lengths=values["mel_lengths"],
        ids=["first", "second"],
    )


def built(official: OfficialRun, **changes: Any) -> Tacotron2:
    """Our model in the official run's configuration, with its weights."""
    theirs = official.config
    mel = MelSpec.preset("tacotron2").model_copy(update={"n_mels": theirs["n_mel_channels"]})
    fields = {
        "mel": mel,
        "encoder_width": theirs["encoder_embedding_dim"],
        "encoder_convolutions": theirs["encoder_n_convolutions"],
        "encoder_kernel": theirs["encoder_kernel_size"],
        "prenet_width": theirs["prenet_dim"],
        "attention_rnn_width": theirs["attention_rnn_dim"],
        "attention_width": theirs["attention_dim"],
        "attention_location_filters": theirs["attention_location_n_filters"],
        "attention_location_kernel": theirs["attention_location_kernel_size"],
        "decoder_rnn_width": theirs["decoder_rnn_dim"],
        "postnet_width": theirs["postnet_embedding_dim"],
        "postnet_convolutions": theirs["postnet_n_convolutions"],
        "postnet_kernel": theirs["postnet_kernel_size"],
        "gate_threshold": theirs["gate_threshold"],
        "ignore_padding": False,
    }
    model = Tacotron2(Tacotron2Config.model_validate({**fields, **changes}))
    model.load_inference_state(rename_official(official.state_dict))
    return model.eval()


def as_official(
    spoken_refined: tuple[DecoderOutput, Tensor], batch: TextBatch
) -> dict[str, Tensor]:
    """Their outputs hold fixed values beyond the end of each utterance."""
    spoken, refined = spoken_refined
    beyond = torch.arange(batch.mel.shape[2]) >= batch.mel_lengths[:, None]
    return {
        "mel": spoken.mel.masked_fill(beyond[:, None], 0.0),
        "mel_postnet": refined.masked_fill(beyond[:, None], 0.0),
        "gate": spoken.gate.masked_fill(beyond, OFFICIAL_GATE_BEYOND_THE_END),
        "align": spoken.alignment,
    }


def assert_equal(official: OfficialRun, ours: Mapping[str, Tensor]) -> None:
    for name, values in ours.items():
        theirs = torch.from_numpy(official.outputs[name])
        difference = float((values - theirs).abs().max())
        assert difference <= official.tolerance[name], name


def test_teacher_forced_without_dropout(official: OfficialRun, batch: TextBatch) -> None:
    with torch.inference_mode():
        outputs = as_official(built(official, prenet_dropout=0.0)(batch), batch)
    assert_equal(official, {f"{name}_nodrop": value for name, value in outputs.items()})


def test_teacher_forced_with_the_recorded_prenet_masks(
    official: OfficialRun, batch: TextBatch
) -> None:
    masks = torch.stack(
        [torch.from_numpy(official.inputs[f"prenet_mask_{layer}"]) for layer in (0, 1)], dim=2
    )
    # Their prenet also sees the last frame, which no step hears.
    with torch.inference_mode():
        outputs = as_official(built(official)(batch, masks[:-1].bool()), batch)
    assert_equal(official, {f"{name}_prenetmask": value for name, value in outputs.items()})


def test_loss(official: OfficialRun, batch: TextBatch) -> None:
    model = built(official, prenet_dropout=0.0)
    with torch.inference_mode():
        losses = model.losses(batch, *model(batch))
    total = torch.stack(list(losses.values())).sum()
    assert set(losses) == {"mel", "postnet", "gate"}
    assert float(total) == pytest.approx(float(official.outputs["loss"][0]), abs=9e-5)


def test_ignoring_padding_changes_only_padded_utterances(
    official: OfficialRun, batch: TextBatch
) -> None:
    model = built(official, prenet_dropout=0.0, ignore_padding=True)
    with torch.inference_mode():
        outputs = as_official(model(batch), batch)
        alone = as_official(model(second_alone(batch)), second_alone(batch))
    theirs = torch.from_numpy(official.outputs["mel_postnet_nodrop"])
    tolerance = official.tolerance["mel_postnet_nodrop"]
    assert float((outputs["mel_postnet"][0] - theirs[0]).abs().max()) <= tolerance
    assert float((outputs["mel_postnet"][1] - theirs[1]).abs().max()) > tolerance
    # What NVIDIA's code makes of the second utterance depends on the first; ours does not.
    shorter = alone["mel_postnet"].shape[2]
    difference = outputs["mel_postnet"][1, :, :shorter] - alone["mel_postnet"][0]
    assert float(difference.abs().max()) <= tolerance


def second_alone(batch: TextBatch) -> TextBatch:
    symbols, frames = int(batch.text_lengths[1]), int(batch.mel_lengths[1])
    return TextBatch(
        text=batch.text[1:, :symbols],
        text_lengths=batch.text_lengths[1:],
        mel=batch.mel[1:, :, :frames],
        mel_lengths=batch.mel_lengths[1:],
        ids=["second"],
    )


def test_free_running_speech(official: OfficialRun, batch: TextBatch) -> None:
    model = built(official, prenet_dropout=0.0)
    steps, threshold = official.config["max_decoder_steps"], official.config["gate_threshold"]
    text = batch.text[:1, : int(batch.text_lengths[0])]
    with torch.inference_mode():
        memory = model.encode_memory(text, torch.tensor([text.shape[1]]))
        masks = model.decoder.prenet.draw_masks([0], [steps])
        spoken, ended = model.decoder.generate(memory, masks, torch.tensor([steps]), threshold)
    assert_equal(
        official,
        {"infer_mel": spoken.mel, "infer_gate": spoken.gate, "infer_align": spoken.alignment},
    )
    assert ended.tolist() == [steps]
    speech = model.generate(
        text[0].tolist(),
        seed=0,
        max_seconds=steps * model.mel_spec.hop_length / model.mel_spec.sample_rate,
    )
    assert_equal(official, {"infer_mel_postnet": speech.mel[None]})
    assert not speech.stopped
