"""Convolutions over time as a processor likes them: channels last.

A Conv1d of torch takes (B, channels, T) with T running fastest, and copies its input into another
order and back. As a Conv2d of height 1 in channels-last order it needs no copy; what lies between
convolutions (activations, sums) keeps the order that it finds.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ChannelsLastConv(nn.Module):
    """A Conv1d or ConvTranspose1d for inference; gives the same numbers.

    Args:
        conv: whose weights to use, in their type; inputs are brought to it.
    """

    def __init__(self, conv: nn.Conv1d | nn.ConvTranspose1d) -> None:
        super().__init__()
        weight = conv.weight.detach()[:, :, None].contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = conv.bias
        self.transposed = isinstance(conv, nn.ConvTranspose1d)
        self.stride, self.dilation, self.groups = conv.stride[0], conv.dilation[0], conv.groups
        assert not isinstance(conv.padding, str)
        self.padding = conv.padding[0]
        self.output_padding = conv.output_padding[0] if self.transposed else 0

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, T) -> (B, out channels, T'), its channels running fastest."""
        image = x.to(self.weight.dtype)[:, :, None].contiguous(memory_format=torch.channels_last)
        stride, padding, dilation = (1, self.stride), (0, self.padding), (1, self.dilation)
        if self.transposed:
            extra = (0, self.output_padding)
            made = F.conv_transpose2d(
                image, self.weight, self.bias, stride, padding, extra, self.groups, dilation
            )
        else:
            made = F.conv2d(image, self.weight, self.bias, stride, padding, dilation, self.groups)
        return made[:, :, 0]


def channels_last(module: nn.Module) -> None:
    """Lay out every convolution inside a module that no longer learns.

    Those over time are replaced; those over images keep their class and get their weights in that
    order, which is what torch decides by.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d | nn.ConvTranspose2d):
            child.weight.data = child.weight.data.contiguous(memory_format=torch.channels_last)
        if isinstance(child, nn.Conv1d | nn.ConvTranspose1d) and child.padding_mode == "zeros":
            setattr(module, name, ChannelsLastConv(child))
        else:
            channels_last(child)
