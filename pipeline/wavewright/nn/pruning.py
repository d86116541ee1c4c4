"""Magnitude pruning in blocks, as WaveRNN's sparse version is trained.

A linear layer keeps a mask over blocks of its weights. During training ever more blocks, those
whose weights are smallest, are masked away; what is left is learnt on. Narang, Undersander and
Diamos 2017, arXiv:1711.02782.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PrunedLinear(nn.Linear):
    """A linear layer whose weights count only where its mask is 1.

    Args:
        inputs: columns, a multiple of the block's.
        outputs: rows, a multiple of the block's.
        block: rows and columns of a block.
        bias: whether there is one.
    """

    mask: Tensor

    def __init__(
        self, inputs: int, outputs: int, block: tuple[int, int], *, bias: bool = True
    ) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self.block = block
        rows, columns = outputs // block[0], inputs // block[1]
        self.register_buffer("mask", torch.ones(rows, columns))

    @property
    def kept(self) -> Tensor:
        """The weights, zero where pruned."""
        return self.weight * self.spread(self.mask)

    def spread(self, blocks: Tensor) -> Tensor:
        """One number a block -> one a weight."""
        return blocks.repeat_interleave(self.block[0], 0).repeat_interleave(self.block[1], 1)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        return nn.functional.linear(x, self.kept, self.bias)

    @torch.no_grad()
    def prune(self, share: float) -> None:
        """Mask the given share of blocks away, those of smallest magnitude; none comes back."""
        rows, columns = self.mask.shape
        blocks = self.weight.reshape(rows, self.block[0], columns, self.block[1])
        size = blocks.square().sum(dim=(1, 3))
        size[self.mask == 0] = -1  # stay away
        gone = round(share * size.numel())
        if gone:
            self.mask.view(-1)[size.flatten().argsort()[:gone]] = 0.0

    def find_mask(self) -> None:
        """Take the blocks that are all zero as pruned."""
        rows, columns = self.mask.shape
        blocks = self.weight.detach().reshape(rows, self.block[0], columns, self.block[1])
        self.mask.copy_((blocks != 0).any(dim=3).any(dim=1))
