"""Discriminators that look at spectrograms of several resolutions.

Two kinds are in use: one sees magnitudes (UnivNet, Jang et al. 2021, arXiv:2106.07889; BigVGAN),
the other the complex spectrum, in bands with layers of their own (Descript's audio codec, Kumar et
al. 2023, arXiv:2306.06546; Vocos).
"""

from __future__ import annotations

import itertools
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavewright.nn.discriminator import score
from wavewright.nn.weight_norm import add_weight_norm

_CHANNELS = 32
_STRIDES = (1, 2, 2, 2, 1)  # along the last axis; four wide kernels and a square one
_BANDS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # edges, as shares of the bins


def _stack(before: int, channels: int) -> nn.ModuleList:
    layers = nn.ModuleList()
    for i, stride in enumerate(_STRIDES):
        width = 9 if i < len(_STRIDES) - 1 else 3
        layers.append(nn.Conv2d(before, channels, (3, width), (1, stride), padding=(1, width // 2)))
        before = channels
    return layers


class MagnitudeDiscriminator(nn.Module):
    """One resolution, seen as magnitudes; the window has no taper."""

    window: Tensor

    def __init__(
        self, n_fft: int, hop_length: int, win_length: int, width_divisor: int = 1
    ) -> None:
        super().__init__()
        self.n_fft, self.hop_length, self.win_length = n_fft, hop_length, win_length
        channels = _CHANNELS // width_divisor
        self.convs = _stack(1, channels)
        self.conv_post = nn.Conv2d(channels, 1, 3, padding=1)
        self.register_buffer("window", torch.ones(win_length), persistent=False)
        add_weight_norm(self)

    def forward(self, wav: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, samples) -> (B, n) scores and the features of all six layers."""
        return score(self._magnitudes(wav)[:, None], self.convs, self.conv_post)

    def _magnitudes(self, wav: Tensor) -> Tensor:
        edge = (self.n_fft - self.hop_length) // 2
        with torch.autocast(wav.device.type, enabled=False):
            padded = F.pad(wav.float()[:, None], (edge, edge), mode="reflect")[:, 0]
            spectrum = torch.stft(
                padded,
                self.n_fft,
                self.hop_length,
                self.win_length,
                self.window,
                center=False,
                return_complex=True,
            )
            magnitudes: Tensor = torch.linalg.vector_norm(torch.view_as_real(spectrum), dim=-1)
        return magnitudes


class BandDiscriminator(nn.Module):
    """One resolution, seen as real and imaginary parts of five bands, loudness removed."""

    window: Tensor

    def __init__(self, n_fft: int, width_divisor: int = 1) -> None:
        super().__init__()
        self.n_fft = n_fft
        channels = _CHANNELS // width_divisor
        edges = [int(share * (n_fft // 2 + 1)) for share in _BANDS]
        self.bands = list(itertools.pairwise(edges))
        self.band_convs = nn.ModuleList(_stack(2, channels) for _ in self.bands)
        self.conv_post = nn.Conv2d(channels, 1, 3, padding=1)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        add_weight_norm(self)

    def forward(self, wav: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, samples) -> (B, 1, frames, n) scores and features, all but each band's first."""
        spectrum = self._spectrum(wav)
        features, outputs = [], []
        for (low, high), stack in zip(self.bands, self.band_convs, strict=True):
            x = spectrum[..., low:high]
            for i, conv in enumerate(cast("nn.ModuleList", stack)):
                x = F.leaky_relu(conv(x), 0.1)
                if i > 0:
                    features.append(x)
            outputs.append(x)
        x = self.conv_post(torch.cat(outputs, dim=-1))
        return x, [*features, x]

    def _spectrum(self, wav: Tensor) -> Tensor:
        """(B, 2, frames, bins) of the waveform without offset, its peak at 0.8."""
        with torch.autocast(wav.device.type, enabled=False):
            wav = wav.float() - wav.float().mean(dim=-1, keepdim=True)
            wav = 0.8 * wav / (wav.abs().amax(dim=-1, keepdim=True) + 1e-9)
            spectrum = torch.stft(
                wav, self.n_fft, self.n_fft // 4, window=self.window, return_complex=True
            )
            return torch.view_as_real(spectrum).permute(0, 3, 2, 1)
