"""Metrics against an independent script's values on two systems' copies of LJSpeech clips."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from wavewright.audio import load_wav
from wavewright.metrics.clipped import Clipped
from wavewright.metrics.lag import Lag
from wavewright.metrics.level_difference import LevelDifference
from wavewright.metrics.lsd import LSD
from wavewright.metrics.mel_l1 import MelL1
from wavewright.metrics.metric import Metric
from wavewright.metrics.mstft import MSTFT
from wavewright.report.statistics import estimate

TOLERANCE = 0.01  # of the value, as the fixture's README states it


@pytest.mark.parametrize("system", ["gl60_mel80", "world_harvest"])
@pytest.mark.parametrize(
    ("metric", "key"),
    [
        (MSTFT(), "mstft"),
        (MelL1(), "mel_l1"),
        (MelL1(band=8000.0), "mel_l1_8k"),
        (LSD(), "lsd_db"),
        (LevelDifference(), "level_diff_db"),
    ],
    ids=["mstft", "mel_l1", "mel_l1_8k", "lsd", "level"],
)
def test_values_agree_with_the_independent_script(
    shared: Path, system: str, metric: Metric, key: str
) -> None:
    folder = shared / "fixtures" / "evaluation"
    expected = json.loads((folder / f"{system}.json").read_text())["per_utt"]
    assert len(expected) == 8
    for utterance, values in expected.items():
        reference, rate = _recording(shared, utterance)
        candidate, _ = load_wav(folder / system / f"{utterance}.flac")
        assert metric(reference, candidate, rate) == pytest.approx(values[key], rel=TOLERANCE)


@pytest.mark.parametrize("system", ["gl60_mel80", "world_harvest"])
def test_clipped_samples_are_those_that_the_independent_script_counts(
    shared: Path, system: str
) -> None:
    folder = shared / "fixtures" / "evaluation"
    expected = json.loads((folder / f"{system}.json").read_text())["per_utt"]
    for utterance, values in expected.items():
        reference, rate = _recording(shared, utterance)
        candidate, _ = load_wav(folder / system / f"{utterance}.flac")
        found = Clipped()(reference, candidate, rate)
        assert found == pytest.approx(1000 * values["clip_frac"], abs=0.02)


@pytest.mark.parametrize(("system", "most"), [("gl60_mel80", 2.0), ("world_harvest", 2.0)])
def test_a_copy_in_time_is_found_in_time(shared: Path, system: str, most: float) -> None:
    """Where the waveforms' own correlation scatters over several milliseconds."""
    folder = shared / "fixtures" / "evaluation" / system
    for path in sorted(folder.glob("*.flac")):
        reference, rate = _recording(shared, path.stem)
        candidate, _ = load_wav(path)
        assert abs(Lag()(reference, candidate, rate)) < most, path.stem


def test_intervals_hold_the_narrower_ones_of_the_independent_script(shared: Path) -> None:
    """Its percentile bootstrap is too narrow at n = 8."""
    data = json.loads((shared / "fixtures" / "evaluation" / "gl60_mel80.json").read_text())
    found = estimate([values["mstft"] for values in data["per_utt"].values()])
    expected = data["summary"]["mstft"]
    assert found.mean == pytest.approx(expected["mean"])
    assert found.low is not None
    assert found.high is not None
    assert found.low < expected["ci95_lo"] < expected["ci95_hi"] < found.high
    assert found.high - found.low < 2 * (expected["ci95_hi"] - expected["ci95_lo"])


def _recording(shared: Path, utterance: str) -> tuple[np.ndarray, int]:
    (path,) = (shared / "corpora" / "ljspeech-mini" / "wavs").glob(f"{utterance}.*")
    return load_wav(path)
