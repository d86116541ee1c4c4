"""A running average of a model's weights, which is what inference uses.

Source: Polyak and Juditsky 1992; exponentially, as Oord et al. 2018 (arXiv:1711.10433) train.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """average = decay * average + (1 - decay) * weights, after every step.

    The first steps count for more, as min(decay, (1 + step) / (10 + step)) lets them: else the
    weights that training began with would be heard for thousands of steps.

    Args:
        module: whose parameters; buffers are not averaged.
        decay: near 1; with 0.999 a step counts for about a thousand others.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.parameters = dict(module.named_parameters())
        self.decay = decay
        self.values = {name: p.detach().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the weights in that `step` steps have led to."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(
            list(self.values.values()),
            [p.data for p in self.parameters.values()],
            1 - decay,
        )

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The module has the averaged weights meanwhile; the tensors of its own are kept."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state_dict(self) -> dict[str, Tensor]:
        """The averages by parameter name."""
        return self.values

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state_dict` gave."""
        for name, value in self.values.items():
            value.copy_(state[name])

    def _swap(self) -> None:
        for name, parameter in self.parameters.items():
            parameter.data, self.values[name] = self.values[name], parameter.data
