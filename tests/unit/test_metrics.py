"""Metrics: physics that must hold on any signal, and NaN with a reason where nothing is defined."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from wavewright import registry
from wavewright.metrics.duration_ratio import DurationRatio
from wavewright.metrics.logmel import measuring_spec
from wavewright.metrics.mel_l1 import MelL1
from wavewright.metrics.mel_l1_dtw import MelL1DTW
from wavewright.metrics.metric import Metric, Score
from wavewright.metrics.mstft import MSTFT

RATE = 22050


def voice(seconds: float = 1.0, pitch: float = 140.0, seed: int = 0) -> np.ndarray:
    """Harmonics with a moving pitch under a syllable-like envelope, over faint noise."""
    t = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.1 * np.sin(2 * np.pi * 1.5 * t))) / RATE
    harmonics = sum(np.sin(k * phase) / k for k in range(1, 40))
    envelope = 0.15 * (1.05 + np.sin(2 * np.pi * 3 * t))
    noise = np.random.default_rng(seed).normal(size=len(t))
    return np.asarray(envelope * harmonics + 0.003 * noise) * 0.5


def all_metrics() -> list[Metric]:
    return [registry.find("metrics", name)() for name in registry.plugins("metrics")]


@pytest.mark.parametrize("metric", all_metrics(), ids=lambda metric: metric.id)
def test_a_perfect_copy_has_the_ideal_value(metric: Metric) -> None:
    wav = voice()
    assert metric(wav, wav.copy(), RATE) == pytest.approx(metric.ideal, abs=1e-6)


@pytest.mark.parametrize("metric", all_metrics(), ids=lambda metric: metric.id)
def test_every_metric_says_what_it_is(metric: Metric) -> None:
    assert metric.title
    assert metric.conditions
    assert metric.definition.endswith(".")
    assert metric.name in registry.plugins("metrics")


@pytest.mark.parametrize("metric", [MSTFT(), MelL1(), MelL1DTW()], ids=lambda metric: metric.id)
def test_more_noise_is_further_away(metric: Metric) -> None:
    wav = voice()
    noise = np.random.default_rng(1).normal(size=len(wav))
    values = [metric(wav, wav + level * noise, RATE) for level in (0.001, 0.003, 0.01, 0.03, 0.1)]
    assert values == sorted(values)
    assert values[0] > 0


def test_half_the_level_is_ln_2_of_mel_l1_and_half_of_spectral_convergence() -> None:
    rng = np.random.default_rng(0)
    loud = rng.normal(size=RATE) * 0.2  # no band of it comes near a floor
    assert MelL1()(loud, 0.5 * loud, RATE) == pytest.approx(math.log(2), rel=1e-4)
    assert MSTFT()(loud, 0.5 * loud, RATE) == pytest.approx(0.5 + math.log(2), rel=1e-3)


def test_a_band_hides_what_lies_above_it() -> None:
    wav = voice()
    t = np.arange(len(wav)) / RATE
    whistle = wav + 0.05 * np.sin(2 * np.pi * 10_000 * t)
    for kind in (MSTFT, MelL1):
        full, low = kind()(wav, whistle, RATE), kind(band=8000.0)(wav, whistle, RATE)
        assert low < 0.2 * full
    assert MelL1(band=8000.0).id == "mel_l1_8k"
    assert MSTFT(band=7600.0).heading == "M-STFT ≤ 7.6 kHz"


def test_a_metric_without_a_band_refuses_one() -> None:
    with pytest.raises(ValueError, match="cannot be confined"):
        DurationRatio(band=8000.0)


def test_warping_forgives_timing_that_plain_mel_l1_does_not() -> None:
    wav = voice(2.0)
    late = np.concatenate([np.zeros(2205), wav])[: len(wav)]
    assert MelL1DTW()(wav, late, RATE) < 0.5 * MelL1()(wav, late, RATE)


def test_warping_finds_the_cheapest_path() -> None:
    """Every other frame twice: the path pays nothing but the frames' own difference."""
    wav, other = voice(0.5), voice(0.5, pitch=180.0)
    assert MelL1DTW()(wav, other, RATE) <= MelL1()(wav, other, RATE)
    assert MelL1DTW()(wav, other, RATE) == pytest.approx(MelL1DTW()(other, wav, RATE), rel=1e-6)


def test_duration_ratio_is_candidate_over_reference() -> None:
    wav = voice(1.0)
    assert DurationRatio()(wav, wav[: len(wav) // 2], RATE) == pytest.approx(0.5, abs=1e-4)


def test_a_tail_under_a_frame_is_cut() -> None:
    wav = voice()
    assert MelL1()(wav, np.concatenate([wav, np.ones(200)]), RATE) == 0.0


@pytest.mark.parametrize(
    ("reference", "candidate", "reason"),
    [
        (voice(), voice()[: RATE // 2], "durations differ"),
        (np.zeros(RATE), voice(), "silent"),
        (voice(), np.full(RATE, np.nan), "not finite"),
        (voice(), np.zeros(0), "empty"),
        (voice(), np.stack([voice(), voice()]), "not mono"),
        (voice()[:300], voice()[:300], "short"),
    ],
)
@pytest.mark.parametrize("metric", [MSTFT(), MelL1()], ids=lambda metric: metric.id)
def test_undefined_is_nan_with_a_reason(
    metric: Metric, reference: np.ndarray, candidate: np.ndarray, reason: str
) -> None:
    score = metric(reference, candidate, RATE)
    assert math.isnan(score)
    assert reason in score.reason


def test_a_silent_candidate_is_bad_rather_than_undefined() -> None:
    assert MelL1()(voice(), np.zeros(RATE), RATE) > 2


def test_a_score_keeps_its_reason_between_processes() -> None:
    copy = pickle.loads(pickle.dumps(Score(float("nan"), "because")))
    assert math.isnan(copy)
    assert copy.reason == "because"


@pytest.mark.parametrize(
    ("rate", "n_fft", "hop"),
    [
        (8000, 512, 128),
        (16000, 1024, 256),
        (22050, 1024, 256),
        (24000, 1024, 256),
        (48000, 2048, 512),
    ],
)
def test_the_measuring_mel_keeps_its_duration_at_other_rates(
    rate: int, n_fft: int, hop: int
) -> None:
    spec = measuring_spec(rate)
    assert (spec.n_fft, spec.hop_length, spec.fmax) == (n_fft, hop, rate / 2)
