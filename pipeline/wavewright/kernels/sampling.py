"""Random draws inside compiled loops, with the same noise as the draws of `nn.likelihood`.

Logarithms of the noise are taken before the loop, by `prepare_uniforms`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import float32, int64, njit
from torch import Tensor

from wavewright.kernels import ops
from wavewright.kernels.compile import FASTMATH

#: Codes of the output distributions; the first two draw a label by inverse CDF or by Gumbel-max.
INVERSE_CDF, GUMBEL_MAX, LOGISTICS, GAUSSIAN = range(4)


def distribution_code(distribution: str, uniforms_per_sample: int) -> int:
    """Code of a distribution; a label that is drawn from one number is drawn by inverse CDF."""
    if distribution == "categorical":
        return INVERSE_CDF if uniforms_per_sample == 1 else GUMBEL_MAX
    return LOGISTICS if distribution == "logistics" else GAUSSIAN


def prepare_uniforms(uniforms: Tensor, code: int) -> np.ndarray:
    """Transform uniform numbers (samples, n) into the noise that a draw adds; float32."""
    u = uniforms.double().cpu().numpy()
    if code == GUMBEL_MAX:
        u = -np.log(-np.log(u))
    elif code == LOGISTICS:
        last = np.log(u[:, -1:]) - np.log1p(-u[:, -1:])
        u = np.concatenate([-np.log(-np.log(u[:, :-1])), last], axis=1)
    elif code == GAUSSIAN:
        u = np.sqrt(-2 * np.log(u[:, :1])) * np.cos(2 * np.pi * u[:, 1:])
    return np.ascontiguousarray(u, dtype=np.float32)


@njit(inline="always", fastmath=FASTMATH)
def draw_label(logits: Any, at: int, classes: int, noise: Any, noise_at: int, code: int) -> Any:
    """Draw a label by logits[at : at + classes], which may be overwritten.

    Args:
        logits: float32; its length is at least `at + classes`, rounded up to a multiple of 16.
        at: index of the first logit, a multiple of 16.
        classes: number of labels.
        noise: float32, prepared noise of this sample.
        noise_at: index of the first number to use.
        code: INVERSE_CDF or GUMBEL_MAX.
    """
    best = logits[at]
    label = int64(0)
    if code == GUMBEL_MAX:
        best += noise[noise_at]
        for i in range(1, classes):
            value = logits[at + i] + noise[noise_at + i]
            if value > best:
                best, label = value, int64(i)
        return label
    for i in range(1, classes):
        best = max(best, logits[at + i])
    for i in range(classes):
        logits[at + i] -= best
    padded = (classes + 15) // 16 * 16
    for i in range(classes, padded):
        logits[at + i] = float32(-80.0)
    ops.exp(logits, at, padded)
    total = float32(0.0)
    for i in range(classes):
        total += logits[at + i]
    target = noise[noise_at] * total
    # Skip sixteen labels at a time until the sum passes the target.
    below, start = float32(0.0), int64(0)
    while start + 16 < classes:
        partial_sum = float32(0.0)
        for i in range(16):
            partial_sum += logits[at + start + i]
        if below + partial_sum > target:
            break
        below += partial_sum
        start += 16
    label = start
    while label < classes - 1:
        below += logits[at + label]
        if below > target:
            break
        label += 1
    return label


@njit(inline="always")
def draw_logistics(parameters: Any, mixtures: int, noise: Any, log_scale_min: float) -> Any:
    """Draw a sample in [-1, 1] from a mixture of logistics, parametrized as in `nn.likelihood`."""
    chosen, best = 0, parameters[0] + noise[0]
    for i in range(1, mixtures):
        value = parameters[i] + noise[i]
        if value > best:
            chosen, best = i, value
    log_scale = max(parameters[2 * mixtures + chosen], float32(log_scale_min))
    x = parameters[mixtures + chosen] + float32(math.exp(log_scale)) * noise[mixtures]
    return min(max(x, float32(-1.0)), float32(1.0))


@njit(inline="always")
def draw_gaussian(parameters: Any, noise: Any, log_scale_min: float) -> Any:
    """Draw a sample in [-1, 1] from a Gaussian, given by its mean and log deviation."""
    log_scale = max(parameters[1], float32(log_scale_min))
    x = parameters[0] + float32(math.exp(log_scale)) * noise[0]
    return min(max(x, float32(-1.0)), float32(1.0))
