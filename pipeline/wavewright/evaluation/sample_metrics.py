"""Metrics of unconditional samples: quality, variety and novelty.

Sources: Salimans et al. 2016 (arXiv:1606.03498) for the Inception score, Heusel et al. 2017
(arXiv:1706.08500) for the Frechet distance; both on a classifier's features, as Donahue et al. 2019
(arXiv:1802.04208) do for WaveGAN; the distances to nearest neighbors are theirs too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

_SMALLEST = 1e-12
_PARTS, _SOUNDS_PER_CLASS = 10, 5


class InceptionScore(NamedTuple):
    """Mean Inception score and its standard deviation over parts of the sounds."""

    mean: float
    deviation: float


def inception_score(probabilities: np.ndarray, parts: int | None = None) -> InceptionScore:
    """Inception score: exp of the mean divergence of each sound's classes from those of all.

    Between 1 and the number of classes; high if every sound is clearly of one class, and the
    classes are balanced.

    Args:
        probabilities: (n, classes).
        parts: number of random parts that are scored separately; None takes ten, or as many as
            have five sounds of each class.
    """
    count, classes = probabilities.shape
    if parts is None:
        parts = max(1, min(_PARTS, count // (_SOUNDS_PER_CLASS * classes)))
    mixed = probabilities[np.random.default_rng(0).permutation(count)]
    scores = []
    for part in np.array_split(mixed, parts):
        clipped = np.maximum(part, _SMALLEST)
        average = clipped.mean(axis=0, keepdims=True)
        divergence = (clipped * (np.log(clipped) - np.log(average))).sum(axis=1)
        scores.append(float(np.exp(divergence.mean())))
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Frechet distance of the Gaussians of two sets of features (n, size), squared as is usual."""
    means = [features.mean(axis=0) for features in (first, second)]
    spreads = [np.cov(features, rowvar=False) for features in (first, second)]
    eigenvalues = np.linalg.eigvals(spreads[0] @ spreads[1])
    root = np.sqrt(np.maximum(eigenvalues.real, 0)).sum()
    squared_gap = float(((means[0] - means[1]) ** 2).sum())
    return max(0.0, squared_gap + float(np.trace(spreads[0] + spreads[1])) - 2 * float(root))


def effective_classes(probabilities: np.ndarray) -> float:
    """Effective number of predicted classes: exp of their entropy."""
    counts = np.bincount(probabilities.argmax(axis=1))
    shares = counts[counts > 0] / len(probabilities)
    return float(np.exp(-(shares * np.log(shares)).sum()))


class NearestNeighbors(NamedTuple):
    """Nearest neighbor of each sound in another set.

    Attributes:
        distances: (n), Euclidean.
        indices: (n), in the other set.
    """

    distances: np.ndarray
    indices: np.ndarray


def nearest_neighbors(
    images: np.ndarray, others: np.ndarray, *, own: np.ndarray | None = None
) -> NearestNeighbors:
    """Find the nearest neighbors of log-mels among others.

    Args:
        images: (n, n_mels, frames).
        others: (m, n_mels, frames).
        own: (n), index of each sound itself among the others, which is not its neighbor.
    """
    first, second = (torch.from_numpy(part.reshape(len(part), -1)) for part in (images, others))
    distances_to = torch.cdist(first, second)
    if own is not None:
        distances_to[torch.arange(len(own)), torch.from_numpy(own)] = torch.inf
    distances, indices = distances_to.min(dim=1)
    return NearestNeighbors(distances.numpy(), indices.numpy())
