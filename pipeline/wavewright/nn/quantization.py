"""Waveforms as whole numbers: mu-law in both conventions of the field, and 16 bits in two halves.

ITU-T G.711's curve, continuous, with mu = classes - 1. The conventions differ in how the curve's
value becomes a label, on half of all inputs at 8 bits; silence is 127 in one and 128 in the other.
A checkpoint says which it was trained with, and nothing here has a default.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Rounding = Literal["truncate", "round"]
HALF = 256  # values of one byte


def mu_law_encode(wav: Tensor, classes: int, rounding: Rounding) -> Tensor:
    """Labels of a waveform.

    Args:
        wav: any shape, floating-point in [-1, 1].
        classes: how many labels.
        rounding: `truncate` as r9y9's wavenet_vocoder (nnmnkwii) does, `round` as fatchord's
            WaveRNN does.

    Returns:
        int64 in 0 .. classes - 1.
    """
    mu = classes - 1
    curve = wav.sign() * torch.log1p(mu * wav.abs()) / math.log1p(mu)
    scaled = (curve + 1) / 2 * mu
    if rounding == "round":
        scaled = (scaled + 0.5).floor()
    return scaled.long().clamp(0, mu)


def mu_law_decode(labels: Tensor, classes: int) -> Tensor:
    """Waveform in [-1, 1] of labels, the same for both conventions; float32."""
    mu = classes - 1
    curve = label_value(labels, classes)
    return curve.sign() * torch.expm1(curve.abs() * math.log1p(mu)) / mu


def label_value(labels: Tensor, classes: int) -> Tensor:
    """Labels spread evenly over [-1, 1]; float32, or float64 of float64."""
    values = labels if labels.is_floating_point() else labels.float()
    return 2 * values / (classes - 1) - 1


def silence(classes: int, rounding: Rounding) -> int:
    """The label of 0."""
    return int(mu_law_encode(torch.zeros(1, dtype=torch.float64), classes, rounding))


def split16(samples: Tensor) -> tuple[Tensor, Tensor]:
    """16-bit samples (-32768 .. 32767) as coarse and fine halves, each 0 .. 255; int64."""
    unsigned = samples.long() + HALF * HALF // 2
    return unsigned.div(HALF, rounding_mode="floor"), unsigned.remainder(HALF)


def join16(coarse: Tensor, fine: Tensor) -> Tensor:
    """16-bit samples of their halves; int64."""
    return coarse.long() * HALF + fine.long() - HALF * HALF // 2
