"""Metrics against an independent script's values on two systems' copies of LJSpeech clips."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from wavewright.audio.files import load_wav
from wavewright.evaluation.statistics import estimate_mean
from wavewright.metrics.clipped import Clipped
from wavewright.metrics.distill_mos import DistillMOS
from wavewright.metrics.dnsmos import DNSMOS, DNSMOSP808
from wavewright.metrics.f0_fine import F0FineHarvest
from wavewright.metrics.f0_rmse import F0RMSEHarvest
from wavewright.metrics.ffe import FFEHarvest
from wavewright.metrics.gpe import GPEHarvest
from wavewright.metrics.lag import Lag
from wavewright.metrics.level_difference import LevelDifference
from wavewright.metrics.lsd import LSD
from wavewright.metrics.mcd import MCD
from wavewright.metrics.mcd_dtw import MCDDTW
from wavewright.metrics.mcd_espnet import MCDESPnet
from wavewright.metrics.mel_l1 import MelL1
from wavewright.metrics.metric import Metric, MetricScore
from wavewright.metrics.mstft import MSTFT
from wavewright.metrics.pesq import PESQ
from wavewright.metrics.stoi import ESTOI, STOI
from wavewright.metrics.vuv_error import VUVErrorHarvest
from wavewright.metrics.vuv_f1 import VUVF1Harvest
from wavewright.metrics.wer import CER, WER


class Tolerance(NamedTuple):
    """How far a value may be off: of the expected one, or absolute, whichever is more."""

    rel: float = 0.0
    abs: float = 0.0

    def of(self, expected: float) -> object:
        return pytest.approx(expected, rel=self.rel, abs=self.abs)


SYSTEMS = ("gl60_mel80", "world_harvest")
SHORT = ("LJ001-0002", "LJ001-0008")  # the two shortest clips, 3.7 s together, for slow metrics
BRIEF = (*SHORT, "LJ001-0004", "LJ001-0006")
few_clips_or_long = pytest.mark.parametrize(
    "clips", [SHORT, pytest.param((), marks=pytest.mark.long)], ids=["short", "others"]
)
# Tolerances as the fixture's README states them: of the value, or absolute.
ONE, TWO, FIVE = Tolerance(rel=0.01), Tolerance(rel=0.02), Tolerance(rel=0.05)
QUICK: tuple[tuple[Metric, str, Tolerance], ...] = (
    (MSTFT(), "mstft", ONE),
    (MelL1(), "mel_l1", ONE),
    (MelL1(band=8000.0), "mel_l1_8k", ONE),
    (LSD(), "lsd_db", ONE),
    (LevelDifference(), "level_diff_db", ONE),
    (STOI(), "stoi", ONE),
    (ESTOI(), "estoi", ONE),
    (PESQ(), "pesq_wb", Tolerance(abs=0.02)),
)
HEAVY: tuple[tuple[Metric, str, Tolerance], ...] = (
    (DNSMOS(), "dnsmos_ovrl", Tolerance(abs=0.02)),
    (DNSMOSP808(), "dnsmos_p808", Tolerance(abs=0.02)),
)
SLOW: tuple[tuple[Metric, str, Tolerance], ...] = (
    (MCD(), "mcd", TWO),
    (MCDDTW(), "mcd_dtw", TWO),
    (F0RMSEHarvest(), "f0_rmse_cents", FIVE),
    (GPEHarvest(), "gpe20", Tolerance(0.05, 0.005)),
    (FFEHarvest(), "ffe", Tolerance(0.05, 0.005)),
    (VUVErrorHarvest(), "vuv_error", Tolerance(0.05, 0.005)),
    (VUVF1Harvest(), "vuv_f1", Tolerance(abs=0.005)),
)


class Copies:
    """The copies of one system beside the recordings, and what the other script found."""

    def __init__(self, shared: Path, system: str) -> None:
        self.shared = shared
        self.folder = shared / "fixtures" / "evaluation"
        self.system = system
        self.expected: dict[str, Any] = json.loads((self.folder / f"{system}.json").read_text())

    @property
    def utterances(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.expected["per_utt"]
        assert len(found) == 8
        return found

    def score(self, metric: Metric, utterance: str, text: str = "") -> MetricScore:
        (path,) = (self.shared / "corpora" / "ljspeech-mini" / "wavs").glob(f"{utterance}.*")
        reference, rate = load_wav(path)
        candidate, _ = load_wav(self.folder / self.system / f"{utterance}.flac")
        score = metric(reference, candidate, rate, text=text)
        assert score.reason == ""
        return score

    def scores(self, metric: Metric) -> Iterator[tuple[MetricScore, dict[str, Any]]]:
        for utterance, values in self.utterances.items():
            yield self.score(metric, utterance, values["text_norm"]), values


@pytest.fixture(params=SYSTEMS)
def copies(request: pytest.FixtureRequest, shared: Path) -> Copies:
    return Copies(shared, request.param)


def require(metric: Metric) -> None:
    """Skip, and say so, where the packages of a metric are not installed."""
    if missing := metric.missing_package():
        pytest.skip(f"{metric.id} needs the package {missing}")


@pytest.mark.parametrize(
    ("metric", "key", "tolerance"), QUICK, ids=[metric.id for metric, *_ in QUICK]
)
def test_values_agree_with_the_independent_script(
    copies: Copies, metric: Metric, key: str, tolerance: Tolerance
) -> None:
    require(metric)
    for score, values in copies.scores(metric):
        assert score == tolerance.of(values[key])


@pytest.mark.slow
@few_clips_or_long
@pytest.mark.parametrize(
    ("metric", "key", "tolerance"), HEAVY, ids=[metric.id for metric, *_ in HEAVY]
)
def test_values_of_networks_agree(
    copies: Copies, clips: Sequence[str], metric: Metric, key: str, tolerance: Tolerance
) -> None:
    require(metric)
    for utterance in clips or set(copies.utterances) - set(SHORT):
        assert copies.score(metric, utterance) == tolerance.of(copies.utterances[utterance][key])


@pytest.mark.slow
@few_clips_or_long
@pytest.mark.parametrize(("metric", "key"), [(WER(), "wer"), (CER(), "cer")], ids=["wer", "cer"])
def test_error_rates_agree(copies: Copies, clips: Sequence[str], metric: Metric, key: str) -> None:
    """But for one word: the decoder hears how a sample was rounded to 16 bits.

    Of the four shortest clips: it takes a second for every second.
    """
    require(metric)
    for utterance in clips or BRIEF[2:]:
        values = copies.utterances[utterance]
        score = copies.score(metric, utterance, values["text_norm"])
        words = score.weight / (1 if key == "wer" else 5)
        assert score == pytest.approx(values[key] - values[f"{key}_ref"], abs=1.01 / words)


@pytest.mark.parametrize(
    ("system", "expected"), [("gl60_mel80", 7.28), ("world_harvest", 3.53)], ids=SYSTEMS
)
def test_the_mean_mcd_of_espnet_agrees(shared: Path, system: str, expected: float) -> None:
    """Of the script's table, made with pysptk and FastDTW."""
    found = [score for score, _ in Copies(shared, system).scores(MCDESPnet())]
    assert np.mean(found) == pytest.approx(expected, abs=0.006)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("system", "expected"),
    [("gl60_mel80", 3.421), pytest.param("world_harvest", 3.986, marks=pytest.mark.long)],
    ids=SYSTEMS,
)
def test_the_mean_of_distill_mos_agrees(shared: Path, system: str, expected: float) -> None:
    require(DistillMOS())
    found = [score for score, _ in Copies(shared, system).scores(DistillMOS())]
    assert np.mean(found) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("utterance", SHORT)
