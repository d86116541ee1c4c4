"""Location-sensitive attention (Chorowski et al. 2015) and the guided attention loss."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavewright.acoustic.rnn import LoopLinear


class Memory(NamedTuple):
    """An encoded batch of texts, ready to be attended to.

    Attributes:
        values: (B, symbols, width), zero beyond each text.
        keys: (B, symbols, attention width).
        padding: (B, symbols), True beyond each text.
    """

    values: Tensor
    keys: Tensor
    padding: Tensor


class LocationSensitiveAttention(nn.Module):
    """Scores each symbol by what it is, what is asked, and where attention has been.

    Args:
        query_width: of the attention LSTM's state.
        memory_width: of the encoded text.
        width: of the space in which they meet.
        filters: that look at the last and the summed weights.
        kernel: symbols that a filter sees; odd.
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
        places = torch.arange(values.shape[1], device=values.device)
        return Memory(values, self.memory(values), places >= lengths[:, None])

    def over(self, memory: Memory) -> AttentionLoop:
        """Start attending to a memory."""
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

    def attend(self, query: Tensor, last: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        """One step.

        Args:
            query: (B, query width).
            last: (B, symbols), the weights of the step before.
            total: (B, symbols), the sum of all weights so far.

        Returns:
            Context (B, memory width) and weights (B, symbols).
        """
        batch, symbols = last.shape
        reach = self.kernel // 2
        seen = F.pad(torch.stack([last, total], dim=1), (reach, reach)).unfold(2, self.kernel, 1)
        places = seen.transpose(1, 2).reshape(batch, symbols, 2 * self.kernel)
        asked = self.memory.keys + self.query(query).unsqueeze(1)
        energies = self.energy(torch.tanh(asked + self.location(places))).squeeze(2)
        energies = energies.masked_fill(self.memory.padding, -torch.inf)
        weights = torch.softmax(energies, dim=1)
        context = torch.bmm(weights.unsqueeze(1), self.memory.values).squeeze(1)
        return context, weights


def guided_attention_loss(
    alignments: Tensor, steps: Tensor, symbols: Tensor, sigma: float
) -> Tensor:
    """How far attention strays from the diagonal; see `stray`.

    Source: Tachibana et al. 2018, arXiv:1710.08969 (who average over symbols too, which makes the
    loss of a long text small).

    Args:
        alignments: (B, steps, symbols), padded.
        steps: (B,) true steps.
        symbols: (B,) true symbols.
        sigma: width of the free corridor, as a share of the text.
    """
    time = torch.arange(alignments.shape[1], device=alignments.device)
    diagonal = time / steps[:, None] * symbols[:, None]
    diagonal = diagonal.masked_fill(time >= steps[:, None], torch.nan)
    return stray(alignments, diagonal, sigma * symbols)


def stray(alignments: Tensor, expected: Tensor, sigma: Tensor) -> Tensor:
    """How far attention is from where it should be: 0 there, towards 1 far away.

    The mean of `1 - exp(-d^2 / (2 sigma^2))` under the weights, over all steps whose place is
    known, d being the distance in symbols.

    Args:
        alignments: (B, steps, symbols).
        expected: (B, steps), the place in the text as a fractional symbol number; NaN where it is
            not known.
        sigma: (B,) width of the free corridor, in symbols.
    """
    known = ~expected.isnan()
    place = torch.arange(alignments.shape[2], device=alignments.device)
    distance = place - expected.nan_to_num()[:, :, None]
    cost = 1 - torch.exp(-distance.square() / (2 * sigma[:, None, None] ** 2))
    return (alignments * cost * known[:, :, None]).sum() / known.sum().clamp(min=1)
