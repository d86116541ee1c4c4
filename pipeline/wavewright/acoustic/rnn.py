"""Fast, exact building blocks of recurrent loops over time.

In a loop of some hundred steps, autograd computes the gradient of every weight once per step and
adds each to a matrix of many megabytes; that, not arithmetic, dominates the training time of
Tacotron 2. `LoopLinear` keeps the inputs and gradients of all steps and multiplies them once.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_Tape = list[tuple[Tensor, Tensor]]


class _Apply(torch.autograd.Function):
    """`x @ weight.T`; the backward pass of the weight is deferred to the tape."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, tape: _Tape) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.tape = tape
        return F.linear(x, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        ctx.tape.append((x.flatten(0, -2), gradient.flatten(0, -2)))
        return (gradient @ weight if ctx.needs_input_grad[0] else None), None, None


class _Collect(torch.autograd.Function):
    """Identity of the weight; its backward pass runs after every `_Apply` of the loop."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, tape: _Tape) -> Tensor:
        ctx.tape = tape
        ctx.set_materialize_grads(False)
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, *_: Tensor | None) -> tuple[Tensor | None, None]:
        if not ctx.tape:
            return None, None
        inputs, gradients = zip(*ctx.tape, strict=True)
        ctx.tape.clear()
        return torch.cat(gradients).t() @ torch.cat(inputs), None


class LoopLinear:
    """Linear map without bias, for use at every step of one loop over time.

    Args:
        weight: (outputs, inputs). Make a new LoopLinear for every pass: it belongs to one graph.

    Its gradients equal those of `F.linear` up to rounding. Under autocast, which changes dtypes
    between the two passes, it falls back to `F.linear`.
    """

    def __init__(self, weight: Tensor) -> None:
        tracked = torch.is_grad_enabled() and weight.requires_grad
        self.tape: _Tape | None = None
        if tracked and not torch.is_autocast_enabled(weight.device.type):
            self.tape = []
            weight = _Collect.apply(weight, self.tape)  # type: ignore[no-untyped-call]
        self.weight = weight

    def __call__(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        if self.tape is None:
            return F.linear(x, self.weight)
        result: Tensor = _Apply.apply(x, self.weight, self.tape)  # type: ignore[no-untyped-call]
        return result


def lstm_cell(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the new hidden and cell state of an LSTM.

    Args:
        gates: (B, 4 * width), input, forget, cell and output gates before their nonlinearities,
            in torch's order.
        cell: (B, width).
    """
    write, forget, new, read = gates.chunk(4, dim=1)
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(write) * torch.tanh(new)
    return torch.sigmoid(read) * torch.tanh(cell), cell
