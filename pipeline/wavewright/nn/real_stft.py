"""Short-time Fourier transform in real arithmetic: a strided convolution.

As `inverse_stft`: no complex tensor, so that it exports wherever convolutions do. For a few hundred
bins it takes about as long as a fast transform, which is the more exact one.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RealSTFT(nn.Module):
    """Spectra in periodic Hann windows, which begin at whole hops and are not padded.

    Args:
        n_fft: samples of a frame and of its window.
        hop_length: samples between frames.
    """

    basis: Tensor

    def __init__(self, n_fft: int, hop_length: int) -> None:
        super().__init__()
        self.hop_length = hop_length
        bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64)
        angle = 2 * math.pi / n_fft * bins[:, None] * torch.arange(n_fft)[None]
        window = torch.hann_window(n_fft, dtype=torch.float64)
        rows = torch.cat([torch.cos(angle), -torch.sin(angle)]) * window
        self.register_buffer("basis", rows[:, None].float(), persistent=False)

    def forward(self, wav: Tensor) -> tuple[Tensor, Tensor]:
        """(B, samples) -> real and imaginary parts, (B, frames, n_fft // 2 + 1) each."""
        real, imaginary = F.conv1d(wav[:, None], self.basis, stride=self.hop_length).mT.chunk(2, 2)
        return real, imaginary
