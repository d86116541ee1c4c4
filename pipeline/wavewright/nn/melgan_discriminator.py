"""MelGAN's discriminators (arXiv:1910.06711, section 2.2): the same network at several rates.

Multi-band MelGAN has the same with one downsampling less and fewer channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavewright.nn.weight_norm import add_weight_norm

_SLOPE = 0.2


class MelGANScaleDiscriminator(nn.Module):
    """One rate: grouped convolutions that stride by four."""

    def __init__(self, channels: int, max_channels: int, downsamplings: int) -> None:
        super().__init__()
        width = channels
        self.convs = nn.ModuleList([nn.Conv1d(1, width, 15)])
        for _ in range(downsamplings):
            before, width = width, min(4 * width, max_channels)
            self.convs.append(nn.Conv1d(before, width, 41, 4, padding=20, groups=before // 4))
        before, width = width, min(2 * width, max_channels)
        self.convs.append(nn.Conv1d(before, width, 5, padding=2))
        self.conv_post = nn.Conv1d(width, 1, 3, padding=1)
        add_weight_norm(self)

    def forward(self, wav: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, 1, samples) -> (B, n) scores and the features of the hidden layers."""
        x, features = F.pad(wav, (7, 7), mode="reflect"), []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), _SLOPE)
            features.append(x)
        return torch.flatten(self.conv_post(x), 1), features


class MelGANDiscriminator(nn.Module):
    """Discriminators over ever more averaged audio.

    Args:
        scales: how many, each at half the rate of the one before.
        channels: of the first layer, a multiple of four; each downsampling has four times as many.
        max_channels: of any layer.
        downsamplings: layers that stride.
    """

    def __init__(self, scales: int, channels: int, max_channels: int, downsamplings: int) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            MelGANScaleDiscriminator(channels, max_channels, downsamplings) for _ in range(scales)
        )

    def forward(self, wav: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
        """(B, samples) -> scores and features, one entry per scale."""
        scores, features = [], []
        x = wav[:, None]
        for i, discriminator in enumerate(self.discriminators):
            if i > 0:
                x = F.avg_pool1d(x, 4, 2, padding=1, count_include_pad=False)
            score, layers = discriminator(x)
            scores.append(score)
            features.append(layers)
        return scores, features
