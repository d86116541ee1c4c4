"""MelGAN's residual block (arXiv:1910.06711, section 2.1), which reflects at its ends."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from wavewright.nn.receptive_field import Span, input_span

_SLOPE = 0.2


class ReflectedResidualBlock(nn.Module):
    """A dilated and a pointwise convolution beside a pointwise shortcut."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.dilated = nn.Conv1d(channels, channels, 3, dilation=dilation)
        self.pointwise = nn.Conv1d(channels, channels, 1)
        self.shortcut = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, T) -> the same shape; T must exceed the dilation."""
        padded = F.pad(F.leaky_relu(x, _SLOPE), (self.dilation, self.dilation), mode="reflect")
        residual: Tensor = self.pointwise(F.leaky_relu(self.dilated(padded), _SLOPE))
        shortcut: Tensor = self.shortcut(x)
        return shortcut + residual

    def input_span(self, span: Span) -> Span:
        """Input span of the dilated convolution, whose padding is its receptive field."""
        return input_span([self.dilated], span.expand(self.dilation, -self.dilation))
