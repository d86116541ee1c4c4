"""Inverse short-time Fourier transform in real arithmetic: a matrix product and shifted sums.

There is no complex tensor and no transform in it, so it exports wherever convolutions do, and any
framing of a MelSpec can be inverted (torch.istft knows centred frames alone).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavewright.mel.spec import MelSpec
from wavewright.nn.receptive_field import Span


class InverseSTFT(nn.Module):
    """Inverse STFT with Hann windows, to waveforms of frames * hop_length samples.

    Args:
        n_fft: samples of a frame and of its periodic Hann window.
        hop_length: samples between frames.
        framing: `center`: frame i is centred on sample i * hop; `hop`: half a hop later.
    """

    basis: Tensor
    power: Tensor

    def __init__(self, n_fft: int, hop_length: int, framing: str) -> None:
        super().__init__()
        self.hop_length = hop_length
        self.first = n_fft // 2 if framing == "center" else (n_fft - hop_length) // 2
        bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64)
        angle = 2 * math.pi / n_fft * bins[:, None] * torch.arange(n_fft)[None]
        twice = torch.full((len(bins), 1), 2.0, dtype=torch.float64)
        twice[0] = 1.0
        if n_fft % 2 == 0:
            twice[-1] = 1.0
        window = torch.hann_window(n_fft, dtype=torch.float64)
        rows = torch.cat([twice * torch.cos(angle), -twice * torch.sin(angle)]) / n_fft * window
        missing = -n_fft % hop_length  # frames become whole numbers of hops
        self.register_buffer("basis", F.pad(rows, (0, missing)).float(), persistent=False)
        self.register_buffer("power", F.pad(window**2, (0, missing)).float(), persistent=False)

    @staticmethod
    def of(spec: MelSpec) -> InverseSTFT:
        """Frames where the mel's frames are."""
        return InverseSTFT(spec.n_fft, spec.hop_length, spec.framing)

    def forward(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """(B, frames, n_fft // 2 + 1) each -> (B, frames * hop_length)."""
        frames = real.shape[1]
        wav = self.summed(real, imaginary)
        windows = self._overlap_add(self.power.expand(1, frames, -1))
        wav = wav / windows.clamp(min=1e-11)
        return wav[:, self.first : self.first + frames * self.hop_length]

    def input_span(self, span: Span) -> Span:
        """Frames whose windows hold the samples."""
        first, last = span.first + self.first, span.last + self.first
        frame = self.power.shape[0]
        return Span(-((frame - 1 - first) // self.hop_length), last // self.hop_length)

    def summed(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Frames windowed and summed, whatever the windows sum to, with both edges.

        Args:
            real: (B, frames, n_fft // 2 + 1).
            imaginary: the same.

        Returns:
            (B, (frames - 1) * hop_length + n_fft), and zeros up to a whole hop.
        """
        return self._overlap_add(torch.cat([real, imaginary], dim=2) @ self.basis)

    def _overlap_add(self, pieces: Tensor) -> Tensor:
        """(B, frames, whole hops) -> (B, (frames + hops - 1) * hop_length)."""
        batch, frames, length = pieces.shape
        hops = length // self.hop_length
        shares = pieces.reshape(batch, frames, hops, self.hop_length)
        total = torch.zeros((), device=pieces.device, dtype=pieces.dtype)
        for i in range(hops):
            total = total + F.pad(shares[:, :, i], (0, 0, i, hops - 1 - i))
        return total.reshape(batch, -1)
