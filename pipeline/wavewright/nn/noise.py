"""Noise that belongs to an item, whatever else is in its batch and wherever it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Noise:
    """Random numbers that an item of a batch is made from.

    Attributes:
        shape: of an item's.
        kind: standard normal; uniform in [-1, 1); or whole numbers, each of `choices` alike.
        choices: what the whole numbers stand for.
    """

    shape: tuple[int, ...]
    kind: Literal["normal", "uniform", "choice"] = "normal"
    choices: tuple[str, ...] = ()

    def drawn(self, seeds: Sequence[int], device: torch.device) -> Tensor:
        """(len(seeds), *shape), float32 or int64, each item from its own seed alone."""
        if self.kind == "normal":
            return normal_noise(seeds, self.shape, device)
        if self.kind == "uniform":
            return uniform_noise(seeds, self.shape, device)
        count = len(self.choices)
        numbers = [np.random.default_rng(s).integers(count, size=self.shape) for s in seeds]
        return torch.from_numpy(np.stack(numbers)).to(device)


def item_seeds(seed: int | None, batch: int) -> list[int]:
    """A seed for every item of a batch from (seed, item); fresh ones for None."""
    if seed is None:
        return [int(value) for value in torch.randint(2**62, (batch,))]
    return [
        int(np.random.SeedSequence([seed, i]).generate_state(1, np.uint64)[0] >> 1)
        for i in range(batch)
    ]


def normal_noise(seeds: Sequence[int], shape: Sequence[int], device: torch.device) -> Tensor:
    """(len(seeds), *shape) of standard normal float32, each item from its own seed alone.

    Drawn on the processor, so that it is the same for every device.
    """
    drawn = [torch.randn(*shape, generator=torch.Generator().manual_seed(s)) for s in seeds]
    return torch.stack(drawn).to(device, non_blocking=True)


def uniform_noise(seeds: Sequence[int], shape: Sequence[int], device: torch.device) -> Tensor:
    """(len(seeds), *shape) of float32 in [-1, 1), otherwise as `normal_noise`."""
    drawn = [torch.rand(tuple(shape), generator=torch.Generator().manual_seed(s)) for s in seeds]
    return (2 * torch.stack(drawn) - 1).to(device, non_blocking=True)
