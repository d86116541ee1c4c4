"""Griffin-Lim: the baseline that needs no training.

Mel amplitudes become linear magnitudes through the filterbank's pseudo-inverse, clipped at 0 (the
field's usual; librosa's `mel_to_stft` solves non-negative least squares instead, which fits a
little better and takes far longer). Phases come from the fast Griffin-Lim iteration.

Source: Griffin and Lim 1984; Perraudin, Balazs and Søndergaard 2013 for the momentum.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from wavewright.mel.spec import MelSpec, mel_filterbank
from wavewright.mel.transform import amplitude_from_log_mel
from wavewright.models.config import ModelConfig
from wavewright.models.vocoder import Vocoder
from wavewright.nn.noise import item_seeds

_SMALLEST_OVERLAP = 1e-3  # of squared windows, below which a sample is no sum worth dividing


class GriffinLimConfig(ModelConfig):
    """Sixty iterations with momentum 0.99, as librosa's users know it."""

    mel: MelSpec = MelSpec.preset("hifigan")
    iterations: int = Field(default=60, gt=0)
    momentum: float = Field(default=0.99, ge=0, lt=1)


class GriffinLim(Vocoder):
    """Estimates phases that make a magnitude spectrogram consistent; has no parameters.

    Any MelSpec will do: both framings, every logarithm. Bands at the floor become exact silence.
    """

    Config = GriffinLimConfig
    config: GriffinLimConfig

    def generate(
        self, mel: Tensor, *, seed: int | None = None, speaker: str | None = None
    ) -> Tensor:
        """Invert a mel; item i of a batch draws its phases from (seed, i)."""
        self.check_speaker(speaker)
        self.check_mel(mel)
        with torch.no_grad():
            magnitude = linear_magnitude(mel.float(), self.mel_spec)
            wav = self._consistent(magnitude, _random_phases(magnitude, seed))
        samples = mel.shape[-1] * self.hop_length
        return wav[:, self.mel_spec.padding : self.mel_spec.padding + samples].clamp(-1.0, 1.0)

    def _consistent(self, magnitude: Tensor, phases: Tensor) -> Tensor:
        """Waveforms under all frames, edges included: (B, (frames - 1) * hop + n_fft)."""
        push = self.config.momentum / (1 + self.config.momentum)
        previous = torch.zeros_like(phases)
        for _ in range(self.config.iterations):
            rebuilt = _stft(_istft(magnitude * phases, self.mel_spec), self.mel_spec)
            phases = rebuilt - push * previous
            phases = phases / phases.abs().clamp(min=1e-16)
            previous = rebuilt
        return _istft(magnitude * phases, self.mel_spec)


def linear_magnitude(mel: Tensor, spec: MelSpec) -> Tensor:
    """Log-mel (..., n_mels, frames) to STFT magnitude (..., 1 + n_fft // 2, frames)."""
    amplitude = amplitude_from_log_mel(mel, spec)
    silence = torch.tensor(spec.silence, dtype=mel.dtype, device=mel.device)[:, None]
    amplitude = amplitude * (amplitude > 1.001 * amplitude_from_log_mel(silence, spec))
    spectrum = (_pseudo_inverse(spec).to(mel.device) @ amplitude).clamp(min=0)
    return spectrum.sqrt() if spec.power == 2.0 else spectrum


@lru_cache(maxsize=8)
def _pseudo_inverse(spec: MelSpec) -> Tensor:
    return torch.from_numpy(np.linalg.pinv(mel_filterbank(spec)).astype(np.float32))


def _random_phases(magnitude: Tensor, seed: int | None) -> Tensor:
    """Unit phasors like `magnitude`; item i draws from (seed, i), on the CPU for all devices."""
    turns = [
        torch.rand(item.shape, generator=torch.Generator().manual_seed(own))
        for item, own in zip(magnitude, item_seeds(seed, len(magnitude)), strict=True)
    ]
    angle = 2 * math.pi * torch.stack(turns).to(magnitude.device)
    return torch.polar(torch.ones_like(angle), angle)


def _window(spec: MelSpec, device: torch.device) -> Tensor:
    return torch.hann_window(spec.win_length, periodic=spec.window_periodic, device=device)


def _stft(wav: Tensor, spec: MelSpec) -> Tensor:
    return torch.stft(
        wav,
        spec.n_fft,
        spec.hop_length,
        spec.win_length,
        window=_window(spec, wav.device),
        center=False,
        return_complex=True,
    )


def _istft(spectrum: Tensor, spec: MelSpec) -> Tensor:
    """Least-squares inverse that keeps the padded edges, which torch.istft refuses to give."""
    frames = spectrum.shape[-1]
    left = (spec.n_fft - spec.win_length) // 2
    right = spec.n_fft - spec.win_length - left
    window = F.pad(_window(spec, spectrum.device), (left, right))[None, :, None]
    pieces = torch.fft.irfft(spectrum, spec.n_fft, dim=1) * window
    weight = _overlap_add(window.square().expand(1, -1, frames), spec)
    return _overlap_add(pieces, spec) / weight.clamp(min=_SMALLEST_OVERLAP)


def _overlap_add(pieces: Tensor, spec: MelSpec) -> Tensor:
    """(B, n_fft, frames) -> (B, (frames - 1) * hop_length + n_fft)."""
    samples = (pieces.shape[-1] - 1) * spec.hop_length + spec.n_fft
    folded = F.fold(pieces, (1, samples), (1, spec.n_fft), stride=(1, spec.hop_length))
    return folded[:, 0, 0]
