"""Measures of sounds that copy nothing: how good and how varied they are, and how new.

Sources: Salimans et al. 2016 (arXiv:1606.03498) for the Inception score, Heusel et al. 2017
(arXiv:1706.08500) for the Frechet distance; both on a classifier's features, as Donahue et al. 2019
(arXiv:1802.04208) judge WaveGAN, from whom the distances to nearest neighbours are too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

_SMALLEST = 1e-12
_PARTS, _OF_EACH = 10, 5


class Score(NamedTuple):
    """A mean and its standard deviation over parts of the sounds."""

    mean: float
    deviation: float


def inception_score(probabilities: np.ndarray, parts: int | None = None) -> Score:
    """exp of the mean divergence of each sound's classes from all sounds': 1 to the classes.

    High if every sound is surely of one class, and the classes are even.

    Args:
        probabilities: (n, classes).
        parts: that are scored apart, each a random share; their mean and deviation are told. None
            makes ten, or as many as have five sounds of each class.
    """
    count, classes = probabilities.shape
    if parts is None:
        parts = max(1, min(_PARTS, count // (_OF_EACH * classes)))
    mixed = probabilities[np.random.default_rng(0).permutation(count)]
    scores = []
    for part in np.array_split(mixed, parts):
        known = np.maximum(part, _SMALLEST)
        average = known.mean(axis=0, keepdims=True)
        divergence = (known * (np.log(known) - np.log(average))).sum(axis=1)
        scores.append(float(np.exp(divergence.mean())))
    return Score(float(np.mean(scores)), float(np.std(scores)))


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Between the Gaussians of two sets of features (n, size), squared as is usual."""
    means = [features.mean(axis=0) for features in (first, second)]
    spreads = [np.cov(features, rowvar=False) for features in (first, second)]
    eigenvalues = np.linalg.eigvals(spreads[0] @ spreads[1])
    root = np.sqrt(np.maximum(eigenvalues.real, 0)).sum()
    apart = float(((means[0] - means[1]) ** 2).sum())
    return max(0.0, apart + float(np.trace(spreads[0] + spreads[1])) - 2 * float(root))


def classes_heard(probabilities: np.ndarray) -> float:
    """How many classes there are, counted by how even they are: exp of their entropy."""
    counts = np.bincount(probabilities.argmax(axis=1))
    shares = counts[counts > 0] / len(probabilities)
    return float(np.exp(-(shares * np.log(shares)).sum()))


class Nearest(NamedTuple):
    """Each sound's nearest neighbour in another set.

    Attributes:
        distances: (n), Euclidean.
        indices: (n), which it is.
    """

    distances: np.ndarray
    indices: np.ndarray


def nearest(images: np.ndarray, others: np.ndarray, *, own: np.ndarray | None = None) -> Nearest:
    """Nearest neighbours of log-mels among others.

    Args:
        images: (n, n_mels, frames).
        others: (m, n_mels, frames).
        own: (n), where each sound itself is among the others: none is its own neighbour.
    """
    first, second = (torch.from_numpy(part.reshape(len(part), -1)) for part in (images, others))
    apart = torch.cdist(first, second)
    if own is not None:
        apart[torch.arange(len(own)), torch.from_numpy(own)] = torch.inf
    distances, indices = apart.min(dim=1)
    return Nearest(distances.numpy(), indices.numpy())
