"""Schedule by which block pruning removes weights during training."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from wavewright.models.config import FrozenModel


class Pruning(FrozenModel):
    """Share and shape of the blocks that are pruned, and the steps at which.

    Source: Zhu and Gupta 2017, arXiv:1710.01878.

    Attributes:
        sparsity: final share of pruned blocks.
        block: rows and columns of a block.
        start, stop: steps between which the share rises by Zhu and Gupta's cubic.
        every: steps between two prunings.
    """

    sparsity: float = Field(default=0.95, ge=0, lt=1)
    block: Literal["16x1", "4x4"] = "16x1"
    start: int = Field(default=1_000, ge=0)
    stop: int = Field(default=200_000, gt=0)
    every: int = Field(default=500, gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.stop <= self.start:
            raise ValueError(f"stop {self.stop} must lie after start {self.start}")
        return self

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a block."""
        rows, columns = self.block.split("x")
        return int(rows), int(columns)

    def share(self, step: int) -> float:
        """Share of pruned blocks at a step."""
        progress = min(max((step - self.start) / (self.stop - self.start), 0.0), 1.0)
        return self.sparsity * (1 - (1 - progress) ** 3)
