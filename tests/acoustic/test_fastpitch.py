"""FastPitch: durations, pitch and energy by symbol; frames in order; noise and batches aside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from wavewright import registry
from wavewright.acoustic.fastpitch import FastPitch, symbol_of_frame
from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.models.acoustic import TextBatch
from wavewright.registry import acoustic_learns_from_pitch, create_model

SPEC = MelSpec.preset("hifigan").model_copy(update={"n_mels": 8})
SMALL: dict[str, Any] = {
    "mel": SPEC,
    "layers": 2,
    "width": 32,
    "head_width": 16,
    "filter_width": 48,
    "predictor_width": 24,
    "mel_shift": -5.0,
    "mel_scale": 2.0,
    "warmup_steps": 0,
}


def small(**changes: Any) -> FastPitch:
    torch.manual_seed(0)
    model = create_model("acoustic", "fastpitch", **{**SMALL, **changes})
    assert isinstance(model, FastPitch)
    return model


def batch_of(durations: list[list[int]], seed: int = 0) -> TextBatch:
    """Symbols 1, 2, ... for so many frames each, a mel and an F0 of each symbol's own."""
    rng = np.random.default_rng(seed)
    symbols, frames = [len(row) for row in durations], [sum(row) for row in durations]
    size = (len(durations), max(frames))
    text = torch.zeros(len(durations), max(symbols), dtype=torch.long)
    mel = torch.full((len(durations), SPEC.n_mels, max(frames)), -11.5)
    targets, f0 = torch.full(size, torch.nan), torch.zeros(size)
    for item, row in enumerate(durations):
        text[item, : len(row)] = torch.arange(1, len(row) + 1)
        index = np.repeat(np.arange(len(row)), row)
        mel[item, :, : len(index)] = torch.from_numpy(-5 + np.sin(index)[None] * np.ones((8, 1)))
        targets[item, : len(index)] = torch.from_numpy(index + rng.uniform(-0.4, 0.4, len(index)))
        f0[item, : len(index)] = torch.from_numpy(100.0 + 10 * index) * (
            torch.from_numpy(index) % 2
        )
    lengths, ids = torch.tensor(symbols), [f"u{i}" for i in range(len(durations))]
    return TextBatch(text, lengths, mel, torch.tensor(frames), ids, targets, None, f0)


def test_every_frame_belongs_to_one_symbol_in_order() -> None:
    durations = torch.tensor([[2, 0, 3], [1, 1, 0]])
    assert symbol_of_frame(durations, 5).tolist() == [[0, 0, 2, 2, 2], [0, 1, 2, 2, 2]]


def test_targets_are_counts_and_means_over_the_symbols_frames() -> None:
    """Pitch over voiced frames alone; 0 where a symbol has none."""
    model, batch = small(), batch_of([[3, 0, 2, 4], [2, 5]])
    assert batch.f0 is not None
    batch.f0[0, 5:7] = 0.0  # half of the last symbol's
    batch.f0[0, 7:9] = 200.0
    targets = model.symbol_targets(batch)
    assert targets.durations.tolist() == [[3, 0, 2, 4], [2, 5, 0, 0]]
    level = (np.log(200.0) - model.config.pitch_center) / model.config.pitch_scale
    assert targets.pitch[0].tolist() == pytest.approx([0.0, 0.0, 0.0, level], abs=1e-5)
    assert targets.pitch[1, 2:].tolist() == [0.0, 0.0]
    expected = [0.0, 0.0, np.sin(2) / 2, np.sin(3) / 2]
    assert targets.energy[0].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("frames", [[7], [40], [1]])
def test_teacher_forcing_gives_the_recordings_frames(frames: list[int]) -> None:
    model, batch = small().eval(), batch_of([[*frames, 2, 3], [1, 1]])
    outputs = model.teacher_force(batch, [0, 0])
    assert [output.mel.shape for output in outputs] == [(8, frames[0] + 5), (8, 2)]
    assert outputs[0].scores.order == outputs[0].scores.coverage == 1.0
    assert all(output.stopped for output in outputs)


