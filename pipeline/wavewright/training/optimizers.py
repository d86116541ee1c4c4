"""Optimizers of the players, and their learning rates as functions of the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from wavewright.models.config import OptimizerConfig


class Restart(NamedTuple):
    """Step at which the schedule of learning rates starts anew.

    Attributes:
        step: first step of the new schedule.
        learning_rate: generator's rate there; other players' rates keep their ratio to it.
    """

    step: int
    learning_rate: float


def build_optimizer(parameters: list[nn.Parameter], rule: OptimizerConfig) -> torch.optim.Optimizer:
    """Build the optimizer of one player."""
    kinds: dict[str, type[torch.optim.Optimizer]] = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "radam": torch.optim.RAdam,
    }
    settings: dict[str, Any] = {
        "lr": rule.learning_rate,
        "betas": rule.betas,
        "eps": rule.eps,
        "weight_decay": rule.weight_decay,
    }
    if rule.amsgrad:
        settings["amsgrad"] = True
    return kinds[rule.optimizer](parameters, **settings)


def set_learning_rates(
    optimizers: Mapping[str, torch.optim.Optimizer],
    rules: Mapping[str, OptimizerConfig],
    step: int,
    steps_per_epoch: int,
    restart: Restart | None,
) -> None:
    """Set every player's learning rate for a step.

    Args:
        optimizers: optimizers by player.
        rules: configuration of each.
        step: training step about to be taken.
        steps_per_epoch: steps after which a decay per epoch applies.
        restart: step from which all schedules start anew, if any.
    """
    first, factor = 0, 1.0
    if restart and step >= restart.step:
        first = restart.step
        factor = restart.learning_rate / rules["generator"].learning_rate
    for name, optimizer in optimizers.items():
        rule = rules[name]
        rate = factor * rule.rate(max(0, step - max(first, rule.starts_at)), steps_per_epoch)
        for settings in optimizer.param_groups:
            settings["lr"] = rate
