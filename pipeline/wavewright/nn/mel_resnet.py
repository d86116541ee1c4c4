"""fatchord's network that reads mels at their own rate, as WaveRNN is conditioned on it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two pointwise convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv1d(channels, channels, 1, bias=False)
        self.batch_norm1 = nn.BatchNorm1d(channels)
        self.batch_norm2 = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, frames) -> the same shape."""
        y = F.relu(self.batch_norm1(self.conv1(x)))
        result: Tensor = self.batch_norm2(self.conv2(y)) + x
        return result


class MelResidualNetwork(nn.Module):
    """Every frame with its neighbours, through residual blocks.

    Args:
        bands: of the mel.
        channels: within.
        blocks: how many.
        out_channels: of the result.
        context_frames: neighbours on either side.
    """

    def __init__(
        self, bands: int, channels: int, blocks: int, out_channels: int, context_frames: int
    ) -> None:
        super().__init__()
        self.conv_in = nn.Conv1d(bands, channels, 2 * context_frames + 1, bias=False)
        self.batch_norm = nn.BatchNorm1d(channels)
        self.layers = nn.ModuleList(ResidualBlock(channels) for _ in range(blocks))
        self.conv_out = nn.Conv1d(channels, out_channels, 1)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, bands, frames) -> (B, out_channels, frames - 2 context)."""
        x = F.relu(self.batch_norm(self.conv_in(mel)))
        for layer in self.layers:
            x = layer(x)
        result: Tensor = self.conv_out(x)
        return result
