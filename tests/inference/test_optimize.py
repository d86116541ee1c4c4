"""Quick vocoders say what plain ones say."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tests.support import tiny
from wavewright.errors import WavewrightError
from wavewright.inference.optimize import optimize_for_inference
from wavewright.models.capabilities import require_sampler
from wavewright.models.vocoder import Vocoder
from wavewright.nn.channels_last import ChannelsLastConv
from wavewright.registry import create_vocoder, list_vocoders

NAMES = list_vocoders(conditioning="mel")
LOOPS = ("wavenet", "wavernn")  # which know bf16 and int8 weights


def small(name: str) -> Vocoder:
    torch.manual_seed(0)
    return create_vocoder(name, **tiny.SMALL[name]).eval()


def mel_of(vocoder: Vocoder, frames: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    return torch.randn(2, vocoder.mel_spec.n_mels, frames, generator=random) - 3


@pytest.mark.parametrize("name", NAMES)
def test_it_says_the_same(name: str) -> None:
    plain = small(name)
    quick = optimize_for_inference(copy.deepcopy(plain))
    for frames in (1, 5, 700):  # more than two pieces
        mel = mel_of(plain, frames)
        found, expected = quick.generate(mel, seed=1), plain.generate(mel, seed=1)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "precision"),
    [(name, "bf16") for name in NAMES] + [(name, "fp16") for name in NAMES if name not in LOOPS],
)
def test_in_half_precision_it_says_nearly_the_same(name: str, precision: str) -> None:
    plain = small(name)
    quick = optimize_for_inference(copy.deepcopy(plain), precision)
    mel = mel_of(plain, 50)
    found, expected = quick.generate(mel, seed=1), plain.generate(mel, seed=1)
    assert found.dtype == torch.float32
    error = (found - expected).square().mean() / expected.square().mean()
    assert float(error) < 0.01


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("name", ["wavegan", "specgan"])
def test_sounds_from_noise_stay_the_same(name: str, precision: str) -> None:
    plain = small(name)
    quick = optimize_for_inference(copy.deepcopy(plain), precision)
    found, expected = (
        require_sampler(quick).sample(3, seed=1),
        require_sampler(plain).sample(3, seed=1),
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv1d(6, 4, 5, padding=4, dilation=2),
        nn.Conv1d(6, 6, 3, padding=1, groups=6),
        nn.Conv1d(6, 4, 4, stride=2, bias=False),
        nn.ConvTranspose1d(6, 4, 16, 8, padding=4),
        nn.ConvTranspose1d(6, 4, 11, 5, padding=3, output_padding=0),
        nn.ConvTranspose1d(6, 4, 10, 5, padding=3, output_padding=1),
    ],
)
def test_a_convolution_keeps_its_numbers(conv: nn.Conv1d | nn.ConvTranspose1d) -> None:
    x = torch.randn(3, 6, 40)
    with torch.no_grad():
        torch.testing.assert_close(ChannelsLastConv(conv)(x), conv(x), rtol=0, atol=1e-5)


def test_what_is_in_training_is_not_touched() -> None:
    vocoder = tiny.hifigan()
    vocoder.prepare_for_training()
    with pytest.raises(WavewrightError, match="'hifigan' is being trained; optimize a loaded copy"):
        optimize_for_inference(vocoder)
    with pytest.raises(WavewrightError, match="precision float32, bf16 or fp16, found 'fp8'"):
        optimize_for_inference(small("hifigan"), "fp8")
