"""Metrics on real speech: known values, and the reasons of every registered metric."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.metrics.test_values import RATE, all_metrics, require, voice
from wavewright.audio.files import load_wav
from wavewright.metrics import recognizer, world
from wavewright.metrics.f0_fine import F0Fine
from wavewright.metrics.f0_rmse import F0RMSESwift
from wavewright.metrics.ffe import FFE
from wavewright.metrics.gpe import GPE
from wavewright.metrics.lag import Lag
from wavewright.metrics.lsd import LSD
from wavewright.metrics.mcd import MCDDio
from wavewright.metrics.mcd_dtw import MCDDTW
from wavewright.metrics.mcd_espnet import MCDESPnet
from wavewright.metrics.mel_l1 import MelL1
from wavewright.metrics.melcep import mel_cepstral_analysis, warping_matrix
from wavewright.metrics.metric import Metric, MetricScore
from wavewright.metrics.mstft import MSTFT
from wavewright.metrics.periodicity import Periodicity
from wavewright.metrics.pesq import PESQ
from wavewright.metrics.pitch import F0Tracks
from wavewright.metrics.stoi import STOI
from wavewright.metrics.vuv_error import VUVError
from wavewright.metrics.vuv_f1 import voicing_f1
from wavewright.metrics.wer import CER, WER
from wavewright.text.textgrid import Interval

TEXT = "has never been surpassed"  # what LJ001-0008 says
WITHOUT_REFERENCE = ("dnsmos", "dnsmos_p808", "distill_mos")
HEAVY = (*WITHOUT_REFERENCE, "wer", "cer")  # a second or more for any waveform
each_metric = pytest.mark.parametrize("metric", all_metrics(), ids=lambda metric: metric.name)
each_metric_heavy_ones_slow = pytest.mark.parametrize(
    "metric",
    [
        pytest.param(metric, marks=[pytest.mark.slow] if metric.name in HEAVY else [])
        for metric in all_metrics()
    ],
    ids=lambda metric: metric.name,
)


@pytest.fixture(scope="module")
def speech(shared: Path) -> np.ndarray:
    """1.8 s of a recording at 22,050 Hz."""
    (path,) = (shared / "corpora" / "ljspeech-mini" / "wavs").glob("LJ001-0008.*")
    wav, rate = load_wav(path)
    assert rate == RATE
    return wav


def noisy(wav: np.ndarray, level: float) -> np.ndarray:
    return wav + level * np.random.default_rng(1).normal(size=len(wav))


@each_metric_heavy_ones_slow
def test_a_copy_is_ideal_and_values_stay_in_range(metric: Metric, speech: np.ndarray) -> None:
    require(metric)
    copy = metric(speech, speech.copy(), RATE, text=TEXT)
    assert copy.reason == ""
    if metric.name not in WITHOUT_REFERENCE:
        assert copy == pytest.approx(metric.ideal, abs=1e-6)
    worse = metric(speech, np.clip(noisy(speech, 0.1), -1, 1), RATE, text=TEXT)
    for value in (copy, worse):
        assert metric.lowest is None or value >= metric.lowest
        assert metric.highest is None or value <= metric.highest + 1e-6


def test_the_level_does_not_count_without_c0(speech: np.ndarray) -> None:
    half = 0.5 * speech
    require(MCDDio())
    assert MCDDio()(speech, half, RATE) < 1e-3
    assert MelL1()(speech, half, RATE) == pytest.approx(math.log(2), rel=0.01)
    assert MCDESPnet()(speech, half, RATE) > 3  # it counts c0


@pytest.mark.slow
@pytest.mark.parametrize("metric", [F0Fine(), F0RMSESwift()], ids=lambda m: m.id)
def test_fifty_cents_are_fifty_cents(metric: Metric, speech: np.ndarray) -> None:
    require(metric)
    require(F0Fine())
    plain, higher = (_resynthesized(speech, cents) for cents in (0, 50))
    assert metric(plain, higher, RATE) == pytest.approx(50, abs=8)


def _resynthesized(wav: np.ndarray, cents: float) -> np.ndarray:
    """Resynthesis by WORLD with the pitch shifted by `cents`."""
    vocoder, wav = world.load_pyworld(), wav.astype(np.float64)
    f0, times = vocoder.harvest(wav, RATE, f0_floor=80.0, f0_ceil=500.0)
    envelope = vocoder.cheaptrick(wav, f0, times, RATE)
    noise = vocoder.d4c(wav, f0, times, RATE)
    shifted: np.ndarray = vocoder.synthesize(f0 * 2 ** (cents / 1200), envelope, noise, RATE)
    return shifted[: len(wav)]


@pytest.mark.slow
def test_a_delay_is_measured_and_ignored_by_warping(speech: np.ndarray) -> None:
    late = np.concatenate([np.zeros(110, np.float32), speech[:-110]])
    assert Lag()(speech, late, RATE) == pytest.approx(1000 * 110 / RATE, abs=0.3)
    require(MCDDTW())
    assert MCDDTW()(speech, late, RATE) < 0.3 * MCDDio()(speech, late, RATE)


@pytest.mark.parametrize(
    "metric", [MSTFT(), MelL1(), MCDDio(), PESQ(), STOI(), LSD()], ids=lambda metric: metric.id
)
def test_more_noise_is_worse(metric: Metric, speech: np.ndarray) -> None:
    require(metric)
    values = [metric(speech, noisy(speech, level), RATE) for level in (1e-3, 3e-3, 1e-2, 3e-2)]
    assert values == sorted(values, reverse=metric.direction == "higher")
    assert len(set(values)) == len(values)


def test_whispered_speech_is_less_periodic(speech: np.ndarray) -> None:
    require(Periodicity())
    phases = np.exp(2j * np.pi * np.random.default_rng(0).random(len(speech) // 2 + 1))
    hoarse = np.fft.irfft(np.fft.rfft(speech) * phases, len(speech))
    assert Periodicity()(speech, hoarse, RATE) > 0.3
    assert Periodicity()(speech, noisy(speech, 1e-3), RATE) < 0.1


@each_metric
@pytest.mark.parametrize(
    ("reference", "candidate", "reason"),
    [
        (voice(), np.full(RATE, np.nan), "not finite"),
        (voice(), np.stack([voice(), voice()]), "not mono"),
        (voice(), np.zeros(0), "empty"),
        (np.zeros(RATE), voice(), "silent"),
        (np.zeros(RATE), np.zeros(RATE), "silent"),
    ],
    ids=["nan", "stereo", "empty", "silent reference", "both silent"],
)
def test_incomparable_waveforms_give_nan_with_a_reason(
    metric: Metric, reference: np.ndarray, candidate: np.ndarray, reason: str
) -> None:
    score = metric(reference, candidate, RATE, text=TEXT)
    assert math.isnan(score)
    assert reason in score.reason or metric.missing_package() in score.reason


@each_metric
def test_short_waveforms_give_a_value_or_a_reason(metric: Metric) -> None:
    """A level or a duration needs no more than a sample; everything else needs some speech."""
    require(metric)
    score = metric(voice()[:40], voice()[:40], RATE, text=TEXT)
    if metric.name in ("clipped", "level_difference", "duration_ratio", "duration_difference"):
        assert score == metric.ideal
    else:
        assert math.isnan(score)
        assert "short" in score.reason


@each_metric_heavy_ones_slow
@pytest.mark.parametrize(
    "candidate",
    [np.zeros(RATE), np.clip(20 * voice(), -1, 1), 3 * voice(), np.full(RATE, 0.1)],
    ids=["silent", "clipped", "beyond the scale", "steady"],
)
def test_a_bad_candidate_has_a_value_in_range_or_a_reason(
    metric: Metric, candidate: np.ndarray
) -> None:
    require(metric)
    score = metric(voice(), candidate, RATE, text=TEXT)
    assert math.isnan(score) == bool(score.reason)
    assert metric.lowest is None or not score < metric.lowest
    assert metric.highest is None or not score > metric.highest + 1e-6


@each_metric_heavy_ones_slow
@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_every_common_sample_rate_is_measured(metric: Metric, rate: int) -> None:
    require(metric)
    times = np.arange(round(0.6 * rate)) / rate
    wav = np.interp(times, np.arange(RATE) / RATE, voice())
    score = metric(wav, wav.copy(), rate, text=TEXT)
    if metric.name == "mcd_espnet" and rate == 8000:
        assert "8000 Hz" in score.reason
    else:
        assert score.reason == ""


def test_a_missing_package_is_named_with_what_installs_it() -> None:
    class Distant(STOI):
        packages = ("no_such_package",)

    assert Distant.missing_package() == "no_such_package"
    reason = Distant()(voice(), voice(), RATE).reason
    assert reason == "needs the package no_such_package: pip install wavewright[metrics]"


def test_only_frames_inside_phones_of_the_class_count() -> None:
    wav = voice(2.0)
    worse = np.concatenate([wav[:RATE], noisy(wav, 0.1)[RATE:]])
    phones = (Interval(0, 0.9, "S"), Interval(0.9, 1.1, "sil"), Interval(1.1, 2.0, "AA1"))
    scores = {
        kind: MelL1(phones=kind)(wav, worse, RATE, phones=phones)
        for kind in ("vowels", "fricatives", "nasals")
    }
    assert float(scores["fricatives"]) == 0
    assert scores["vowels"] > 1.5 * MelL1()(wav, worse, RATE)
    assert scores["vowels"].weight == pytest.approx(0.9 * RATE / 256, abs=2)
    assert scores["nasals"].reason == "the reference has no nasals"
    assert "no phone alignment" in MelL1(phones="vowels")(wav, worse, RATE).reason
    assert MelL1(phones="vowels").id == "mel_l1@vowels"


def test_mcd_of_a_class_counts_its_frames() -> None:
    require(MCDDio())
    wav = voice()
    phones = (Interval(0, 0.5, "S"), Interval(0.5, 1.0, "AA1"))
    score = MCDDio(phones="vowels")(wav, noisy(wav, 0.01), RATE, phones=phones)
    assert score > 0
    assert score.weight == 100


def test_pitch_and_voicing_errors_are_counted_by_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    tracks = F0Tracks(
        reference=np.array([0.0, 0.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0]),
        candidate=np.array([0.0, 100.0, 0.0, 100.0, 200.0, 119.0, 121.0, 100.0]),
    )
    for kind, value, weight in ((GPE, 2 / 5, 5), (FFE, 4 / 8, 8), (VUVError, 2 / 8, 8)):
        monkeypatch.setattr(kind, "f0_tracks", lambda self, pair: tracks)
        monkeypatch.setattr(kind, "packages", ())
        score = kind()(voice(), voice(), RATE)
        assert [float(score), score.weight] == pytest.approx([value, weight])
    assert voicing_f1(tracks.reference > 0, tracks.candidate > 0) == pytest.approx(2 * 5 / 12)


def test_a_mean_of_f1_by_weight_is_that_of_all_frames() -> None:
    true = np.random.default_rng(0).random((2, 50)) > [[0.3], [0.9]]
    ours = np.random.default_rng(1).random((2, 50)) > [[0.4], [0.8]]
    parts = [voicing_f1(*pair) for pair in zip(true, ours, strict=True)]
    pooled = np.average(parts, weights=[part.weight for part in parts])
    assert pooled == pytest.approx(voicing_f1(true.ravel(), ours.ravel()))


def test_analyses_are_cached() -> None:
    require(MCDDio())
    world.f0_track.cache_clear()
    wav = voice(0.5)
    for level in (0.01, 0.02):
        F0Fine()(wav, noisy(wav, level), RATE)
        GPE()(wav.copy(), noisy(wav, level), RATE)
    assert world.f0_track.cache_info().misses == 3


def test_error_rates_are_differences_from_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    wav, other = voice(), voice(seed=1)
    texts = {wav.tobytes(): "one two tree four", other.tobytes(): "one too tree"}
    monkeypatch.setattr(recognizer, "_recognize", lambda wav: texts[wav.wav.tobytes()])
    for kind, value, weight in ((WER, 3 / 4 - 1 / 4, 4), (CER, 6 / 15 - 1 / 15, 15)):
        require(kind())
        score = kind()(wav, other, RATE, text='"One, two: THREE - four!"')
        assert [float(score), score.weight] == pytest.approx([value, weight])
        assert kind()(wav, other, RATE).reason == "there is no transcript"
        assert kind()(wav, other, RATE, text=" -- 12!").reason == "there is no transcript"


@pytest.mark.slow
def test_the_recognizer_keeps_no_state(speech: np.ndarray) -> None:
    require(WER())
    scores: list[MetricScore] = []
    for _ in range(2):
        recognizer._recognize.cache_clear()
        scores.append(WER()(speech, noisy(speech, 0.01), RATE, text=TEXT))
    assert scores[0] == scores[1]


def test_warping_by_nothing_changes_nothing() -> None:
    assert np.array_equal(warping_matrix(40, 20, 0.0), np.eye(40)[:, :21])
    there_and_back = warping_matrix(40, 300, 0.45) @ warping_matrix(301, 39, -0.45)
    assert np.allclose(there_and_back, np.eye(40), atol=1e-8)


def test_mel_cepstral_analysis_finds_the_cepstrum_that_a_spectrum_was_made_of() -> None:
    cepstra = np.random.default_rng(0).normal(size=(5, 13)) / (1 + np.arange(13))
    unwarped = cepstra @ warping_matrix(13, 512, -0.45)
    power = np.exp(2 * np.fft.rfft(unwarped, 1024).real)
    assert np.allclose(mel_cepstral_analysis(power, 12, 0.45), cepstra, atol=2e-3)
