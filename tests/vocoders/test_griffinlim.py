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
from wavewright.testing.streaming import check_streaming

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


def voiced(spec: MelSpec, seconds: float = 1.0) -> torch.Tensor:
    """Harmonics of a gliding fundamental with a little noise: as hard as a vowel."""
    rng = np.random.default_rng(0)
    t = np.arange(int(seconds * spec.sample_rate)) / spec.sample_rate
    phase = 2 * np.pi * np.cumsum(120 + 60 * np.sin(2 * np.pi * 2 * t)) / spec.sample_rate
    wav = sum(np.sin(k * phase) / k for k in range(1, 20)) * 0.05
    return torch.from_numpy((wav + 0.002 * rng.normal(size=len(t))).astype(np.float32))


def mel_error(wav: torch.Tensor, copy: torch.Tensor, spec: MelSpec) -> float:
    """Mean absolute difference of log-mels, edges left out."""
    length = copy.shape[-1] // spec.hop_length * spec.hop_length
    padded = torch.nn.functional.pad(wav, (0, max(0, length - len(wav))))[:length]
    difference = log_mel(padded, spec) - log_mel(copy[0, :length], spec)
    return float(difference[:, 4:-4].abs().mean())


@pytest.mark.parametrize("preset", [*CONVENTIONS, "power"])
def test_its_mel_is_nearer_than_that_of_the_pseudo_inverse(preset: str) -> None:
    """In every convention, by half at least."""
    spec = MelSpec.preset("tacotron2" if preset == "power" else preset).bands_first
    if preset == "power":
        spec = spec.model_copy(update={"power": 2, "floor": 1e-10})
    wav = voiced(spec)
    mel = log_mel(wav, spec)[None]
    errors = {
        name: mel_error(wav, create_vocoder(name, mel=spec).generate(mel, seed=0), spec)
        for name in ("griffinlim", "griffinlim:magnitude")
    }
    assert errors["griffinlim"] < 0.5 * errors["griffinlim:magnitude"], errors


def test_blocks_are_as_near_as_the_whole() -> None:
    spec = MelSpec.preset("hifigan")
    wav = voiced(spec)
    mel = log_mel(wav, spec)[None]
    whole, blocks = (
        mel_error(wav, create_vocoder(name, mel=spec).generate(mel, seed=0), spec)
        for name in ("griffinlim", "griffinlim:streaming")
    )
    assert blocks < 1.2 * whole


@pytest.mark.parametrize("preset", CONVENTIONS)
def test_a_stream_is_heard_after_its_look_ahead_and_joins_to_the_whole(preset: str) -> None:
    vocoder = create_vocoder("griffinlim:streaming", mel=MelSpec.preset(preset), iterations=2)
    check_streaming(vocoder)


def test_a_pause_is_exact_silence() -> None:
    """Samples that no audible frame's window reaches are 0, between others that are not."""
    spec = MelSpec.preset("hifigan")
    mel = log_mel(tone(spec), spec)
    mel[:, 10:25] = torch.from_numpy(silent_mel(spec, 15))
    for name in ("griffinlim", "griffinlim:streaming"):
        wav = create_vocoder(name, mel=spec, iterations=8).generate(mel[None], seed=0)[0]
        frames = wav[: 42 * spec.hop_length].view(42, -1).abs().amax(dim=1)
        assert not frames[12:23].any()
        assert frames[:9].min() > 1e-3 < frames[26:].min()


def test_blocks_only_keep_mels() -> None:
    with pytest.raises(WavewrightError, match="only `keep: mel` goes block by block"):
        create_vocoder("griffinlim", keep="magnitude", block_frames=8)


@pytest.mark.slow
def test_real_speech_is_as_near_as_the_independent_baseline(shared: Path) -> None:
    """The pseudo-inverse's: M-STFT 1.784 and mel L1 0.501 over eight clips; the mel's is nearer."""
    spec = MelSpec.preset("tacotron2")
    mstft, mel_l1 = MSTFT(), MelL1()
    other = json.loads((shared / "fixtures" / "evaluation" / "gl60_mel80.json").read_text())
    ours: list[tuple[float, float]] = []
    nearer: list[tuple[float, float]] = []
    theirs = []
    for utterance in ("LJ001-0002", "LJ001-0004", "LJ001-0006", "LJ001-0008"):
        (path,) = (shared / "corpora" / "ljspeech-mini" / "wavs").glob(f"{utterance}.*")
        wav, rate = load_wav(path)
        mel = log_mel(torch.from_numpy(wav), spec)[None]
        for name, values in (("griffinlim:magnitude", ours), ("griffinlim", nearer)):
            copy = create_vocoder(name, mel=spec).generate(mel, seed=0)[0].numpy()
            copy = from_pcm16(to_pcm16(copy))
            values.append((mstft(wav, copy, rate), mel_l1(wav, copy, rate)))
        theirs.append([other["per_utt"][utterance][key] for key in ("mstft", "mel_l1")])
    assert np.mean(ours, axis=0) == pytest.approx(np.mean(theirs, axis=0), rel=0.03)
    assert np.all(np.mean(nearer, axis=0) < [1.2, 0.25])
