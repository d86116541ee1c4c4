"""Noise that belongs to an item, whatever else is in its batch and wherever it is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class NoiseSpec:
    """Random numbers that an item of a batch is made from.

    Attributes:
        shape: of an item's.
        kind: standard normal; uniform in [-1, 1); or whole numbers, each of `choices` alike.
        choices: what the whole numbers stand for.
        frames: whose numbers lie one after the other along the last axis, and are drawn so; a
            stream then draws what the whole does. 0: the numbers belong to no frame.
    """

    shape: tuple[int, ...]
    kind: Literal["normal", "uniform", "choice"] = "normal"
    choices: tuple[str, ...] = ()
    frames: int = 0

    def draw(self, seeds: Sequence[int], device: torch.device) -> Tensor:
        """(len(seeds), *shape), float32 or int64, each item from its own seed alone."""
        return NoiseSampler(self, seeds).draw(self.frames or 1).to(device, non_blocking=True)


class NoiseSampler:
    """Noise of every item of a batch, frame by frame.

    Args:
        noise: of one frame, or of any number of them; or of none.
        seeds: of the items.
    """

    def __init__(self, noise: NoiseSpec, seeds: Sequence[int]) -> None:
        *others, last = noise.shape or (1,)
        self.noise = noise
        self.shape = (*others, last // noise.frames) if noise.frames else noise.shape
        self.sources = [self._source(seed) for seed in seeds]
        self.kept: Tensor | None = None

    def draw(self, frames: int) -> Tensor:
        """(items, *shape of so many more frames), on the processor."""
        if not self.noise.frames:  # which is the same for all of them
            if self.kept is None:
                self.kept = torch.stack([source() for source in self.sources])
            return self.kept
        items = [[source() for _ in range(frames)] for source in self.sources]
        return torch.stack([torch.cat(blocks, dim=-1) for blocks in items])

    def _source(self, seed: int) -> Callable[[], Tensor]:
        if self.noise.kind == "choice":
            chosen, count = np.random.default_rng(seed), len(self.noise.choices)
            return lambda: torch.from_numpy(np.asarray(chosen.integers(count, size=self.shape)))
        generator = torch.Generator().manual_seed(seed)
        if self.noise.kind == "uniform":
            return lambda: 2 * torch.rand(self.shape, generator=generator) - 1
        return lambda: torch.randn(self.shape, generator=generator)


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
    return NoiseSpec(tuple(shape)).draw(seeds, device)


def uniform_noise(seeds: Sequence[int], shape: Sequence[int], device: torch.device) -> Tensor:
    """(len(seeds), *shape) of float32 in [-1, 1), otherwise as `normal_noise`."""
    return NoiseSpec(tuple(shape), "uniform").draw(seeds, device)
