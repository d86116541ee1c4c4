"""The pieces that vocoders share, against mathematics and the libraries that know it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.signal import firwin, kaiser_atten, kaiser_beta

from wavewright.nn.inverse_stft import InverseSTFT
from wavewright.nn.noise import item_seeds, normal_noise
from wavewright.nn.upsample_rates import (
    propose_kernels,
    propose_rates,
    require_rates,
    require_upsampling,
)
from wavewright.vocoders.bigvgan import Snake, half_band

RATE = 22050


@pytest.mark.parametrize(("n_fft", "hop"), [(1024, 256), (1024, 200), (800, 200), (64, 16)])
def test_the_inverse_stft_is_torchs(n_fft: int, hop: int) -> None:
    random = torch.Generator().manual_seed(0)
    spectrum = torch.complex(*torch.randn(2, 3, n_fft // 2 + 1, 20, generator=random))
    window = torch.hann_window(n_fft)
    expected = torch.istft(spectrum, n_fft, hop, window=window, length=19 * hop)
    found = InverseSTFT(n_fft, hop, "center")(spectrum.real.mT, spectrum.imag.mT)
    assert found.shape == (3, 20 * hop)
    # The imaginary parts of the first and last bin say nothing, in either.
    torch.testing.assert_close(found[:, : 19 * hop], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("framing", ["center", "hop"])
def test_analysis_and_synthesis_are_one_identity(framing: str) -> None:
    n_fft, hop = 512, 128
    wav = torch.randn(2, 40 * hop, generator=torch.Generator().manual_seed(1))
    edge = n_fft // 2 if framing == "center" else (n_fft - hop) // 2
    padded = torch.nn.functional.pad(wav[:, None], (edge, edge), mode="reflect")[:, 0]
    spectrum = torch.stft(
        padded, n_fft, hop, window=torch.hann_window(n_fft), center=False, return_complex=True
    )[..., :40]
    found = InverseSTFT(n_fft, hop, framing)(spectrum.real.mT, spectrum.imag.mT)
    inner = slice(0, 38 * hop)  # the frames after the last are not there
    torch.testing.assert_close(found[:, inner], wav[:, inner], rtol=0, atol=1e-4)


def test_the_half_band_filter_is_kaisers() -> None:
    """Its window has the attenuation that Kaiser's formula gives for 6 taps and this width."""
    beta = kaiser_beta(kaiser_atten(6, 4 * 0.3))
    np.testing.assert_allclose(
        half_band(12).numpy(), firwin(12, 0.5, window=("kaiser", beta)), atol=1e-7
    )


def _tone(frequency: float, samples: int = 4096) -> torch.Tensor:
    return torch.sin(2 * math.pi * frequency / RATE * torch.arange(samples))[None, None]


def _energy(wav: torch.Tensor, frequency: float) -> float:
    """Of a narrow band around a frequency, in dB."""
    values = wav.detach()[0, 0].numpy() * np.hanning(wav.shape[-1])
    spectrum = np.abs(np.fft.rfft(values)) ** 2
    middle = round(frequency / RATE * wav.shape[-1])
    return float(10 * np.log10(spectrum[middle - 8 : middle + 9].sum() + 1e-12))


def test_a_snake_between_filters_folds_less_than_one_alone() -> None:
    """sin(x)^2 of a tone at 8 kHz has one at 16 kHz, of which less must come back as 6.05 kHz.

    Twelve taps make a gentle slope: 11 dB were measured.
    """
    tone = _tone(8000.0)
    filtered, alone = Snake(1)(tone), tone + torch.sin(tone).square()
    folded = RATE - 2 * 8000.0
    assert _energy(filtered, folded) < _energy(alone, folded) - 10


def test_a_snake_leaves_slow_signals_where_they_are() -> None:
    """No delay: what it makes of a slow wave is the plain formula of it, sample by sample."""
    tone = _tone(200.0)
    torch.testing.assert_close(
        Snake(1)(tone)[..., 50:-50],
        (tone + torch.sin(tone).square())[..., 50:-50],
        rtol=0,
        atol=5e-3,
    )


@pytest.mark.parametrize(
    ("hop", "stages", "rates"),
    [
        (256, 4, (4, 4, 4, 4)),
        (256, 3, (8, 8, 4)),
        (300, 4, (5, 5, 4, 3)),
        (200, 4, (5, 5, 4, 2)),
        (512, 4, (8, 4, 4, 4)),
        (12, 2, (4, 3)),
    ],
)
def test_rates_multiply_to_the_hop(hop: int, stages: int, rates: tuple[int, ...]) -> None:
    assert propose_rates(hop, stages) == rates
    assert math.prod(rates) == hop


@pytest.mark.parametrize("hop", [80, 120, 128, 160, 200, 220, 240, 256, 275, 300, 441, 480, 512])
def test_what_is_proposed_is_accepted(hop: int) -> None:
    rates = propose_rates(hop, 4)
    require_upsampling(hop, rates, propose_kernels(rates), 512)


def test_a_prime_hop_is_refused() -> None:
    with pytest.raises(ValueError, match="257 is no product of rates up to 16; choose one"):
        propose_rates(257, 4)
    with pytest.raises(ValueError, match=r"multiply to 256, but mel.hop_length is 257; hop_length"):
        require_rates(257, (8, 8, 4))


def test_noise_is_its_items_alone() -> None:
    seeds = item_seeds(3, 4)
    assert len(set(seeds)) == 4
    assert item_seeds(3, 2) == seeds[:2]
    many = normal_noise(seeds, (5,), torch.device("cpu"))
    assert torch.equal(normal_noise(seeds[2:3], (5,), torch.device("cpu"))[0], many[2])
    long = normal_noise(seeds[:1], (100_000,), torch.device("cpu"))
    assert float(long.mean()) == pytest.approx(0, abs=0.02)
    assert float(long.std()) == pytest.approx(1, abs=0.02)
    assert item_seeds(None, 2) != item_seeds(None, 2)
