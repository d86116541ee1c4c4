"""Filters and scales: equal to librosa's to the last bit, without loading it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, get_args

import librosa
import numpy as np
import pytest

from wavewright.mel.filterbank import MelScale, mel_frequencies, triangular_filters
from wavewright.mel.presets import PRESETS
from wavewright.mel.spec import MelSpec, mel_filterbank


def by_librosa(spec: MelSpec) -> np.ndarray:
    filters: np.ndarray = librosa.filters.mel(
        sr=spec.sample_rate,
        n_fft=spec.n_fft,
        n_mels=spec.n_mels,
        fmin=spec.fmin,
        fmax=spec.fmax,
        htk=spec.mel_scale == "htk",
        norm=spec.mel_norm,
    )
    return filters


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_filters_of_every_preset_are_librosas(name: str) -> None:
    spec = MelSpec.preset(name)
    filters = mel_filterbank(spec)
    assert filters.dtype == np.float32
    np.testing.assert_array_equal(filters, by_librosa(spec))


@pytest.mark.parametrize("scale", get_args(MelScale))
@pytest.mark.parametrize("norm", ["slaney", None])
@pytest.mark.parametrize(
    ("sample_rate", "n_fft", "n_mels", "fmin", "fmax"),
    [
        (8000, 64, 8, 0.0, 4000.0),
        (16000, 400, 80, 20.0, 7600.0),
        (22050, 1024, 80, 0.0, None),
        (44100, 2048, 128, 1000.0, 22050.0),
        (48000, 4096, 20, 1234.5, 5432.1),
        (24000, 2048, 100, 0.0, 900.0),
    ],
)
def test_other_filters_are_librosas_too(
    scale: Any, norm: Any, sample_rate: int, n_fft: int, n_mels: int, fmin: float, fmax: Any
) -> None:
    band = {"fmin": fmin, "fmax": fmax, "norm": norm}
    filters = triangular_filters(sample_rate, n_fft, n_mels, scale=scale, **band)
    expected = librosa.filters.mel(
        sr=sample_rate, n_fft=n_fft, n_mels=n_mels, htk=scale == "htk", **band
    )
    np.testing.assert_array_equal(filters, expected)


@pytest.mark.parametrize("scale", get_args(MelScale))
def test_frequencies_are_librosas(scale: Any) -> None:
    expected = librosa.mel_frequencies(n_mels=52, fmin=0, fmax=11025.0, htk=scale == "htk")
    np.testing.assert_array_equal(mel_frequencies(52, 0.0, 11025.0, scale), expected)


def test_bands_without_a_bin_are_told() -> None:
    with pytest.warns(UserWarning, match=r"\d+ of 128 mel bands hold no FFT bin"):
        triangular_filters(22050, 256, 128, fmin=20.0, fmax=8000.0, scale="slaney", norm="slaney")


def test_filters_load_neither_librosa_nor_scipy(source_environment: dict[str, str]) -> None:
    """They would cost every process that computes a mel more than a second."""
    code = (
        "import sys\n"
        "from wavewright.mel.spec import MelSpec, mel_filterbank\n"
        "mel_filterbank(MelSpec.preset('hifigan'))\n"
        "assert not {'librosa', 'scipy', 'numba'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], env=source_environment, check=True)
