"""Losses on spectra, in float32 whatever precision the networks run in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel

#: (n_fft, hop_length, win_length) as published with Parallel WaveGAN.
RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
_POWER_FLOOR = 1e-7


def loss_spec(spec: MelSpec, *, full_band: bool = True) -> MelSpec:
    """Convention of a mel loss: no filters, no normalisation, bands up to half the sample rate.

    HiFi-GAN and its successors listen to the whole band, whatever their input is limited to.
    """
    changes = {"wav_steps": (), "target_steps": (), "normalisation": None}
    return spec.model_copy(
        update={**changes, "fmax": spec.sample_rate / 2} if full_band else changes
    )


def mel_l1(fake: Tensor, real: Tensor, spec: MelSpec) -> Tensor:
    """Mean absolute difference of the log-mels of (B, samples) each."""
    with torch.autocast(fake.device.type, enabled=False):
        return F.l1_loss(log_mel(fake.float(), spec), log_mel(real.float(), spec))


def stft_losses(
    fake: Tensor, real: Tensor, resolutions: Sequence[tuple[int, int, int]] = RESOLUTIONS
) -> tuple[Tensor, Tensor]:
    """Spectral convergence and L1 of log magnitudes, each the mean over the resolutions.

    Args:
        fake: (B, samples).
        real: (B, samples).
        resolutions: (n_fft, hop_length, win_length) each.

    Source: Yamamoto et al. 2020, arXiv:1910.11480, section 2.2.
    """
    convergence, magnitude = [], []
    with torch.autocast(fake.device.type, enabled=False):
        for resolution in resolutions:
            ours = _magnitudes(fake.float(), *resolution)
            true = _magnitudes(real.float(), *resolution)
            convergence.append(torch.linalg.norm(true - ours) / torch.linalg.norm(true))
            magnitude.append(F.l1_loss(ours.log(), true.log()))
    return torch.stack(convergence).mean(), torch.stack(magnitude).mean()


def _magnitudes(wav: Tensor, n_fft: int, hop_length: int, win_length: int) -> Tensor:
    window = torch.hann_window(win_length, device=wav.device)
    spectrum = torch.stft(wav, n_fft, hop_length, win_length, window, return_complex=True)
    power = spectrum.real.square() + spectrum.imag.square()
    return power.clamp(min=_POWER_FLOOR).sqrt()
