"""Losses between a generator and discriminators that return scores and features.

Scores: one tensor per discriminator, any shape. Features: per discriminator, its layers' outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def least_squares_discriminator(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Push real scores to 1 and fake ones to 0; summed over discriminators (LSGAN)."""
    terms = [(1 - r).square().mean() + f.square().mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).sum()


def least_squares_generator(fake: Sequence[Tensor]) -> Tensor:
    """Push fake scores to 1; summed over discriminators (LSGAN)."""
    return torch.stack([(1 - f).square().mean() for f in fake]).sum()


def hinge_discriminator(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Push real scores above 1 and fake ones below -1; summed over discriminators."""
    terms = [F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).sum()


def hinge_generator(fake: Sequence[Tensor]) -> Tensor:
    """Push fake scores up; summed over discriminators."""
    return torch.stack([-f.mean() for f in fake]).sum()


def clipped_hinge_generator(fake: Sequence[Tensor]) -> Tensor:
    """Push fake scores up to 1 and no further; summed over discriminators (EnCodec's)."""
    return torch.stack([F.relu(1 - f).mean() for f in fake]).sum()


def feature_matching(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """L1 between the features of real and fake, summed over layers and discriminators."""
    terms = [
        F.l1_loss(f, r)
        for real_layers, fake_layers in zip(real, fake, strict=True)
        for r, f in zip(real_layers, fake_layers, strict=True)
    ]
    return torch.stack(terms).sum()


def wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Push real scores (B) up and fake ones down; the critic's slope must be held apart."""
    return fake.mean() - real.mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, share: Tensor
) -> Tensor:
    """Distance of the critic's slope from 1, between real and fake: mean of (norm - 1) squared.

    Args:
        critic: (B, ...) -> scores (B), each of its own item alone.
        real: (B, ...).
        fake: like `real`, without a graph.
        share: (B) in [0, 1], how much of the fake is in each mixture.

    Source: Gulrajani et al. 2017, arXiv:1704.00028.
    """
    share = share.reshape(-1, *(1,) * (real.ndim - 1))
    mixed = (real + share * (fake - real)).detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
    penalty: Tensor = (slope.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty
