"""Tacotron 2: size, lengths, independence of batch mates, attention, learning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from wavewright.acoustic.attention import attention_distance_loss, guided_attention_loss
from wavewright.acoustic.rnn import LoopLinear, lstm_cell
from wavewright.acoustic.tacotron2 import Tacotron2
from wavewright.checkpoints.checkpoint import load_model, save_checkpoint
from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import silent_mel
from wavewright.models.acoustic import TextBatch, utterance_seed
from wavewright.models.alignment_scores import score_alignment
from wavewright.text.symbols import IPA_SYMBOLS, SYMBOLS

MEL = MelSpec.preset("hifigan").model_copy(update={"n_mels": 8})
TINY: dict[str, Any] = {
    "mel": MEL,
    "encoder_width": 16,
    "prenet_width": 12,
    "attention_rnn_width": 24,
    "attention_width": 10,
    "attention_location_filters": 4,
    "attention_location_kernel": 7,
    "decoder_rnn_width": 24,
    "postnet_width": 12,
}


def tiny(**changes: Any) -> Tacotron2:
    torch.manual_seed(3)
    return Tacotron2.create("tacotron2", **{**TINY, **changes})


def some_batch(
    symbols: tuple[int, ...] = (9, 5, 7), frames: tuple[int, ...] = (25, 11, 18)
) -> TextBatch:
    generator = torch.Generator().manual_seed(5)
    text = torch.zeros(len(symbols), max(symbols), dtype=torch.int64)
    mel = torch.from_numpy(silent_mel(MEL, max(frames))).repeat(len(frames), 1, 1)
    for row, (length, count) in enumerate(zip(symbols, frames, strict=True)):
        text[row, :length] = torch.randint(1, 60, (length,), generator=generator)
        mel[row, :, :count] = torch.randn(MEL.n_mels, count, generator=generator) - 5
    ids = [f"utterance-{row}" for row in range(len(symbols))]
    return TextBatch(text, torch.tensor(symbols), mel, torch.tensor(frames), ids)


def item(batch: TextBatch, row: int) -> TextBatch:
    symbols, frames = int(batch.text_lengths[row]), int(batch.mel_lengths[row])
    return TextBatch(
        batch.text[row : row + 1, :symbols],
        batch.text_lengths[row : row + 1],
        batch.mel[row : row + 1, :, :frames],
        batch.mel_lengths[row : row + 1],
        [batch.ids[row]],
    )


def test_parameter_count_is_nvidias() -> None:
    model = Tacotron2.create("tacotron2", "nvidia")
    assert len(SYMBOLS) == 148
    assert model.parameter_count() == 28_193_153


@pytest.mark.parametrize("frames_per_step", [1, 2, 3])
def test_teacher_forced_mels_have_the_true_lengths(frames_per_step: int) -> None:
    batch = some_batch(frames=(25, 11, 18))
    speeches = tiny(frames_per_step=frames_per_step).eval().teacher_force(batch, [1, 2, 3])
    assert [speech.mel.shape for speech in speeches] == [(8, 25), (8, 11), (8, 18)]
    for speech, symbols, frames in zip(speeches, (9, 5, 7), (25, 11, 18), strict=True):
        assert speech.alignment.shape == (-(-frames // frames_per_step), symbols)
        torch.testing.assert_close(speech.alignment.sum(1), torch.ones(len(speech.alignment)))


@pytest.mark.parametrize("frames_per_step", [1, 3])
def test_a_batch_equals_its_items(frames_per_step: int) -> None:
    model, batch = tiny(frames_per_step=frames_per_step).eval(), some_batch()
    seeds = [utterance_seed(0, id_) for id_ in batch.ids]
    together = model.teacher_force(batch, seeds)
    for row, seed in enumerate(seeds):
        alone = model.teacher_force(item(batch, row), [seed])[0]
        torch.testing.assert_close(together[row].mel, alone.mel, atol=1e-4, rtol=0)
        torch.testing.assert_close(together[row].alignment, alone.alignment, atol=1e-5, rtol=0)


def test_prenet_noise_comes_from_the_utterances_seed_alone() -> None:
    model, batch = tiny().eval(), some_batch()
    torch.manual_seed(1)
    first = model.teacher_force(batch, [1, 2, 3])
    torch.manual_seed(2)
    again = model.teacher_force(batch, [1, 2, 4])
    assert torch.equal(first[0].mel, again[0].mel)
    assert torch.equal(first[1].mel, again[1].mel)
    assert not torch.equal(first[2].mel, again[2].mel)
    assert utterance_seed(0, "a") != utterance_seed(0, "b") != utterance_seed(1, "b")


def test_prenet_masks_keep_the_stated_share() -> None:
    masks = tiny(prenet_dropout=0.25).decoder.prenet.draw_masks([1, 2], [400, 300])
    assert masks.shape == (400, 2, 2, 12)
    assert float(masks[:, 0].float().mean()) == pytest.approx(0.75, abs=0.02)
    assert not masks[300:, 1].any()


def test_free_running_batch_equals_its_items() -> None:
    model = tiny(frames_per_step=2, gate_threshold=2.0).eval()
    texts = [[5, 6, 7, 8, 9], [10, 11, 12]]
    together = model.generate_batch(texts, seeds=[1, 2], max_seconds=0.25)
    for text, seed, speech in zip(texts, (1, 2), together, strict=True):
        alone = model.generate(text, seed=seed, max_seconds=0.25)
        torch.testing.assert_close(speech.mel, alone.mel, atol=1e-4, rtol=0)
        assert speech.mel.shape == (8, 22)  # 0.25 s are 21.5 frames
        assert not speech.stopped


def test_free_running_speech_ends_by_its_gate_or_by_a_limit_of_the_texts_length() -> None:
    model = tiny(frames_per_step=2, seconds_per_symbol=0.1).eval()
    with torch.no_grad():
        model.decoder.gate_layer.weight.zero_()
        model.decoder.gate_layer.bias.fill_(5.0)
    assert model.generate([5, 6, 7], seed=0).mel.shape == (8, 2)
    assert model.generate([5, 6, 7], seed=0).stopped
    with torch.no_grad():
        model.decoder.gate_layer.bias.fill_(-5.0)
    short, long = model.generate_batch([[5], [5] * 11], seeds=[0, 0])
    rate = MEL.sample_rate / MEL.hop_length
    assert long.mel.shape[1] - short.mel.shape[1] == pytest.approx(rate, abs=2)
    assert not long.stopped


def test_it_refuses_to_speak_in_training_mode() -> None:
    with pytest.raises(WavewrightError, match="eval"):
        tiny().train().teacher_force(some_batch(), [1, 2, 3])


def test_padding_adds_nothing_to_the_losses() -> None:
    model = tiny(guided_attention=1.0).eval()
    batch = some_batch(symbols=(9, 5), frames=(25, 11))
    both, _ = model.teacher_force_with_losses(batch, [1, 2])
    long, _ = model.teacher_force_with_losses(item(batch, 0), [1])
    short, _ = model.teacher_force_with_losses(item(batch, 1), [2])
    for name in ("mel", "postnet", "gate"):  # means over two rows of 25 frames
        expected = (25 * float(long[name]) + 11 * float(short[name])) / 50
        assert float(both[name]) == pytest.approx(expected, rel=1e-4)
    expected = (25 * float(long["attention"]) + 11 * float(short["attention"])) / 36
    assert float(both["attention"]) == pytest.approx(expected, rel=1e-4)


def diagonal(steps: int, symbols: int) -> Tensor:
    peaks = torch.linspace(0, symbols - 1, steps).round().long()
    return F.one_hot(peaks, symbols).float()


def test_guided_attention_falls_towards_the_diagonal() -> None:
    lengths = torch.tensor([30]), torch.tensor([10])
    shapes = [diagonal(30, 10), torch.full((30, 10), 0.1), diagonal(30, 10).flip(0)]
    losses = [float(guided_attention_loss(a[None], *lengths, sigma=0.2)) for a in shapes]
    assert losses[0] < 0.05 < 0.3 < losses[1] < losses[2] <= 1
    padded = F.pad(shapes[1], (0, 4, 0, 6))[None]
    assert float(guided_attention_loss(padded, *lengths, sigma=0.2)) == pytest.approx(losses[1])


def test_aligned_attention_knows_no_place_but_the_stated_ones() -> None:
    expected = torch.linspace(0, 9, 30)[None]
    sigma = torch.tensor([2.0])
    right, wrong = diagonal(30, 10), diagonal(30, 10).flip(0)
    assert float(attention_distance_loss(right[None], expected, sigma)) < 0.05
    assert float(attention_distance_loss(wrong[None], expected, sigma)) > 0.6
    half = expected.clone()
    half[:, 15:] = torch.nan
    mixed = torch.cat([right[:15], wrong[15:]])
    assert float(attention_distance_loss(mixed[None], half, sigma)) < 0.05
    assert float(attention_distance_loss(wrong[None], torch.full((1, 30), torch.nan), sigma)) == 0


@torch.inference_mode()
def test_known_places_become_a_loss_at_the_middle_of_each_step() -> None:
    model = tiny(aligned_attention=1.0, frames_per_step=3).eval()
    assert model.uses_alignment_targets
    batch = item(some_batch(), 1)  # 11 frames: the fourth step is not whole
    batch.alignment_targets = torch.arange(11.0)[None]
    decoder_output, refined = model(batch)
    loss = model.losses(batch, decoder_output, refined)["aligned"]
    expected = torch.tensor([[1.0, 4.0, 7.0, torch.nan]])
    same = attention_distance_loss(decoder_output.alignment, expected, torch.tensor([2.0]))
    assert float(loss) == pytest.approx(float(same))
    batch.alignment_targets = None
    assert "aligned" not in model.losses(batch, decoder_output, refined)


def test_guided_attention_fades_as_stated() -> None:
    model = tiny(guided_attention=1.0, guided_attention_steps=10, prenet_dropout=0.0).eval()
    at = [float(next(model.updates(some_batch(), step)).logs["attention"]) for step in (0, 5, 20)]
    assert at[1] == pytest.approx(at[0] / 2)
    assert at[2] == 0


def test_dropped_frames_are_unheard_in_training_only() -> None:
    still = {f"{part}_dropout": 0.0 for part in ("encoder", "prenet", "attention_rnn", "postnet")}
    model = tiny(frame_dropout=0.999, decoder_rnn_dropout=0.0, **still)
    batch = some_batch()
    louder = TextBatch(batch.text, batch.text_lengths, batch.mel + 1, batch.mel_lengths, batch.ids)

    def decoded(heard: TextBatch) -> Tensor:
        torch.manual_seed(0)
        decoder_output, _ = model(heard)
        mel: Tensor = decoder_output.mel
        return mel

    assert torch.equal(decoded(batch), decoded(louder))
    model.eval()
    assert not torch.equal(decoded(batch), decoded(louder))


def test_the_gate_can_weigh_the_end() -> None:
    batch, seeds = some_batch(), [1, 2, 3]
    plain, heavy = (
        tiny(gate_end_weight=w).eval().teacher_force_with_losses(batch, seeds)[0]
        for w in (1.0, 9.0)
    )
    assert float(heavy["gate"]) > float(plain["gate"])


def test_alignment_scores_tell_good_from_bad() -> None:
    good = score_alignment(diagonal(30, 10))
    assert good.focus == 1
    assert good.coverage == 1
    assert good.order == 1
    assert good.diagonality > 0.85
    even = score_alignment(torch.full((30, 10), 0.1))
    assert even.focus == pytest.approx(0.1)
    assert even.diagonality == pytest.approx(0, abs=1e-5)
    stuck = score_alignment(F.one_hot(torch.zeros(30, dtype=torch.int64), 10).float())
    assert stuck.coverage == pytest.approx(0.2)
    assert score_alignment(diagonal(30, 10).flip(0)).order < 0.9


def test_loop_linear_has_the_gradients_of_a_linear_map() -> None:
    torch.manual_seed(0)
    weight = torch.randn(8, 2, requires_grad=True)
    inputs = torch.randn(5, 3, 2, requires_grad=True)

    def run(linear: Any) -> tuple[Tensor, ...]:
        hidden, total = inputs[0], torch.zeros(())
        for step in inputs:
            hidden, _ = lstm_cell(linear(hidden + step), torch.zeros(3, 2))
            total = total + hidden.square().sum()
        return torch.autograd.grad(total, (weight, inputs))

    for ours, torchs in zip(
        run(LoopLinear(weight)), run(lambda x: F.linear(x, weight)), strict=True
    ):
        torch.testing.assert_close(ours, torchs)


def test_lstm_cell_is_torchs() -> None:
    torch.manual_seed(0)
    cell = torch.nn.LSTMCell(3, 4)
    x, hidden, memory = torch.randn(2, 3), torch.randn(2, 4), torch.randn(2, 4)
    gates = F.linear(x, cell.weight_ih, cell.bias_ih)
    gates = gates + F.linear(hidden, cell.weight_hh, cell.bias_hh)
    for ours, torchs in zip(lstm_cell(gates, memory), cell(x, (hidden, memory)), strict=True):
        torch.testing.assert_close(ours, torchs)


@pytest.mark.slow
def test_two_utterances_can_be_learnt_by_heart() -> None:
    model = tiny(
        frames_per_step=2,
        guided_attention=1.0,
        mel_shift=-5.0,
        encoder_dropout=0.0,
        postnet_dropout=0.0,
        prenet_dropout=0.1,
        learning_rate=1e-2,
    ).train()
    batch = some_batch(symbols=(6, 8), frames=(16, 22))
    rate = model.optimizer_config("generator").learning_rate
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    losses = []
    for step in range(80):
        (update,) = model.updates(batch, step)
        optimizer.zero_grad()
        update.loss.backward(inputs=list(model.parameters()))  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(update.loss.detach()))
    assert set(update.logs) == {"mel", "postnet", "gate", "attention"}
    assert losses[-1] < losses[0] / 5


def test_a_checkpoint_brings_config_and_weights_back(tmp_path: Path) -> None:
    model = tiny(frames_per_step=2).eval()
    save_checkpoint(tmp_path, 5, model)
    loaded = load_model(tmp_path)
    assert isinstance(loaded, Tacotron2)
    assert loaded.config == model.config
    batch = some_batch()
    ours, theirs = (m.teacher_force(batch, [1, 2, 3])[2].mel for m in (model, loaded))
    assert torch.equal(ours, theirs)


def test_texts_become_numbers_of_the_models_symbols() -> None:
    model = tiny()
    numbers = model.encode_text("Hello — “world”")
    assert "".join(model.symbols[number] for number in numbers) == "hello - world"
    with pytest.raises(WavewrightError, match="漢"):
        model.encode_text("漢")


def test_phonemes_bring_their_own_symbols() -> None:
    pytest.importorskip("espeakng_loader")
    model = tiny(phonemes="en-us")
    assert model.symbols == IPA_SYMBOLS
    decoder_output = "".join(model.symbols[number] for number in model.encode_text("Hello, world."))
    assert "\u02c8" in decoder_output  # the stress mark
    assert decoder_output.endswith(".")


@pytest.mark.parametrize(
    ("field", "value"),
    [("encoder_kernel", 4), ("frames_per_step", 6), ("prenet_dropout", 1.0), ("postnet", 3)],
)
def test_a_wrong_configuration_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(WavewrightError, match=field):
        Tacotron2.create("tacotron2", **{**TINY, field: value})
