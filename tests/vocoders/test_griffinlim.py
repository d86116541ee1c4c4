"""Griffin-Lim: tones stay tones, silence stays silent, any mel convention works."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from wavewright.audio.files import from_pcm16, load_wav, to_pcm16
from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel, silent_mel
from wavewright.metrics.mel_l1 import MelL1
from wavewright.metrics.mstft import MSTFT
from wavewright.models.trainable import Trainable
from wavewright.registry import create_vocoder
from wavewright.vocoders.griffinlim import linear_magnitude

CONVENTIONS = ["hifigan", "tacotron2", "espnet-24k", "vocos-24k", "coqui", "wavernn", "speecht5"]


def tone(spec: MelSpec, frequency: float = 440.0, level: float = 0.05) -> torch.Tensor:
    t = np.arange(spec.sample_rate // 2) / spec.sample_rate
    return torch.from_numpy((level * np.sin(2 * np.pi * frequency * t)).astype(np.float32))


@pytest.mark.parametrize("preset", CONVENTIONS)
def test_a_tone_stays_where_it_is(preset: str) -> None:
    """Within half a mel band, the most that a mel can tell."""
    spec = MelSpec.preset(preset).bands_first
    wav = create_vocoder("griffinlim", mel=spec).generate(log_mel(tone(spec), spec)[None], seed=0)
    spectrum = np.abs(np.fft.rfft(wav[0].numpy() * np.hanning(wav.shape[1])))
    peak = float(np.argmax(spectrum)) * spec.sample_rate / wav.shape[1]
    assert peak == pytest.approx(440.0, abs=25.0)


@pytest.mark.parametrize("preset", CONVENTIONS)
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_silence_stays_silent_and_frames_become_hops(preset: str, frames: int) -> None:
    spec = MelSpec.preset(preset).bands_first
    vocoder = create_vocoder("griffinlim", mel=spec, iterations=2)
    silence = torch.from_numpy(silent_mel(spec, frames))
    wav = vocoder.generate(torch.stack([silence, silence]), seed=0)
    assert wav.shape == (2, frames * spec.hop_length)
    assert wav.dtype == torch.float32
    assert not wav.any()


@pytest.mark.parametrize("preset", ["hifigan", "tacotron2"])
def test_a_click_stays_in_its_place(preset: str) -> None:
    """Both framings put the energy where the recording had it, to within a hop."""
    spec = MelSpec.preset(preset).bands_first
    click = torch.zeros(40 * spec.hop_length)
    click[5000:5020] = 0.5
    wav = create_vocoder("griffinlim", mel=spec).generate(log_mel(click, spec)[None], seed=0)[0]
    energy = wav.square()
    centre = float((energy * torch.arange(len(wav))).sum() / energy.sum())
    assert centre == pytest.approx(5010, abs=spec.hop_length / 2)


def test_a_seed_repeats_and_another_differs() -> None:
    spec = MelSpec.preset("hifigan")
    vocoder = create_vocoder("griffinlim", mel=spec, iterations=4)
    mel = log_mel(tone(spec), spec)[None]
    assert torch.equal(vocoder.generate(mel, seed=3), vocoder.generate(mel, seed=3))
    assert not torch.equal(vocoder.generate(mel, seed=3), vocoder.generate(mel, seed=4))
    assert not torch.equal(vocoder.generate(mel), vocoder.generate(mel))


def test_items_of_a_batch_draw_their_own_noise() -> None:
    spec = MelSpec.preset("hifigan")
    vocoder = create_vocoder("griffinlim", mel=spec, iterations=4)
    mel = log_mel(tone(spec), spec)[None].repeat(2, 1, 1)
    pair = vocoder.generate(mel, seed=3)
    assert torch.allclose(pair[:1], vocoder.generate(mel[:1], seed=3), atol=1e-6)
    assert not torch.allclose(pair[0], pair[1], atol=1e-3)


def test_loud_input_is_clipped_not_wrapped() -> None:
    spec = MelSpec.preset("hifigan")
    vocoder = create_vocoder("griffinlim", mel=spec, iterations=2)
    wav = vocoder.generate(torch.full((1, spec.n_mels, 8), 4.0), seed=0)
    assert wav.abs().max() == 1.0


def test_it_has_no_parameters_and_nothing_to_train() -> None:
    vocoder = create_vocoder("griffinlim")
    assert vocoder.parameter_count() == 0
    assert not isinstance(vocoder, Trainable)


def test_a_mel_of_other_bands_is_refused() -> None:
    with pytest.raises(WavewrightError, match="80"):
        create_vocoder("griffinlim").generate(torch.zeros(1, 100, 4))


def test_power_mels_give_the_same_magnitudes_as_amplitude_mels() -> None:
    spec = MelSpec.preset("tacotron2")
    power = spec.model_copy(update={"power": 2.0, "floor": 1e-10})
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=8192).astype(np.float32)) * 0.1
    flat, squared = (linear_magnitude(log_mel(noise, s), s).mean() for s in (spec, power))
    assert float(squared / flat) == pytest.approx(1.0, abs=0.2)


@pytest.mark.slow
def test_real_speech_is_as_near_as_the_independent_baseline(shared: Path) -> None:
    """Of another implementation of the same: M-STFT 1.784 and mel L1 0.501 over eight clips."""
    spec = MelSpec.preset("tacotron2")
    vocoder, mstft, mel_l1 = create_vocoder("griffinlim", mel=spec), MSTFT(), MelL1()
    other = json.loads((shared / "fixtures" / "evaluation" / "gl60_mel80.json").read_text())
    ours, theirs = [], []
    for utterance in ("LJ001-0002", "LJ001-0004", "LJ001-0006", "LJ001-0008"):
        (path,) = (shared / "corpora" / "ljspeech-mini" / "wavs").glob(f"{utterance}.*")
        wav, rate = load_wav(path)
        copy = vocoder.generate(log_mel(torch.from_numpy(wav), spec)[None], seed=0)[0].numpy()
        copy = from_pcm16(to_pcm16(copy))
        ours.append((mstft(wav, copy, rate), mel_l1(wav, copy, rate)))
        theirs.append([other["per_utt"][utterance][key] for key in ("mstft", "mel_l1")])
    assert np.mean(ours, axis=0) == pytest.approx(np.mean(theirs, axis=0), rel=0.03)
