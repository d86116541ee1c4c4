"""Contract between models and the training loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from torch import nn

from wavewright.errors import WavewrightError
from wavewright.models.base import Update
from wavewright.models.config import OptimizerConfig


@runtime_checkable
class Trainable(Protocol):
    """Model that the training loop can train."""

    def updates(self, batch: Any, step: int) -> Iterator[Update]:
        """Optimizer steps of one training step, in order.

        No graph may survive a `yield`, and no `yield` may stand inside a `with`.
        """

    def optimizer_config(self, player: str) -> OptimizerConfig:
        """Published optimizer settings of a player."""

    def build_discriminators(self) -> dict[str, nn.Module]:
        """Networks that are trained against this one, by player name; may be empty."""


def require_trainable(model: nn.Module) -> Trainable:
    """Return the model as one that can be trained.

    Raises:
        WavewrightError: there is nothing to train.
    """
    if not isinstance(model, Trainable):
        name = getattr(model, "name", type(model).__name__)
        raise WavewrightError(f"'{name}' has nothing to train")
    return model
