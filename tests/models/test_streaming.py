"""Streams of every convolutional vocoder: joined they are the whole, however the mel was cut."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.support import tiny
from wavewright import testing
from wavewright.audio.filters import Gain, PreEmphasis
from wavewright.errors import WavewrightError
from wavewright.inference.optimize import optimize_for_inference
from wavewright.models.streamable import Streamable, can_stream, require_streamable
from wavewright.models.streaming import BlockState, StreamBlock, rechunk
from wavewright.models.vocoder import Vocoder
from wavewright.nn.noise import NoiseSampler, NoiseSpec
from wavewright.nn.receptive_field import ReceptiveField, Span, input_span
from wavewright.registry import create_vocoder, list_vocoders
from wavewright.vocoders.parallel_wavegan import ParallelWaveGAN, ParallelWaveGANConfig
from wavewright.vocoders.vocos import ConvNeXtBlock, Vocos

CONVOLUTIONAL = [
    name
    for name in list_vocoders(conditioning="mel")
    if getattr(create_vocoder(name, **tiny.SMALL[name]), "receptive_field", None) is not None
]
#: Published kernels, rates and dilations in thin layers.
THIN: dict[str, dict[str, Any]] = {
    "hifigan:v1": {"upsample_initial_channel": 16},
    "hifigan:v3": {"upsample_initial_channel": 16},
    "melgan": {"base_channels": 4},
    "melgan:seungwonpark": {"base_channels": 4},
    "bigvgan": {"upsample_initial_channel": 16},
    "vocos": {"channels": 8, "hidden_channels": 8},
    "multiband_melgan": {"channels": 16},
    "multiband_melgan:v2-24k": {"channels": 16},
    "parallel_wavegan": {"residual_channels": 4, "gate_channels": 4, "skip_channels": 4},
    "waveglow": {"channels": 4},
}
#: Beside the small ones of tests/support/tiny.py.
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "tail": ("melgan", {"tail_frames": 5}),
    "denoise": ("waveglow", {"denoise": 0.1}),
    "pre-emphasis": (
        "hifigan",
        {
            "mel": tiny.SPEC.model_copy(
                update={"target_steps": (PreEmphasis(coefficient=0.9), Gain(factor=2.0))}
            )
        },
    ),
    "hop of 12": (  # whose noise torch would draw otherwise in one piece than frame by frame
        "parallel_wavegan",
        {"mel": tiny.SPEC.model_copy(update={"hop_length": 12}), "upsample_rates": (3, 4)},
    ),
    "centre": ("vocos", {"mel": tiny.SPEC.model_copy(update={"framing": "center"})}),
    "hop of 24": ("vocos", {"mel": tiny.SPEC.model_copy(update={"hop_length": 24})}),
}


def awake(vocoder: Vocoder) -> Streamable:
    """A flow begins as the identity; here it does not."""
    for parameter in vocoder.parameters():
        if parameter.ndim > 1 and not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    return require_streamable(vocoder.eval())


def small(name: str) -> Streamable:
    system, changes = OTHERS.get(name, (name, {}))
    torch.manual_seed(0)
    return awake(create_vocoder(system, **{**tiny.SMALL[system], **changes}))


def mel_of(vocoder: Vocoder, frames: int, batch: int = 1) -> Tensor:
    random = torch.Generator().manual_seed(1)
    return torch.randn(batch, vocoder.mel_spec.n_mels, frames, generator=random) - 3


def streamed(vocoder: Streamable, mel: Tensor, sizes: list[int]) -> Tensor:
    return torch.cat(list(vocoder.stream(torch.split(mel, sizes, dim=-1), seed=5)), dim=-1)


def test_every_network_of_convolutions_streams() -> None:
    assert all(can_stream(create_vocoder(name, **tiny.SMALL[name])) for name in CONVOLUTIONAL)
    assert set(list_vocoders(conditioning="mel")) - set(CONVOLUTIONAL) == {
        "griffinlim",  # which goes over the whole again and again, but for griffinlim:streaming
        "nhv",  # whose pulses have a phase
        "wavenet",  # these stream by their state
        "wavernn",
    }


@pytest.mark.slow
@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", [*CONVOLUTIONAL, *OTHERS])
def test_any_chunks_join_to_the_whole(name: str, quick: bool) -> None:
    plain = small(name)
    vocoder = plain
    if quick:
        vocoder = require_streamable(optimize_for_inference(copy.deepcopy(plain)))

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.integers(0, 12), min_size=1, max_size=12), st.integers(1, 2))
    def check(sizes: list[int], batch: int) -> None:
        sizes = sizes if sum(sizes) else [1]
        mel = mel_of(vocoder, sum(sizes), batch)
        whole = plain.generate(mel, seed=5)
        error = (streamed(vocoder, mel, sizes) - whole).abs().max()
        assert float(error) < 1e-5

    check()


@pytest.mark.parametrize("name", [*CONVOLUTIONAL, *OTHERS])
def test_one_frame_is_an_utterance(name: str) -> None:
    vocoder = small(name)
    mel = mel_of(vocoder, 1)
    whole = vocoder.generate(mel, seed=5)
    assert float((streamed(vocoder, mel, [1]) - whole).abs().max()) < 1e-5


@pytest.mark.parametrize("name", THIN)
def test_the_reach_of_published_sizes_is_what_a_frame_spoils(name: str) -> None:
    vocoder = require_streamable(create_vocoder(name, **THIN[name]).eval())
    assert testing.measured_receptive_field(vocoder) == vocoder.receptive_field
    optimized = require_streamable(optimize_for_inference(copy.deepcopy(vocoder)))
    assert optimized.receptive_field == vocoder.receptive_field


@pytest.mark.slow
@pytest.mark.parametrize("name", THIN)
def test_published_sizes_join_to_the_whole(name: str) -> None:
    torch.manual_seed(0)
    plain = awake(create_vocoder(name, **THIN[name]))
    vocoder = require_streamable(optimize_for_inference(plain))
    field = vocoder.receptive_field
    assert field is not None
    mel = mel_of(vocoder, sum(field) + 15)
    sizes = [field.after + 1, 1, 7, 0]
    sizes.append(mel.shape[-1] - sum(sizes))
    whole = vocoder.generate(mel, seed=5)
    assert float((streamed(vocoder, mel, sizes) - whole).abs().max()) < 1e-5


def test_a_frame_is_spoken_as_soon_as_its_look_ahead_is_there() -> None:
    vocoder = small("hifigan")
    arrived = 0

    def frames() -> Iterator[Tensor]:
        nonlocal arrived
        while True:
            arrived += 1
            yield mel_of(vocoder, 1)

    stream = vocoder.stream(frames())
    assert vocoder.look_ahead is not None
    said = 0
    for spoken in range(1, 6):
        while said < spoken * vocoder.hop_length:
            said += next(stream).shape[1]
        assert arrived == vocoder.look_ahead + spoken


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CONVOLUTIONAL, "denoise"])
def test_a_long_stream_keeps_no_more_than_it_needs(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocoder = small(name)
    held: dict[int, list[int]] = {}
    run = BlockState.__call__

    def noted(running: BlockState, x: Tensor | None, *, ended: bool) -> Tensor | None:
        said = run(running, x, ended=ended)
        if running.held is not None:
            held.setdefault(id(running), []).append(running.held.shape[-1])
        return said

    monkeypatch.setattr(BlockState, "__call__", noted)
    assert vocoder.receptive_field is not None
    frames = 3 * sum(vocoder.receptive_field)
    list(vocoder.stream(mel_of(vocoder, 1) for _ in range(frames)))
    assert len(held) == len(vocoder.streaming_blocks())
    for kept in held.values():
        assert max(kept[:-1]) == max(kept[: len(kept) * 2 // 3])


def test_one_that_tells_only_its_reach_streams_too() -> None:
    """Networks of other people, with noise of frames and noise of the whole."""

    class Plain(ParallelWaveGAN):
        receptive_field = ReceptiveField(4, 4)

        def streaming_blocks(self) -> list[StreamBlock]:
            return []

        def noise_inputs(self, frames: int) -> dict[str, NoiseSpec]:
            return {**super().noise_inputs(frames), "level": NoiseSpec((2, 3), "uniform")}

        def synthesize_frames(self, mel: Tensor, *noise: Tensor) -> Tensor:
            wav: Tensor = super().synthesize_frames(mel, noise[0])
            return wav * noise[1].mean(dim=(1, 2))[:, None]

    torch.manual_seed(0)
    config = ParallelWaveGANConfig.model_validate(tiny.SMALL["parallel_wavegan"])
    vocoder = Plain(config).eval()
    testing.check_streaming(vocoder)
    testing.check_chunked(vocoder)


def test_what_does_not_stream_says_so_at_once() -> None:
    with pytest.raises(WavewrightError, match="'griffinlim' does not stream"):
        require_streamable(create_vocoder("griffinlim"))


def test_chunks_of_wrong_shape_are_refused() -> None:
    vocoder = small("hifigan")
    with pytest.raises(WavewrightError, match=r"takes mels of shape \(batch, 8, frames\)"):
        list(vocoder.stream([torch.zeros(1, 7, 3)]))


def test_noise_is_the_same_however_it_is_drawn() -> None:
    noise = NoiseSpec((3, 20), frames=4)
    seeds = [1, 2]
    whole = noise.draw(seeds, torch.device("cpu"))
    assert whole.shape == (2, 3, 20)
    drawing = NoiseSampler(noise, seeds)
    parts = [drawing.draw(frames) for frames in (1, 2, 1)]
    assert torch.equal(torch.cat(parts, dim=-1), whole)
    assert torch.equal(noise.draw(seeds[1:], torch.device("cpu"))[0], whole[1])
    many = NoiseSpec((200_000,), frames=1000).draw([0], torch.device("cpu"))
    assert abs(float(many.mean())) < 0.01
    assert abs(float(many.std()) - 1) < 0.01


def test_short_chunks_are_put_together_but_for_the_first() -> None:
    mel = torch.arange(40.0).reshape(1, 2, 20)
    chunks = list(rechunk(torch.split(mel, [1, 2, 1, 3, 6, 4, 3], dim=-1), 5))
    assert [chunk.shape[-1] for chunk in chunks] == [1, 6, 6, 7]
    assert torch.equal(torch.cat(chunks, dim=-1), mel)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv1d(1, 1, 5, padding=4, dilation=2)],
        [nn.Conv1d(1, 1, 4, stride=3, padding=1)],
        [nn.ConvTranspose1d(1, 1, 16, 8, padding=4)],
        [nn.ConvTranspose1d(1, 1, 11, 5, padding=3)],
        [nn.ConvTranspose1d(1, 1, 7, 7)],
        [nn.ConvTranspose1d(1, 1, 8, 4, padding=2), nn.Conv1d(1, 1, 3, padding=1)],
        [nn.Conv1d(1, 1, 3, padding=1), nn.ConvTranspose1d(1, 1, 9, 4, padding=2)],
    ],
)
@pytest.mark.parametrize("first", [40, 41, 43, 46])
def test_what_is_heard_is_where_gradients_come_from(layers: list[nn.Module], first: int) -> None:
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.ones_(parameter)
    x = torch.zeros(1, 1, 400, requires_grad=True)
    span = Span(first, first + 2)
    nn.Sequential(*layers)(x)[0, 0, span.first : span.last + 1].sum().backward()
    assert x.grad is not None
    places = x.grad[0, 0].nonzero().flatten().tolist()
    assert input_span(layers, span) == (places[0], places[-1])


def test_a_layer_that_nothing_is_known_of_is_no_guess() -> None:
    with pytest.raises(TypeError, match="input span of GRU is not known"):
        input_span([nn.GRU(1, 1)], Span(0, 1))


def test_a_reach_declared_wrong_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    vocoder = small("vocos")
    true = vocoder.receptive_field
    assert true is not None
    for short in (
        ReceptiveField(true.before - 1, true.after),
        ReceptiveField(true.before, true.after - 1),
    ):
        monkeypatch.setattr(Vocos, "receptive_field", short)
        with pytest.raises(AssertionError, match="samples depend on"):
            testing.check_receptive_field(vocoder)
    monkeypatch.setattr(Vocos, "receptive_field", ReceptiveField(true.before, true.after + 3))
    with pytest.raises(AssertionError, match="would wait in vain"):
        testing.check_receptive_field(vocoder)


def test_a_layer_that_hears_more_than_it_says_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ConvNeXtBlock, "input_span", lambda self, span: span)
    with pytest.raises(AssertionError, match="samples depend on"):
        testing.check_receptive_field(small("vocos"))
    with pytest.raises(AssertionError, match="is receptive_field, ReceptiveField"):
        testing.check_streaming(small("vocos"))
