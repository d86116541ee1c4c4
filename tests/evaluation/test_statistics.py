"""Means, intervals and paired tests of an evaluation."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.report_values import MEL_L1, files, values_of
from wavewright.evaluation.statistics import compare_paired, estimate_mean, holm
from wavewright.evaluation.summary import distance, summarize


@pytest.mark.slow
def test_intervals_cover_the_mean_about_as_often_as_the_report_says() -> None:
    """94 to 96 of 100 where there are many, also of skewed values (docs/evaluation.md)."""
    rng = np.random.default_rng(0)
    for samples, mean in (
        (rng.normal(size=(300, 200)), 0.0),
        (rng.lognormal(size=(300, 200)), np.exp(0.5)),
    ):
        result = [estimate_mean(sample.tolist()) for sample in samples]
        covered = sum(one.low <= mean <= one.high for one in result)  # type: ignore[operator]
        assert 0.90 <= covered / 300 <= 0.985


def test_values_that_are_nearly_all_equal_get_no_absurd_interval() -> None:
    """One utterance of eight is clipped: most resamples have no spread at all."""
    result = estimate_mean([0.0] * 7 + [0.06])
    assert (result.low, result.n) == (0.0, 8)
    assert result.high == pytest.approx(0.0225, abs=0.01)


def test_a_pooled_ratio_weighs_its_denominators() -> None:
    """Two errors in 10 words and none in 30 are two in 40; its interval is that of the ratio."""
    result = estimate_mean([0.2, 0.0] * 10, weights=[10.0, 30.0] * 10)
    assert result.mean == pytest.approx(0.05)
    assert result.low < 0.05 < result.high  # type: ignore[operator]
    same = estimate_mean([0.2, 0.0] * 10, weights=[10.0, 10.0] * 10)
    plain = estimate_mean([0.2, 0.0] * 10)
    assert (same.low, same.high) == pytest.approx((plain.low, plain.high))


def test_pooled_ratios_of_two_systems_have_denominators_of_their_own() -> None:
    """An F1 weighs by what a system calls voiced: 8 of 10 and 1 of 30 pool to 9 of 40."""
    a, weights_a = [0.8, 1 / 30] * 10, [10.0, 30.0] * 10
    b, weights_b = [0.5, 0.5] * 10, [20.0, 20.0] * 10
    result = compare_paired(a, b, weights_a, weights_b)
    assert result.difference.mean == pytest.approx(9 / 40 - 0.5)
    rng = np.random.default_rng(0)
    indices = rng.integers(0, 20, size=(4000, 20))
    ratios = [
        (np.array(v)[indices] * np.array(w)[indices]).sum(1) / np.array(w)[indices].sum(1)
        for v, w in ((a, weights_a), (b, weights_b))
    ]
    low, high = np.percentile(ratios[0] - ratios[1], [2.5, 97.5])
    assert result.difference.low == pytest.approx(low, abs=0.3 * (high - low))
    assert result.difference.high == pytest.approx(high, abs=0.3 * (high - low))


def test_speakers_are_resampled_from_six_on() -> None:
    """Utterances of one speaker are alike, so that they tell less than as many speakers would."""
    rng = np.random.default_rng(2)
    speakers = [f"s{index // 10}" for index in range(80)]
    values = (np.repeat(rng.normal(size=8), 10) + 0.1 * rng.normal(size=80)).tolist()
    clustered, plain = estimate_mean(values, speakers=speakers), estimate_mean(values)
    assert clustered.high - clustered.low > 2 * (plain.high - plain.low)  # type: ignore[operator]
    few = [name if name in ("s0", "s1") else "s2" for name in speakers]
    assert estimate_mean(values, speakers=few) == plain
    gap = compare_paired([value + 0.01 for value in values], values, speakers=speakers)
    assert gap.test == "sign-flip by speaker"
    assert gap.p == pytest.approx(2 / 2**8)


def test_holm_steps_down() -> None:
    """His own example: three of four at 5 % are not told by Bonferroni."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.02, None, 0.6]) == [pytest.approx(0.04), None, pytest.approx(0.6)]
    assert holm([]) == []


@pytest.mark.parametrize(("n", "p"), [(5, None), (6, 2 / 2**6), (8, 2 / 2**8)])
def test_a_signed_rank_test_needs_six(n: int, p: float | None) -> None:
    result = compare_paired([1.0 + 0.1 * i for i in range(n)], [0.5] * n)
    assert (result.p is None) == (p is None)
    assert result.p == p or result.p == pytest.approx(p)
    assert result.effect is None or result.effect == 1.0


def test_undefined_values_are_counted_and_never_averaged() -> None:
    result = estimate_mean([1.0, None, 3.0, float("nan")])
    assert (result.mean, result.n, result.missing) == (2.0, 2, 2)
    assert estimate_mean([None]).mean is None
    assert estimate_mean([4.0]).low is None


def test_a_paired_difference_is_narrower_than_its_parts() -> None:
    rng = np.random.default_rng(1)
    hard = rng.normal(size=30).tolist()
    easier = [value - 0.1 + 0.001 * rng.normal() for value in hard]
    gap, alone = compare_paired(hard, easier).difference, estimate_mean(hard)
    assert gap.mean == pytest.approx(0.1, abs=0.01)
    assert gap.high - gap.low < 0.1 * (alone.high - alone.low)  # type: ignore[operator]


def test_means_are_taken_over_the_same_utterances() -> None:
    ids, rows = values_of(a=[1.0, 2.0, 9.0], b=[2.0, 3.0, None], never=[None, None, None])
    summary, differences = summarize(files("a", "b", "never"), ["copy"], [MEL_L1], ids, rows)
    result = {row.system: row for row in summary}
    assert (result["a"].mean, result["a"].n, result["a"].missing) == (1.5, 2, 0)
    assert (result["b"].mean, result["b"].n, result["b"].missing) == (2.5, 2, 1)
    assert (result["never"].mean, result["never"].missing) == (None, 3)
    assert (differences[0].a, differences[0].b, differences[0].mean) == ("a", "b", -1.0)


def test_the_order_of_systems_changes_no_number() -> None:
    ids, rows = values_of(a=[1.0, 2.0, 4.0], b=[2.0, 3.0, 4.0])
    one, _ = summarize(files("a", "b"), ["copy"], [MEL_L1], ids, rows)
    other, _ = summarize(files("b", "a"), ["copy"], [MEL_L1], ids, rows)
    assert set(one) == set(other)


def test_nearness_follows_the_direction_of_a_metric() -> None:
    higher = MEL_L1.model_copy(update={"direction": "higher", "ideal": 1.0})
    ratio = MEL_L1.model_copy(update={"direction": "ideal", "ideal": 1.0})
    assert distance(MEL_L1, 0.1) < distance(MEL_L1, 0.2)
    assert distance(higher, 0.9) < distance(higher, 0.8)
    assert distance(ratio, 1.05) < distance(ratio, 0.9)
