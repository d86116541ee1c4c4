"""NHV: pulses at F0, filters from cepstra, pitch that can be given."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.support.tiny import SMALL, SPEC
from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel
from wavewright.models.batch import Batch
from wavewright.models.capabilities import PitchDriven
from wavewright.nn.f0_predictor import F0Predictor, fill_unvoiced
from wavewright.nn.harmonic_source import pulse_train
from wavewright.registry import create_vocoder
from wavewright.vocoders.nhv import NHV, CepstrumEstimator, NHVConfig

RATE, HOP = 22050, 256


def levels(wav: np.ndarray, frequencies: list[float], rate: int = RATE) -> np.ndarray:
    """Amplitudes of the sinusoids nearest to some frequencies."""
    window = np.hanning(len(wav))
    spectrum = np.abs(np.fft.rfft(wav * window)) / window.sum() * 2
    bins = [round(frequency * len(wav) / rate) for frequency in frequencies]
    return np.array([spectrum[place - 1 : place + 2].max() for place in bins])


@pytest.mark.parametrize("f0", [71.0, 143.7, 400.0])
def test_pulses_are_all_harmonics_alike_and_nothing_between(f0: float) -> None:
    wav = pulse_train(torch.full((1, 172), f0), HOP, RATE)[0].numpy()
    assert len(wav) == 172 * HOP
    harmonics = f0 * np.arange(1, int(RATE / 2 / f0))
    np.testing.assert_allclose(
        levels(wav, list(harmonics[:20])), 1.0, atol=0.16
    )  # what a Hann window loses between bins
    np.testing.assert_allclose(
        levels(wav, list(harmonics[-3:-1])), 1.0, atol=0.16
    )  # what a Hann window loses between bins
    assert levels(wav, list(harmonics[:20] + f0 / 2)).max() < 0.01


@pytest.mark.parametrize("framing", ["hop", "center"])
def test_pulses_follow_a_glide_without_aliases(framing: str) -> None:
    """Through an octave the highest harmonics come and go; all power lies in the harmonics."""
    f0 = torch.linspace(100, 200, 400)[None]
    wav = pulse_train(f0, HOP, RATE, framing)[0].double()
    steps = wav.diff().abs()
    assert float(steps.max()) < 2.1 * 200  # a pulse rises by its harmonics at most
    quarter = len(wav) // 4
    power = wav[quarter : 2 * quarter].square().mean()
    harmonics = RATE / 2 / f0[0, 100:200].double()
    assert float(power) == pytest.approx(float(harmonics.mean()) / 2, rel=0.05)


def test_phases_of_long_utterances_keep_their_digits() -> None:
    """The last second of five minutes is as that of two, but for its phase."""
    long = pulse_train(torch.full((1, 300 * 86), 200.0), HOP, RATE)[0, -RATE:].numpy()
    harmonics = [200.0 * k for k in range(1, 50)]
    np.testing.assert_allclose(
        levels(long, harmonics), 1.0, atol=0.16
    )  # what a Hann window loses between bins
    assert levels(long, [f + 100 for f in harmonics]).max() < 0.01


def test_f0_is_continued_through_unvoiced_frames() -> None:
    f0 = torch.tensor([[0.0, 100.0, 0.0, 0.0, 0.0, 1600.0, 0.0], [0.0] * 7])
    filled = fill_unvoiced(f0, f0 > 0, default=150.0)
    expected = [100.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 1600.0]
    assert filled[0].tolist() == pytest.approx(expected, rel=1e-5)
    assert filled[1].tolist() == [150.0] * 7


def bias_of(estimator: CepstrumEstimator) -> torch.Tensor:
    """Cepstrum that an estimator says whatever the mel, quefrency 0 in the middle."""
    bias = estimator.leave.bias
    assert bias is not None
    return bias


def test_a_cepstrum_is_a_filter() -> None:
    """A cepstrum of one value before or after time 0 filters by exp(c e^-iw)."""
    config = NHVConfig(mel=SPEC, cepstrum=16, filter_fft=64, channels=4, groups=1, layers=1)
    estimator = NHV(config).harmonic_filter
    torch.nn.init.zeros_(estimator.leave.weight)
    omega = 2 * torch.pi * torch.arange(33) / 64
    for place in (7, 9):  # of quefrency -1 and 1
        bias_of(estimator).data.zero_()[place] = 0.5
        response = estimator(torch.zeros(1, SPEC.n_mels + 2, 3))
        expected = torch.exp(0.5 * torch.exp(-1j * omega * (place - 8)))
        assert torch.allclose(response, expected.expand(1, 3, -1), atol=1e-5)


def small(**changes: object) -> NHV:
    torch.manual_seed(0)
    vocoder = create_vocoder("nhv", **{**SMALL["nhv"], "consistency": 0, **changes})
    assert isinstance(vocoder, NHV)
    return vocoder.eval()


def test_a_pitch_that_is_given_is_heard() -> None:
    """Untrained, filters are all but flat: the pulses are loudest."""
    vocoder = small(filter_fft=256)
    torch.nn.init.zeros_(vocoder.noise_filter.leave.weight)
    bias_of(vocoder.noise_filter).data[16] = -9.0
    mel = torch.full((1, SPEC.n_mels, 500), -4.0)
    for f0 in (100.0, 160.0):
        wav = vocoder.generate(mel, seed=0, f0=torch.full((1, 500), f0))[0].numpy()
        at, between = (
            levels(wav, [f0 * k + shift for k in range(1, 10)], SPEC.sample_rate).min()
            for shift in (0, f0 / 2)
        )
        assert at > 10 * between
    assert isinstance(vocoder, PitchDriven)


def test_a_pitch_of_another_length_or_below_zero_is_refused() -> None:
    vocoder, mel = small(), torch.full((1, SPEC.n_mels, 6), -4.0)
    with pytest.raises(WavewrightError, match=r"F0 of shape \(1, 6\).*found \(1, 7\)"):
        vocoder.generate(mel, f0=torch.full((1, 7), 100.0))
    with pytest.raises(WavewrightError, match="negative"):
        vocoder.generate(mel, f0=torch.full((1, 6), -1.0))


def test_it_does_not_learn_without_f0() -> None:
    batch = Batch(torch.zeros(1, 64 * SPEC.hop_length), torch.zeros(1, SPEC.n_mels, 64), ["a"])
    with pytest.raises(WavewrightError, match="F0 tracks: run the stage 'pitch'"):
        next(small().updates(batch, 0))


@pytest.mark.slow
def test_the_predictor_learns_f0_and_voicing() -> None:
    """Of buzzes between 90 and 300 Hz and of noise, to a few cents and nearly without error."""
    spec, rng = MelSpec.preset("hifigan"), np.random.default_rng(0)
    torch.manual_seed(0)

    def examples(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        f0 = np.exp(rng.uniform(np.log(90), np.log(300), (count, 1))) * np.ones((1, 24))
        f0[:, 16:] = 0.0
        wav = 0.05 * pulse_train(torch.from_numpy(np.maximum(f0, 90)).float(), HOP, RATE)
        wav[:, 16 * HOP :] = 0.05 * torch.randn(count, 8 * HOP)
        wav += 0.001 * torch.randn(wav.shape)
        return (log_mel(wav, spec) + 5) / 2, torch.from_numpy(f0).float()

    net = F0Predictor(spec.n_mels, channels=48, layers=2)
    optimizer = torch.optim.AdamW(net.parameters(), 4e-3)
    for step in range(200):
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * (1 - step / 200)
        optimizer.zero_grad()
        torch.autograd.backward(net.loss(*examples(16)))
        optimizer.step()
    mel, f0 = examples(32)
    with torch.no_grad():
        estimate = net.eval().estimate(mel)
    inner = slice(2, 14)
    cents = 1200 * torch.log2(estimate.f0[:, inner] / f0[:, inner])
    assert float(cents.abs().median()) < 40
    assert float(((estimate.voicing > 0.5) == (f0 > 0)).float().mean()) > 0.95