@pytest.mark.parametrize(
    ("metric", "key", "tolerance"), SLOW, ids=[metric.id for metric, *_ in SLOW]
)
def test_values_by_harvest_agree(
    copies: Copies, utterance: str, metric: Metric, key: str, tolerance: Tolerance
) -> None:
    require(metric)
    expected = copies.utterances[utterance][key]
    assert copies.score(metric, utterance) == tolerance.of(expected)


@pytest.mark.long  # test_values_by_harvest_agree shows it on two clips
def test_values_by_harvest_agree_on_every_clip(copies: Copies) -> None:
    require(MCD())
    for metric, key, tolerance in SLOW:
        for score, values in copies.scores(metric):
            assert score == tolerance.of(values[key]), metric.id


@pytest.mark.long
@pytest.mark.parametrize(
    ("system", "fine"), [("gl60_mel80", 62.798), ("world_harvest", 56.849)], ids=SYSTEMS
)
def test_means_by_harvest_agree(shared: Path, system: str, fine: float) -> None:
    """The script's table has the fine RMSE as a mean only, and pools the F1 over utterances."""
    copies = Copies(shared, system)
    require(F0FineHarvest())
    found = [score for score, _ in copies.scores(F0FineHarvest())]
    assert np.mean(found) == pytest.approx(fine, rel=1e-3)
    scores = [score for score, _ in copies.scores(VUVF1Harvest())]
    pooled = np.average(scores, weights=[score.weight for score in scores])
    assert pooled == pytest.approx(copies.expected["corpus"]["vuv_f1_pooled"], rel=1e-3)


def test_clipped_samples_are_those_that_the_independent_script_counts(copies: Copies) -> None:
    for score, values in copies.scores(Clipped()):
        assert score == pytest.approx(1000 * values["clip_frac"], abs=0.02)


def test_a_copy_in_time_is_found_in_time(copies: Copies) -> None:
    """Where the waveforms' own correlation scatters over several milliseconds."""
    for score, _ in copies.scores(Lag()):
        assert abs(score) < 2.0


def test_intervals_hold_the_narrower_ones_of_the_independent_script(shared: Path) -> None:
    """Its percentile bootstrap is too narrow at n = 8."""
    data = json.loads((shared / "fixtures" / "evaluation" / "gl60_mel80.json").read_text())
    found = estimate_mean([values["mstft"] for values in data["per_utt"].values()])
    expected = data["summary"]["mstft"]
    assert found.mean == pytest.approx(expected["mean"])
    assert found.low is not None
    assert found.high is not None
    assert found.low < expected["ci95_lo"] < expected["ci95_hi"] < found.high
    assert found.high - found.low < 2 * (expected["ci95_hi"] - expected["ci95_lo"])
