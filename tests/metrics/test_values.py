"""Metrics: physics that must hold on any signal, and NaN with a reason where nothing is defined."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from wavewright import registry
from wavewright.metrics.clipped import Clipped
from wavewright.metrics.duration_ratio import DurationRatio
from wavewright.metrics.lag import Lag
from wavewright.metrics.level_difference import LevelDifference
from wavewright.metrics.logmel import metric_mel_spec
from wavewright.metrics.lsd import LSD
from wavewright.metrics.mel_l1 import MelL1
from wavewright.metrics.mel_l1_dtw import MelL1DTW
from wavewright.metrics.metric import Metric, MetricScore
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


def require(metric: Metric) -> None:
    """Skip with a message if a package of the metric is not installed."""
    if missing := metric.missing_package():
        pytest.skip(f"{metric.id} needs the package {missing}")


@pytest.mark.parametrize(
    "metric",
    [m for m in all_metrics() if m.name not in ("dnsmos", "dnsmos_p808", "distill_mos")],
    ids=lambda metric: metric.id,
)
def test_a_perfect_copy_has_the_ideal_value(metric: Metric) -> None:
    """Checks all metrics that use the reference."""
    require(metric)
    wav = voice()
    score = metric(wav, wav.copy(), RATE, text="a text")
    assert score == pytest.approx(metric.ideal, abs=1e-6)


@pytest.mark.parametrize("metric", all_metrics(), ids=lambda metric: metric.id)
def test_every_metric_describes_itself(metric: Metric) -> None:
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


@pytest.mark.parametrize("late", [0, 1, 110, 400, -110, 1000])
def test_a_delay_is_measured(late: int) -> None:
    wav = voice(2.0)
    candidate = np.roll(np.concatenate([np.zeros(1100), wav, np.zeros(1100)]), late)
    reference = np.concatenate([np.zeros(1100), wav, np.zeros(1100)])
    assert Lag()(reference, candidate, RATE) == pytest.approx(1000 * late / RATE, abs=0.3)


def test_short_or_steady_waveforms_have_no_delay() -> None:
    short = voice(0.2)
    assert "shorter than 0.3 s" in Lag()(short, short, RATE).reason
    steady = np.full(RATE, 0.1)
    assert "never changes" in Lag()(steady, steady, RATE).reason


@pytest.mark.parametrize("band", [None, 8000.0])
def test_half_the_level_is_six_decibels_away(band: float | None) -> None:
    wav = voice()
    assert LSD(band)(wav, 0.5 * wav, RATE) == pytest.approx(6.02, abs=0.01)
    assert LevelDifference()(wav, 0.5 * wav, RATE) == pytest.approx(-6.02, abs=0.01)
    assert "silent" in LevelDifference()(wav, 0 * wav, RATE).reason


def test_only_what_is_below_the_band_counts() -> None:
    wav = voice()
    spectrum = np.fft.rfft(wav)
    spectrum[round(8500 * len(wav) / RATE) :] = 0
    dull = np.fft.irfft(spectrum, len(wav))
    assert LSD(8000.0)(wav, dull, RATE) < 0.2
    assert LSD()(wav, dull, RATE) > 10


def test_clipped_samples_are_counted() -> None:
    wav = np.zeros(1000)
    wav[:2] = 1.0
    wav[2:5] = -1.0
    assert Clipped()(voice(), wav, RATE) == pytest.approx(5.0)


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
    with pytest.raises(ValueError, match="cannot be limited"):
        DurationRatio(band=8000.0)


def test_warping_forgives_timing_that_plain_mel_l1_does_not() -> None:
    wav = voice(2.0)
    late = np.concatenate([np.zeros(2205), wav])[: len(wav)]
    assert MelL1DTW()(wav, late, RATE) < 0.5 * MelL1()(wav, late, RATE)


def test_warping_finds_the_cheapest_path() -> None:
    """Every other frame twice: the path pays nothing but the frames' own difference."""
    wav, other = voice(0.5), voice(0.5, pitch=180.0)
    assert MelL1DTW()(wav, other, RATE) <= MelL1()(wav, other, RATE) * (1 + 1e-12)
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
    copy = pickle.loads(pickle.dumps(MetricScore(float("nan"), "because")))
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
    spec = metric_mel_spec(rate)
    assert (spec.n_fft, spec.hop_length, spec.fmax) == (n_fft, hop, rate / 2)
