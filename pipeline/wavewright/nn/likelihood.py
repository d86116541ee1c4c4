"""Output distributions of sample-by-sample models: likelihoods and draws.

Draws are functions of given uniform numbers, so that every engine can repeat them. A label is
drawn from one number by the inverse of the cumulative distribution, or from one number per label
by the Gumbel trick; which it is follows from the number of numbers.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_EDGE = 0.999  # beyond, a 16-bit level's bin is open
_SMALLEST_BIN = 1e-5  # below, the density stands for the bin's probability
_LEVELS = 65536


def categorical_nll(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, classes, T) and int (B, T) -> (B, T) nats."""
    return F.cross_entropy(logits.float(), labels, reduction="none")


def logistics_nll(
    parameters: Tensor, wav: Tensor, log_scale_min: float, levels: int = _LEVELS
) -> Tensor:
    """Negative log-probability of 16-bit levels under a mixture of logistics.

    Each logistic's mass between half a level below and above; the outermost levels take all that
    lies beyond. Salimans et al. 2017, arXiv:1701.05517, section 2.1.

    Args:
        parameters: (B, 3 * mixtures, T): logits of the mixture, means, log scales.
        wav: (B, T) in [-1, 1].
        log_scale_min: below which log scales are cut.
        levels: that [-1, 1] is divided into.

    Returns:
        (B, T) nats.
    """
    weights, means, log_scales = parameters.float().chunk(3, dim=1)
    log_scales = log_scales.clamp(min=log_scale_min)
    wav = wav[:, None]
    precision = torch.exp(-log_scales)
    distance, half = wav - means, 1 / (levels - 1)
    above, below = precision * (distance + half), precision * (distance - half)
    mass = torch.sigmoid(above) - torch.sigmoid(below)
    middle = precision * distance
    density = middle - log_scales - 2 * F.softplus(middle) - math.log((levels - 1) / 2)
    inside = torch.where(mass > _SMALLEST_BIN, mass.clamp(min=1e-12).log(), density)
    lowest, highest = above - F.softplus(above), -F.softplus(below)
    each = torch.where(wav < -_EDGE, lowest, torch.where(wav > _EDGE, highest, inside))
    return -torch.logsumexp(each + F.log_softmax(weights, dim=1), dim=1)


def gaussian_nll(parameters: Tensor, wav: Tensor, log_scale_min: float) -> Tensor:
    """(B, 2, T), means and log deviations, and (B, T) -> (B, T) nats of the density."""
    means, log_scales = parameters.float().unbind(dim=1)
    log_scales = log_scales.clamp(min=log_scale_min)
    distance = (wav - means) * torch.exp(-log_scales)
    return 0.5 * math.log(2 * math.pi) + log_scales + 0.5 * distance.square()


def draw_categorical(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Labels (B) of logits (B, classes) by uniforms (B, 1) or (B, classes)."""
    if uniforms.shape[1] == 1:
        cumulative = torch.softmax(logits.float(), dim=1).cumsum(dim=1)
        below = cumulative <= uniforms * cumulative[:, -1:]
        return below.sum(dim=1).clamp(max=logits.shape[1] - 1)
    return (logits - torch.log(-torch.log(uniforms))).argmax(dim=1)


def draw_logistics(parameters: Tensor, uniforms: Tensor, log_scale_min: float) -> Tensor:
    """Samples (B) in [-1, 1] of (B, 3 * mixtures).

    Args:
        parameters: as in `logistics_nll`, of one sample.
        uniforms: (B, mixtures + 1): of the choice, and of the logistic.
        log_scale_min: as there.
    """
    weights, means, log_scales = parameters.float().chunk(3, dim=1)
    chosen = (weights - torch.log(-torch.log(uniforms[:, :-1]))).argmax(dim=1, keepdim=True)
    mean = means.gather(1, chosen)[:, 0]
    log_scale = log_scales.gather(1, chosen)[:, 0].clamp(min=log_scale_min)
    last = uniforms[:, -1]
    return (mean + log_scale.exp() * (last.log() - (1 - last).log())).clamp(-1.0, 1.0)


def draw_gaussian(parameters: Tensor, uniforms: Tensor, log_scale_min: float) -> Tensor:
    """Samples (B) in [-1, 1] of means and log deviations (B, 2) by uniforms (B, 2).

    The two make one normal number, as Box and Muller 1958 have it.
    """
    mean, log_scale = parameters.float().unbind(dim=1)
    radius = torch.sqrt(-2 * torch.log(uniforms[:, 0]))
    normal = radius * torch.cos(2 * math.pi * uniforms[:, 1])
    return (mean + log_scale.clamp(min=log_scale_min).exp() * normal).clamp(-1.0, 1.0)


def uniforms_of(distribution: str, mixtures: int) -> int:
    """Number of uniform numbers that one draw takes."""
    return {"categorical": 1, "logistics": mixtures + 1, "gaussian": 2}[distribution]
