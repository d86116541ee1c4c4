"""The fast mel path gives what the reference gives, for every convention."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel
from wavewright.mel.transform_numpy import log_mel_numpy


def speech_like(samples: int, seed: int = 0) -> np.ndarray:
    """Noise that is 60 dB quieter in the highs, with pauses."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum *= 10 ** (-3 * np.linspace(0, 1, len(spectrum)))
    wav = np.fft.irfft(spectrum, samples)
    wav *= np.abs(np.sin(np.arange(samples) * 3e-4)) ** 4
    scaled: np.ndarray = (0.5 * wav / np.abs(wav).max()).astype(np.float32)
    return scaled


@pytest.mark.parametrize("name", MelSpec.presets())
@pytest.mark.parametrize("samples", [5000, 40_000])
def test_both_paths_agree(name: str, samples: int) -> None:
    spec = MelSpec.preset(name)
    wav = speech_like(samples)
    found = log_mel_numpy(wav, spec)
    expected = log_mel(torch.from_numpy(wav), spec).numpy()
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 2e-5


@pytest.mark.parametrize(
    "changes",
    [
        {"power": 2},
        {"magnitude_eps": 1e-6, "magnitude_guard": "clamp"},
        {"guard": "add", "floor": 1e-3},
        {"win_length": 800},
        {"normalisation": {"mean": list(range(80)), "scale": [0.5 + i for i in range(80)]}},
        {"n_mels": 200},  # some bands are narrower than a bin and have no weights
    ],
)
def test_every_field_is_honoured(changes: dict[str, object]) -> None:
    spec = MelSpec.model_validate({"preset": "tacotron2", **changes})
    wav = speech_like(9000)
    found = log_mel_numpy(wav, spec)
    assert np.abs(found - log_mel(torch.from_numpy(wav), spec).numpy()).max() < 2e-5


def test_a_recording_gives_the_same_alone_and_after_others() -> None:
    spec = MelSpec.preset("hifigan")
    first = log_mel_numpy(speech_like(30_000), spec)
    log_mel_numpy(speech_like(8_000, seed=1), spec)
    np.testing.assert_array_equal(log_mel_numpy(speech_like(30_000), spec), first)


def test_the_recording_is_not_written_to() -> None:
    wav = speech_like(4000)
    wav.setflags(write=False)
    for name in ("hifigan", "r9y9", "wavernn"):
        log_mel_numpy(wav, MelSpec.preset(name))


@pytest.mark.parametrize(
    ("wav", "words"),
    [
        (np.zeros(4000, np.int16), "found int16"),
        (np.zeros(4000), "found float64"),
        (np.zeros((2, 4000), np.float32), r"found float32 \(2, 4000\)"),
        (np.zeros(512, np.float32), "512 samples is too short.*513 are needed"),
    ],
)
def test_what_is_no_recording_is_refused(wav: np.ndarray, words: str) -> None:
    with pytest.raises(WavewrightError, match=words):
        log_mel_numpy(wav, MelSpec.preset("tacotron2"))
