"""Long-term average spectra of many waveforms, independent of their text."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from wavewright.mel.filterbank import mel_frequencies
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel

_FLOOR = 1e-10  # power; keeps the decibels of digital silence finite


def long_term_spectrum(wavs: Iterable[np.ndarray], spec: MelSpec) -> np.ndarray:
    """Mean power of each mel band over all frames of all waveforms: (n_mels) in dB.

    Args:
        wavs: (samples) each, at the spec's rate; those shorter than a frame are skipped.
        spec: gives framing and number of bands; the bands reach up to half the rate.
    """
    plain = MelSpec(
        sample_rate=spec.sample_rate,
        n_fft=spec.n_fft,
        hop_length=spec.hop_length,
        win_length=spec.win_length,
        n_mels=spec.n_mels,
        fmax=spec.sample_rate / 2,
        power=2,
        floor=_FLOOR,
    )
    total, frames = np.zeros(spec.n_mels), 0
    for wav in wavs:
        if len(wav) < spec.n_fft:
            continue
        power = log_mel(torch.from_numpy(np.ascontiguousarray(wav, np.float32)), plain).exp()
        total += power.double().sum(dim=1).numpy()
        frames += power.shape[1]
    decibels: np.ndarray = 10 * np.log10(np.maximum(total / max(frames, 1), _FLOOR))
    return decibels


def band_frequencies(spec: MelSpec) -> np.ndarray:
    """Center frequencies (n_mels) in Hz of the bands of `long_term_spectrum`."""
    return mel_frequencies(spec.n_mels + 2, 0.0, spec.sample_rate / 2)[1:-1]


def spectral_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Root mean square difference of two long-term spectra, in dB, their levels included."""
    return float(np.sqrt(np.mean((first - second) ** 2)))
