"""Location-sensitive attention (Chorowski et al. 2015) and losses of attention."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavewright.acoustic.rnn import LoopLinear


class Memory(NamedTuple):
    """Encoded batch of texts, prepared for attention.

    Attributes:
        values: (B, symbols, width), zero beyond each text.
        keys: (B, symbols, attention width).
        padding: (B, symbols), True beyond each text.
    """

    values: Tensor
    keys: Tensor
    padding: Tensor


class LocationSensitiveAttention(nn.Module):
    """Additive attention over symbols by content, query and previous weights.

    Args:
        query_width: width of the attention LSTM's state.
        memory_width: width of the encoded text.
        width: width of the attention space.
        filters: location filters over the previous and the cumulative weights.
        kernel: kernel size of the location filters, in symbols; odd.
    """

    def __init__(
        self, query_width: int, memory_width: int, width: int, filters: int, kernel: int
    ) -> None:
        super().__init__()
        self.query = nn.Linear(query_width, width, bias=False)
        self.memory = nn.Linear(memory_width, width, bias=False)
        self.v = nn.Linear(width, 1, bias=False)
        self.location_conv = nn.Conv1d(2, filters, kernel, padding=kernel // 2, bias=False)
        self.location_dense = nn.Linear(filters, width, bias=False)

    def project_memory(self, values: Tensor, lengths: Tensor) -> Memory:
        """Project an encoded batch (B, symbols, memory width) once for all steps."""
        position = torch.arange(values.shape[1], device=values.device)
        return Memory(values, self.memory(values), position >= lengths[:, None])

    def start(self, memory: Memory) -> AttentionLoop:
        """Start a pass over the steps of a batch."""
        return AttentionLoop(self, memory)


class AttentionLoop:
    """One pass of attention over the steps of a batch."""

    def __init__(self, layer: LocationSensitiveAttention, memory: Memory) -> None:
        self.memory = memory
        self.kernel = layer.location_conv.kernel_size[0]
        # The convolution and the map after it are both linear and without bias: one matrix.
        filters = layer.location_conv.weight.flatten(1)
        self.location = LoopLinear(layer.location_dense.weight @ filters)
        self.query = LoopLinear(layer.query.weight)
        self.energy = LoopLinear(layer.v.weight)

    def step(self, query: Tensor, last: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        """Attend at one step.

        Args:
            query: (B, query width).
            last: (B, symbols), weights of the step before.
            total: (B, symbols), cumulative weights.

        Returns:
            Context (B, memory width) and weights (B, symbols).
        """
        batch, symbols = last.shape
        half = self.kernel // 2
        windows = F.pad(torch.stack([last, total], dim=1), (half, half)).unfold(2, self.kernel, 1)
        locations = windows.transpose(1, 2).reshape(batch, symbols, 2 * self.kernel)
        content = self.memory.keys + self.query(query).unsqueeze(1)
        energies = self.energy(torch.tanh(content + self.location(locations))).squeeze(2)
        energies = energies.masked_fill(self.memory.padding, -torch.inf)
        weights = torch.softmax(energies, dim=1)
        context = torch.bmm(weights.unsqueeze(1), self.memory.values).squeeze(1)
        return context, weights


def guided_attention_loss(
    alignments: Tensor, steps: Tensor, symbols: Tensor, sigma: float
) -> Tensor:
    """Guided attention loss: distance of attention from the diagonal.

    Source: Tachibana et al. 2018, arXiv:1710.08969 (who also average over symbols, which makes
    the loss of a long text small). See `attention_distance_loss`.

    Args:
        alignments: (B, steps, symbols), padded.
        steps: (B,) true steps.
        symbols: (B,) true symbols.
        sigma: width of the corridor, as a share of the text.
    """
    time = torch.arange(alignments.shape[1], device=alignments.device)
    diagonal = time / steps[:, None] * symbols[:, None]
    diagonal = diagonal.masked_fill(time >= steps[:, None], torch.nan)
    return attention_distance_loss(alignments, diagonal, sigma * symbols)


def attention_distance_loss(alignments: Tensor, targets: Tensor, sigma: Tensor) -> Tensor:
    """Distance of attention from its targets: 0 on target, towards 1 far away.

    Mean of `1 - exp(-d^2 / (2 sigma^2))` under the weights, over all steps with a known target; d
    is the distance in symbols.

    Args:
        alignments: (B, steps, symbols).
        targets: (B, steps), fractional symbol indices; NaN where unknown.
        sigma: (B,) width of the corridor, in symbols.
    """
    known = ~targets.isnan()
    position = torch.arange(alignments.shape[2], device=alignments.device)
    distance = position - targets.nan_to_num()[:, :, None]
    cost = 1 - torch.exp(-distance.square() / (2 * sigma[:, None, None] ** 2))
    return (alignments * cost * known[:, :, None]).sum() / known.sum().clamp(min=1)
