"""The filter bank of Multi-band MelGAN, against scipy and against what a bank must do."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import firwin, lfilter

from wavewright.audio.files import load_wav
from wavewright.nn.pqmf import PQMF, filters, propose_cutoff, unevenness
from wavewright.nn.receptive_field import Span

PUBLISHED = (4, 62, 0.142, 9.0)
RATE = 22050


def bank() -> PQMF:
    return PQMF(*PUBLISHED)


def noise(samples: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, samples, generator=torch.Generator().manual_seed(0))


def tone(share: float, samples: int = 8192) -> torch.Tensor:
    """Of a frequency that is such a share of half the sample rate; (1, samples)."""
    return torch.sin(math.pi * share * torch.arange(samples))[None]


def decibels(true: torch.Tensor, found: torch.Tensor) -> float:
    """Of a waveform above how far another is from it."""
    return float(10 * torch.log10(true.square().sum() / (found - true).square().sum()))


def test_the_prototype_is_a_kaiser_windowed_low_pass() -> None:
    """Without its cosines a band is the filter that scipy designs, but for its gain."""
    bands, taps, cutoff, beta = PUBLISHED
    places = np.arange(taps + 1) - taps / 2
    cosine = np.cos(math.pi / (2 * bands) * places + math.pi / 4)
    designed = firwin(taps + 1, cutoff, window=("kaiser", beta), scale=False)
    np.testing.assert_allclose(filters(*PUBLISHED)[0][0], 2 * designed * cosine, rtol=0, atol=1e-12)


def test_bands_are_filtered_and_thinned_as_scipy_does_it() -> None:
    """Sample by sample: both ways of the bank out of lfilter, with its delay taken out."""
    wav, half = noise(4096), PUBLISHED[1] // 2
    apart, together = filters(*PUBLISHED)
    parts = bank().analysis(wav)
    assert parts.shape == (1, 4, 1024)
    long = np.pad(wav[0].double().numpy(), (0, half))
    joined = np.zeros(4096)
    for number in range(4):
        # torch correlates where scipy convolves.
        filtered = lfilter(apart[number][::-1], 1.0, long)[half:]
        np.testing.assert_allclose(parts[0, number].numpy(), filtered[::4], rtol=0, atol=1e-5)
        spread = np.zeros(4096 + half)
        spread[:4096:4] = 4 * filtered[::4]
        joined += lfilter(together[number][::-1], 1.0, spread)[half:]
    np.testing.assert_allclose(bank().synthesis(parts)[0].numpy(), joined, rtol=0, atol=1e-5)


def test_what_is_taken_apart_and_joined_is_the_same_and_not_late() -> None:
    """The error is 64 dB below noise; at another delay it would be as loud as the noise."""
    wav = noise(16384, 2)
    found = bank().synthesis(bank().analysis(wav))
    assert found.shape == wav.shape
    inner = slice(62, -62)  # what lies beyond the ends is taken to be silence
    assert decibels(wav[:, inner], found[:, inner]) > 63
    late = torch.roll(wav, 1, dims=1)
    assert decibels(late[:, inner], found[:, inner]) < 0


def test_speech_survives_it(shared: Path) -> None:
    files = sorted((shared / "corpora" / "ljspeech-mini" / "wavs").glob("*.wav"))[:3]
    assert len(files) == 3
    for file in files:
        wav = torch.from_numpy(load_wav(file, RATE)[0])[None]
        wav = wav[:, : wav.shape[1] // 4 * 4]
        assert decibels(wav, bank().synthesis(bank().analysis(wav))) > 58


@pytest.mark.parametrize("band", range(4))
def test_a_tone_is_in_its_band_alone(band: int) -> None:
    parts = bank().analysis(tone((band + 0.5) / 4))[0, :, 32:-32]
    levels = parts.square().mean(dim=1).sqrt()
    assert float(levels[band]) == pytest.approx(math.sqrt(0.5), rel=0.01)
    others = torch.cat([levels[:band], levels[band + 1 :]])
    assert float(others.max()) < 1e-3 * float(levels[band])


def test_silence_stays_silent_and_a_constant_stays_constant() -> None:
    assert not bank().synthesis(bank().analysis(torch.zeros(1, 512))).any()
    constant = torch.full((1, 1024), 0.5)
    found = bank().synthesis(bank().analysis(constant))[:, 64:-64]
    torch.testing.assert_close(found, constant[:, 64:-64], rtol=0, atol=1e-3)


def test_the_published_cutoff_is_the_best_for_four_bands() -> None:
    assert propose_cutoff(4, 62, 9.0) == 0.142
    assert unevenness(*PUBLISHED) < 0.02


@pytest.mark.parametrize("bands", [2, 3, 5, 8])
def test_a_proposed_cutoff_joins_other_numbers_of_bands(bands: int) -> None:
    cutoff = propose_cutoff(bands, 62, 9.0)
    other = PQMF(bands, 62, cutoff, 9.0)
    wav = noise(bands * 1024)
    inner = slice(64, -64)
    found = other.synthesis(other.analysis(wav))
    assert decibels(wav[:, inner], found[:, inner]) > 35
    assert unevenness(bands, 62, 0.142, 9.0) > 1.0, "the one for four bands does not fit"


def test_what_a_sample_hears_is_what_spoils_it() -> None:
    for place in (400, 401, 402, 403):
        heard = bank().input_span(Span(place, place))
        for position in (heard.first - 1, heard.first, heard.last, heard.last + 1):
            parts = torch.zeros(1, 4, 256)
            parts[:, :, position] = torch.nan
            spoilt = bool(bank().synthesis(parts)[0, place].isnan())
            assert spoilt == (heard.first <= position <= heard.last)


def test_it_stays_in_float32_beside_layers_that_do_not() -> None:
    wav = noise(1024)
    with torch.autocast("cpu", torch.bfloat16):
        parts = bank().analysis(wav)
        found = bank().synthesis(parts.bfloat16())
    assert (parts.dtype, found.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(parts, bank().analysis(wav), rtol=0, atol=0)
    assert not bank().state_dict(), "its filters are made of four numbers and kept in no file"
