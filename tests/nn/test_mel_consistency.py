"""Mel consistency: the mel becomes the given one, what is right stays, gradients flow."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel
from wavewright.nn.mel_consistency import MelConsistency
from wavewright.nn.stft import STFT

SPEC = MelSpec.preset("hifigan")


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    values = np.random.default_rng(seed).normal(size=(1, samples)) * 0.1
    return torch.from_numpy(values.astype(np.float32))


@pytest.mark.parametrize("preset", ["hifigan", "tacotron2", "wavernn", "espnet-24k"])
def test_the_inverse_gives_back_a_waveform(preset: str) -> None:
    """Windows longer than a hop, shorter than the FFT, and hops that do not divide it."""
    stft = STFT(MelSpec.preset(preset))
    wav = noise(40 * stft.hop_length)
    back = stft.crop(stft.inverse(stft(stft.pad(wav))))
    assert back.shape == wav.shape
    edge = stft.n_fft  # the first and last windows begin and end at 0
    assert torch.allclose(back[:, edge:-edge], wav[:, edge:-edge], atol=1e-6)


@pytest.mark.parametrize("power", [1, 2])
def test_the_mel_becomes_the_given_one(power: int) -> None:
    """Noise that is ten times as loud above 2 kHz comes to within 5 % in 30 iterations."""
    spec = SPEC.model_copy(update={"power": power, "floor": 1e-8})
    wav = noise(64 * SPEC.hop_length)
    wrong = wav + 9 * (wav - torch.nn.functional.avg_pool1d(wav[:, None], 9, 1, 4)[:, 0])
    mel = log_mel(wav, spec)
    errors = [
        float((log_mel(one, spec) - mel)[..., 4:-4].abs().mean())
        for one in (wrong, MelConsistency(spec)(wrong, mel, 30))
    ]
    assert errors[0] > 0.5 * power
    assert errors[1] < 0.05 * power


def test_a_waveform_of_the_right_mel_stays_as_it_is() -> None:
    """But for what lies below the lowest band, which this one has not."""
    wav = noise(64 * SPEC.hop_length + 1).diff()
    same = MelConsistency(SPEC)(wav, log_mel(wav, SPEC), 5)
    inner = slice(SPEC.n_fft, -SPEC.n_fft)
    assert float((same - wav)[:, inner].abs().max()) < 1e-3 * float(wav.abs().max())


def test_gradients_are_those_of_small_changes() -> None:
    """Finite also where the waveform is exactly silent."""
    samples = 16 * SPEC.hop_length
    wav = noise(samples)
    wav[:, :2048] = 0.0
    layer, mel, weights = MelConsistency(SPEC), log_mel(noise(samples, 1), SPEC), noise(samples, 2)
    start = wav.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((layer(start, mel, 2) * weights).sum(), start)
    assert torch.isfinite(gradient).all()
    change = noise(samples, 3)
    change[:, :4096] = 0.0
    up, down = (layer(wav + sign * 1e-3 * change, mel, 2).double() for sign in (1, -1))
    expected = float(((up - down) * weights).sum()) / 2e-3
    assert float((gradient * change).double().sum()) == pytest.approx(expected, rel=0.05)


def test_without_iterations_only_the_transform_is_undone() -> None:
    wav = noise(8 * SPEC.hop_length)
    same = MelConsistency(SPEC)(wav, log_mel(wav, SPEC), 0)
    assert torch.allclose(same, wav, atol=1e-4)
