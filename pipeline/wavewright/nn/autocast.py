"""Layers that stay in float32 under autocast."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def in_float32(layer: nn.Module, x: Tensor) -> Tensor:
    """`layer(x)` outside autocast: the last layer before a waveform.

    bfloat16 has eight significant bits, so a waveform rounded to it carries noise 50 dB below each
    of its samples, which log spectra hear.
    """
    with torch.autocast(x.device.type, enabled=False):
        result: Tensor = layer(x.float())
    return result