def test_an_utterance_is_the_same_alone_and_in_a_batch() -> None:
    model, batch = small().eval(), batch_of([[2, 3, 4, 2], [3, 5]])
    alone = batch_of([[3, 5]])
    alone.mel, alone.f0 = batch.mel[1:, :, :8], batch.f0[1:, :8] if batch.f0 is not None else None
    together, single = model.teacher_force(batch, [0, 0])[1], model.teacher_force(alone, [0])[0]
    assert torch.allclose(together.mel, single.mel, atol=1e-5)
    texts = [[1, 2, 3, 4], [1, 2]]
    spoken = model.generate_batch(texts, seeds=[0, 1])
    assert torch.allclose(spoken[1].mel, model.generate([1, 2], seed=5).mel, atol=1e-5)


def test_it_learns_durations_pitch_and_mels_by_heart() -> None:
    model, batch = small(dropout=0.0).train(), batch_of([[3, 6, 2, 8], [4, 9]])
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(150):
        optimizer.zero_grad()
        for update in model.updates(batch, step):
            torch.autograd.backward(update.loss)
        optimizer.step()
    model.eval()
    outputs = model.generate_batch([[1, 2, 3, 4], [1, 2]], seeds=[0, 0])
    assert [output.mel.shape[1] for output in outputs] == [19, 13]
    assert float((outputs[0].mel - batch.mel[0, :, :19]).abs().mean()) < 0.2
    pitch = model(batch.text, batch.text_lengths).pitch
    assert torch.allclose(pitch, model.symbol_targets(batch).pitch, atol=0.2)


def test_a_limit_of_seconds_cuts_and_says_so() -> None:
    model = small().eval()
    torch.nn.init.constant_(model.duration_predictor.fc.bias, 3.0)
    whole = model.generate([1, 2, 3], seed=0)
    seconds = 10 * SPEC.hop_length / SPEC.sample_rate
    cut = model.generate([1, 2, 3], seed=0, max_seconds=seconds + 1e-6)
    assert whole.stopped
    assert whole.mel.shape[1] > 10
    assert not cut.stopped
    assert cut.mel.shape[1] == cut.alignment.shape[0] == 10


def test_without_times_or_f0_it_says_what_is_missing() -> None:
    model, batch = small(), batch_of([[2, 3], [4, 1]])
    assert batch.alignment_targets is not None
    batch.alignment_targets[1] = torch.nan
    with pytest.raises(WavewrightError, match="TextGrids: 'u1' has none"):
        next(model.updates(batch, 0))
    batch = batch_of([[2, 3]])
    batch.f0 = None
    with pytest.raises(WavewrightError, match="F0 tracks: run the stage 'pitch'"):
        next(model.updates(batch, 0))


def test_several_speakers_share_it() -> None:
    model = small(speakers=("ann", "ben")).eval()
    ann, ben = (model.generate([1, 2, 3], seed=0, speaker=name).mel for name in ("ann", "ben"))
    assert ann.shape != ben.shape or not torch.allclose(ann, ben)
    with pytest.raises(WavewrightError, match="several speakers: name one"):
        model.generate([1, 2, 3], seed=0)


def test_the_registry_knows_who_learns_from_pitch() -> None:
    for name in registry.plugins("acoustic"):
        assert acoustic_learns_from_pitch(name) == registry.find("acoustic", name).learns_from_pitch
    assert not acoustic_learns_from_pitch("nobody")


def test_its_official_size() -> None:
    """6 + 6 layers of 384 with filters of 1,536 make some 45 million weights."""
    model = create_model("acoustic", "fastpitch", symbols=tuple("_abcdefghijklmnopqrstuvwxyz"))
    assert 40e6 < model.parameter_count() < 50e6
