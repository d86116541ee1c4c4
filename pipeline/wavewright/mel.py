"""Waveform to log-mel, the only mel code of the project.

Every convention is a MelSpec; nothing here has a default of its own.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wavewright.errors import WavewrightError
from wavewright.melspec import MelSpec

_LOG_UNIT = {"ln": 1.0, "log10": 1 / math.log(10), "db": 20 / math.log(10)}


@lru_cache(maxsize=32)
def mel_filterbank(spec: MelSpec) -> np.ndarray:
    """Filterbank of `spec`: (n_mels, 1 + n_fft // 2) float32, by librosa."""
    from librosa.filters import mel

    basis: np.ndarray = mel(
        sr=spec.sample_rate,
        n_fft=spec.n_fft,
        n_mels=spec.n_mels,
        fmin=spec.fmin,
        fmax=spec.fmax,
        htk=spec.mel_scale == "htk",
        norm=spec.mel_norm,
    )
    return basis


@lru_cache(maxsize=32)
def _constants(spec: MelSpec, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):  # kept for training, even if inference asks first
        basis = torch.from_numpy(mel_filterbank(spec)).to(device, dtype)
        window = torch.hann_window(
            spec.win_length, periodic=spec.window_periodic, dtype=dtype, device=device
        )
        return basis, window


def magnitude(wav: Tensor, spec: MelSpec) -> Tensor:
    """Magnitude spectrogram in the framing of `spec`, differentiable.

    Args:
        wav: (..., samples), float in [-1, 1], at `spec.sample_rate` Hz.

    Returns:
        (..., 1 + n_fft // 2, frames), raised to `spec.power`.

    Raises:
        WavewrightError: `wav` holds integers, or is too short to be padded by reflection.
    """
    if not wav.is_floating_point():
        raise WavewrightError(f"a waveform must be floating-point in [-1, 1], found {wav.dtype}")
    samples = wav.shape[-1]
    if samples < spec.hop_length or (spec.pad_mode == "reflect" and samples <= spec.edge):
        needed = max(spec.hop_length, spec.edge + 1 if spec.pad_mode == "reflect" else 0)
        raise WavewrightError(
            f"waveform of {samples} samples is too short for a mel of n_fft {spec.n_fft}; "
            f"at least {needed} are needed"
        )
    _, window = _constants(spec, wav.device, wav.dtype)
    flat = wav.reshape(-1, samples)
    padded = F.pad(flat[:, None], (spec.edge, spec.edge), mode=spec.pad_mode)[:, 0]
    spectrum = torch.stft(
        padded,
        spec.n_fft,
        hop_length=spec.hop_length,
        win_length=spec.win_length,
        window=window,
        center=False,
        return_complex=True,
    )
    power = spectrum.real.square() + spectrum.imag.square()
    if spec.magnitude_guard == "clamp":
        power = power.clamp(min=spec.magnitude_eps)
    else:
        power = power + spec.magnitude_eps
    # The root's gradient at exactly 0 is infinite; the smallest normal number is as silent.
    values = power.clamp(min=torch.finfo(power.dtype).tiny).sqrt() if spec.power == 1 else power
    return values.reshape(*wav.shape[:-1], *values.shape[-2:])


def log_mel(wav: Tensor, spec: MelSpec) -> Tensor:
    """Log-mel spectrogram as `spec` defines it, differentiable.

    Args:
        wav: (..., samples), float in [-1, 1], at `spec.sample_rate` Hz.

    Returns:
        (..., n_mels, spec.frames(samples)), in the unit of `spec.log`, normalised if it says so.

    Raises:
        WavewrightError: `wav` holds integers, or is too short to be padded by reflection.
    """
    values = magnitude(wav, spec)
    basis, _ = _constants(spec, wav.device, wav.dtype)
    amplitude = basis @ values
    guarded = amplitude + spec.floor if spec.guard == "add" else amplitude.clamp(min=spec.floor)
    mel = guarded.log() * _LOG_UNIT[spec.log]
    if spec.normalisation is None:
        return mel
    affine = spec.normalisation
    return (mel * affine.scale + affine.shift).clamp(affine.low, affine.high)


def convert_mel(mel: Tensor, source: MelSpec, target: MelSpec) -> Tensor:
    """Say the same mel in another convention, where that is exact.

    The base of the logarithm and the range normalisation are exact to change; sample rate, hop,
    window, band, scale, floor and framing are not, and are refused.

    Args:
        mel: (..., n_mels, frames) in the convention `source`.

    Returns:
        (..., n_mels, frames) in the convention `target`.

    Raises:
        MelMismatch: naming every field that cannot be converted.
    """
    exact = {"log": target.log, "normalisation": target.normalisation}
    source.model_copy(update=exact).require_equal(target, mine="the source", theirs="the target")
    if source == target:
        return mel
    if source.normalisation is not None:
        mel = (mel - source.normalisation.shift) / source.normalisation.scale
    mel = mel * (_LOG_UNIT[target.log] / _LOG_UNIT[source.log])
    if target.normalisation is not None:
        affine = target.normalisation
        mel = (mel * affine.scale + affine.shift).clamp(affine.low, affine.high)
    return mel


def amplitude_from_log_mel(mel: Tensor, spec: MelSpec) -> Tensor:
    """Undo the logarithm and normalisation: (..., n_mels, frames) mel amplitude, at least 0."""
    if spec.normalisation is not None:
        mel = (mel - spec.normalisation.shift) / spec.normalisation.scale
    amplitude = (mel / _LOG_UNIT[spec.log]).exp()
    return (amplitude - spec.floor).clamp(min=0) if spec.guard == "add" else amplitude
