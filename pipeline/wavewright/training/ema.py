"""Exponential moving average of a model's weights, which inference uses.

Source: Polyak and Juditsky 1992; exponentially, as Oord et al. 2018 (arXiv:1711.10433) train.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class EMA:
    """Moving average of weights: average = decay * average + (1 - decay) * weights, every step.

    Early steps use the smaller decay (1 + step) / (10 + step): otherwise the initial weights would
    be heard for thousands of steps.

    Args:
        module: its parameters are averaged; its buffers are not.
        decay: near 1; 0.999 averages over about a thousand steps.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.parameters = dict(module.named_parameters())
        self.decay = decay
        self.values = {name: p.detach().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Average in the weights after `step` steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(
            list(self.values.values()),
            [p.data for p in self.parameters.values()],
            1 - decay,
        )

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the averaged weights into the module, and its own back at the end."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state_dict(self) -> dict[str, Tensor]:
        """Averages by parameter name."""
        return self.values

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a `state_dict`."""
        for name, value in self.values.items():
            value.copy_(state[name])

    def _swap(self) -> None:
        for name, parameter in self.parameters.items():
            parameter.data, self.values[name] = self.values[name], parameter.data
