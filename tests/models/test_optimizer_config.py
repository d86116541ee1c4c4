"""Learning rates are functions of the step, as published."""

from __future__ import annotations

import math

import pytest

from wavewright.models.config import OptimizerConfig


def test_an_epoch_decays() -> None:
    rule = OptimizerConfig(learning_rate=2e-4, decay_per_epoch=0.999)
    assert rule.rate(99, 100) == 2e-4
    assert rule.rate(100, 100) == pytest.approx(2e-4 * 0.999)
    assert rule.rate(1050, 100) == pytest.approx(2e-4 * 0.999**10)


def test_steps_halve() -> None:
    rule = OptimizerConfig(learning_rate=1e-4, decay_every=200)
    assert [rule.rate(step, 7) for step in (0, 199, 200, 400)] == [1e-4, 1e-4, 5e-5, 2.5e-5]


def test_steps_halve_no_more_often_than_that() -> None:
    rule = OptimizerConfig(learning_rate=1e-3, decay_every=100, decays=2)
    assert [rule.rate(step, 7) for step in (99, 100, 299, 10_000)] == [1e-3, 5e-4, 2.5e-4, 2.5e-4]


def test_a_cosine_after_a_rise() -> None:
    rule = OptimizerConfig(learning_rate=1.0, warmup_steps=10, cosine_steps=110)
    assert rule.rate(0, 1) == 0
    assert rule.rate(5, 1) == 0.5
    assert rule.rate(10, 1) == 1
    assert rule.rate(35, 1) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert rule.rate(60, 1) == pytest.approx(0.5)
    assert rule.rate(110, 1) == pytest.approx(0)
    assert rule.rate(10_000, 1) == pytest.approx(0), "it stays there"
