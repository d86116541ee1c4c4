"""A training that was stopped anywhere equals one that was not, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.ranks import together
from tests.support import tiny
from tests.training.test_loop import STEPS, assert_equal_to, go, same
from wavewright.checkpoints.checkpoint import latest_checkpoint, load_training, load_vocoder
from wavewright.training.crops import CropData


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An epoch of it has three steps."""
    folder = tmp_path_factory.mktemp("corpus")
    tiny.corpus(folder)
    return folder


@pytest.fixture(scope="module")
def data(corpus: Path) -> CropData:
    return CropData(*tiny.corpus(corpus), tiny.IDS, segment_length=512, batch_size=2, seed=3)


@pytest.fixture(scope="module")
def alone(data: CropData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return go(tmp_path_factory.mktemp("alone"), data)


@pytest.fixture(scope="module")
def two(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("two") / "run"
    assert together(corpus, run, max_steps=STEPS) == [0, 0]
    return newest(run)


def newest(run: Path) -> Path:
    found = latest_checkpoint(run)
    assert found is not None
    return found


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stops", [(1,), (3, 6), (2, 5)], ids=["first", "edges", "middle"])
def test_one_process_stopped_and_resumed_equals_never_stopped(
    data: CropData, alone: Path, tmp_path: Path, stops: tuple[int, ...], workers: int
) -> None:
    """After the first step, at the edges of epochs, in their middle."""
    for stop in (*stops, STEPS):
        last = go(tmp_path, data, stop, workers=workers)
    assert_equal_to(alone, last)


@pytest.mark.parametrize(
    ("stops", "workers"), [((1, 5), 0), pytest.param((3,), 2, marks=pytest.mark.long)]
)
def test_two_processes_stopped_and_resumed_equal_never_stopped(
    corpus: Path, two: Path, tmp_path: Path, stops: tuple[int, ...], workers: int
) -> None:
    for stop in (*stops, STEPS):
        assert together(corpus, tmp_path / "run", max_steps=stop, workers=workers) == [0, 0]
    assert_equal_to(two, newest(tmp_path / "run"))


def test_a_step_that_is_bad_in_one_process_is_skipped_in_both(
    corpus: Path, data: CropData, two: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert together(corpus, run, poison=(5, 1), max_steps=STEPS, on_bad_step="skip") == [0, 0]
    load_vocoder(newest(run))  # which refuses weights that are not finite
    (line,) = map(json.loads, (run / "logs" / "bad_steps.jsonl").read_text().splitlines())
    assert line["step"] == 5
    assert line["utterances"] == data.batch(5, 1, 2).ids, "of the process that had them"
    assert not same(load_training(two)["players"], load_training(newest(run))["players"])


def test_a_step_that_is_bad_in_one_process_stops_both(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert together(corpus, run, poison=(5, 1), max_steps=STEPS, checkpoint_every=4) == [1, 1]
    assert newest(run) == run / "step-00000004"
