"""Weights to begin with."""

from __future__ import annotations

from torch import nn


def for_relu(layer: nn.Module) -> None:
    """He et al.'s normal weights and no bias, in convolutions over time; for `Module.apply`.

    Source: He et al. 2015, arXiv:1502.01852.
    """
    if isinstance(layer, nn.Conv1d):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
