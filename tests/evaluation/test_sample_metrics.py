"""Measures of sounds that copy nothing, by cases whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.support import tiny
from wavewright.evaluation.sample_metrics import (
    effective_classes,
    frechet_distance,
    inception_score,
    nearest_neighbors,
)
from wavewright.metrics.ltas import band_frequencies, long_term_spectrum, spectral_distance

RANDOM = np.random.default_rng(0)


def test_the_inception_score_counts_sure_and_even_classes() -> None:
    sure = np.tile(np.eye(5), (20, 1))
    assert inception_score(sure, parts=1).mean == pytest.approx(5.0)
    assert inception_score(sure, parts=1).deviation == 0
    ordered = np.repeat(np.eye(5), 50, axis=0)
    assert inception_score(ordered).mean > 4.5, "parts are random shares"
    assert inception_score(ordered[::50]).mean == pytest.approx(5.0), "of few, one part"
    unsure = np.full((100, 5), 0.2)
    assert inception_score(unsure).mean == pytest.approx(1.0)
    all_one = np.tile(np.eye(5)[0], (100, 1))
    assert inception_score(all_one).mean == pytest.approx(1.0)
    two = np.tile(np.eye(5)[:2], (50, 1))
    assert inception_score(two, parts=1).mean == pytest.approx(2.0)


def test_the_inception_score_is_that_of_its_definition() -> None:
    probabilities = RANDOM.dirichlet(np.ones(4), size=30)
    average = probabilities.mean(axis=0)
    expected = math.exp(np.mean([np.sum(p * np.log(p / average)) for p in probabilities]))
    assert inception_score(probabilities, parts=1).mean == pytest.approx(expected)


def test_classes_are_counted_by_how_even_they_are() -> None:
    assert effective_classes(np.tile(np.eye(4), (5, 1))) == pytest.approx(4.0)
    assert effective_classes(np.tile(np.eye(4)[2], (9, 1))) == pytest.approx(1.0)
    assert 1 < effective_classes(np.eye(4)[[0, 0, 0, 1]]) < 2


def test_the_frechet_distance_of_known_gaussians() -> None:
    first = RANDOM.standard_normal((200_000, 2))
    second = 3.0 + 2.0 * RANDOM.standard_normal((200_000, 2))
    # |3 - 0|^2 in each of two dimensions, and (2 - 1)^2 in each
    assert frechet_distance(first, second) == pytest.approx(2 * 9 + 2 * 1, rel=0.02)
    assert frechet_distance(first, first) == pytest.approx(0.0, abs=1e-6)
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first))


def test_nearest_neighbours_are_found_and_never_oneself() -> None:
    others = RANDOM.standard_normal((6, 3, 4)).astype(np.float32)
    shifted = others[[4, 1]] + 0.01
    result = nearest_neighbors(shifted, others)
    assert result.indices.tolist() == [4, 1]
    assert result.distances == pytest.approx([0.01 * math.sqrt(12)] * 2, rel=1e-2)
    itself = nearest_neighbors(others, others, own=np.arange(6))
    flat = others.reshape(6, -1)
    for i in range(6):
        apart = np.linalg.norm(flat - flat[i], axis=1)
        apart[i] = np.inf
        assert itself.indices[i] == apart.argmin()
        assert itself.distances[i] == pytest.approx(apart.min(), rel=1e-4)
    some = nearest_neighbors(others[2:4], others, own=np.array([2, 3]))
    assert some.distances == pytest.approx(itself.distances[2:4])


def test_a_long_term_spectrum_has_its_peak_where_the_sound_is() -> None:
    time = np.arange(8000) / 8000
    tone = 0.5 * np.sin(2 * np.pi * 1000 * time).astype(np.float32)
    spectrum = long_term_spectrum([tone, tone[:4000]], tiny.SPEC)
    frequencies = band_frequencies(tiny.SPEC)
    assert frequencies.shape == spectrum.shape == (tiny.SPEC.n_mels,)
    peak = int(spectrum.argmax())
    width = frequencies[min(peak + 1, len(frequencies) - 1)] - frequencies[peak - 1]
    assert abs(frequencies[peak] - 1000) < width
    louder = long_term_spectrum([2 * tone], tiny.SPEC)
    assert louder[peak] - spectrum[peak] == pytest.approx(6.02, abs=0.1)
    assert spectral_distance(spectrum, spectrum + 3.0) == pytest.approx(3.0)
    silent = long_term_spectrum([np.zeros(8000, np.float32)], tiny.SPEC)
    assert np.isfinite(silent).all()
