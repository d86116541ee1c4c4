"""Long-term average spectra: what a lot of sound is like, whichever words it says."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel

_FLOOR = 1e-10  # of power: digital silence has no decibels


def long_term_spectrum(wavs: Iterable[np.ndarray], spec: MelSpec) -> np.ndarray:
    """Mean power of each mel band over all frames of all waveforms, in dB: (n_mels).

    Args:
        wavs: (samples) each, at the spec's rate; shorter ones than a frame are left out.
        spec: whose bands, up to half the rate, and whose frames.
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
    """Middle of each band of `long_term_spectrum` in Hz: (n_mels)."""
    from librosa import mel_frequencies

    edges: np.ndarray = mel_frequencies(n_mels=spec.n_mels + 2, fmin=0, fmax=spec.sample_rate / 2)
    return edges[1:-1]


def spectral_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Root mean square difference of two long-term spectra, in dB, their levels included."""
    return float(np.sqrt(np.mean((first - second) ** 2)))
