"""Draws inside compiled loops, from the numbers that `nn.likelihood` draws from.

Logarithms of the numbers are taken before the loop: `ready` does that.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import float32, int64, njit
from torch import Tensor

from wavewright.kernels import ops as kernels
from wavewright.kernels.compile import FAST

#: How a loop draws.
BY_ONE, BY_GUMBEL, LOGISTICS, GAUSSIAN = range(4)


def way(distribution: str, numbers: int) -> int:
    """Which of the ways, by the distribution and how many uniform numbers a draw takes."""
    if distribution == "categorical":
        return BY_ONE if numbers == 1 else BY_GUMBEL
    return LOGISTICS if distribution == "logistics" else GAUSSIAN


def ready(uniforms: Tensor, how: int) -> np.ndarray:
    """float32 (samples, n): what a loop draws from, of uniform numbers (samples, n)."""
    u = uniforms.double().cpu().numpy()
    if how == BY_GUMBEL:
        u = -np.log(-np.log(u))
    elif how == LOGISTICS:
        last = np.log(u[:, -1:]) - np.log1p(-u[:, -1:])
        u = np.concatenate([-np.log(-np.log(u[:, :-1])), last], axis=1)
    elif how == GAUSSIAN:
        u = np.sqrt(-2 * np.log(u[:, :1])) * np.cos(2 * np.pi * u[:, 1:])
    return np.ascontiguousarray(u, dtype=np.float32)


@njit(inline="always", fastmath=FAST)
def draw_label(logits: Any, at: int, classes: int, numbers: Any, from_: int, how: int) -> Any:
    """One of `classes` labels by logits[at : at + classes], which may be overwritten.

    Args:
        logits: float32, as long as a multiple of 16 above `at + classes`.
        at: first logit, a multiple of 16.
        classes: how many.
        numbers: float32, of this sample.
        from_: first of them to use.
        how: BY_ONE or BY_GUMBEL.
    """
    best = logits[at]
    label = int64(0)
    if how == BY_GUMBEL:
        best += numbers[from_]
        for i in range(1, classes):
            value = logits[at + i] + numbers[from_ + i]
            if value > best:
                best, label = value, int64(i)
        return label
    for i in range(1, classes):
        best = max(best, logits[at + i])
    for i in range(classes):
        logits[at + i] -= best
    whole = (classes + 15) // 16 * 16
    for i in range(classes, whole):
        logits[at + i] = float32(-80.0)
    kernels.exp(logits, at, whole)
    total = float32(0.0)
    for i in range(classes):
        total += logits[at + i]
    target = numbers[from_] * total
    # Sixteen at a time until the sixteen that hold it.
    below, start = float32(0.0), int64(0)
    while start + 16 < classes:
        part = float32(0.0)
        for i in range(16):
            part += logits[at + start + i]
        if below + part > target:
            break
        below += part
        start += 16
    label = start
    while label < classes - 1:
        below += logits[at + label]
        if below > target:
            break
        label += 1
    return label


@njit(inline="always")
def draw_logistics(parameters: Any, mixtures: int, numbers: Any, log_scale_min: float) -> Any:
    """A sample in [-1, 1] of a mixture of logistics; arguments as in `nn.likelihood`."""
    chosen, best = 0, parameters[0] + numbers[0]
    for i in range(1, mixtures):
        value = parameters[i] + numbers[i]
        if value > best:
            chosen, best = i, value
    log_scale = max(parameters[2 * mixtures + chosen], float32(log_scale_min))
    x = parameters[mixtures + chosen] + float32(math.exp(log_scale)) * numbers[mixtures]
    return min(max(x, float32(-1.0)), float32(1.0))


@njit(inline="always")
def draw_gaussian(parameters: Any, numbers: Any, log_scale_min: float) -> Any:
    """A sample in [-1, 1] of a mean and a log deviation."""
    log_scale = max(parameters[1], float32(log_scale_min))
    x = parameters[0] + float32(math.exp(log_scale)) * numbers[0]
    return min(max(x, float32(-1.0)), float32(1.0))
