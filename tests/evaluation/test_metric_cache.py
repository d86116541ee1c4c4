"""Scores that are remembered: the same question is asked once, another one is asked."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from threading import Timer

import numpy as np
import pytest

from wavewright.evaluation.metric_cache import MetricCache, score_key
from wavewright.metrics.mel_l1 import MelL1
from wavewright.metrics.metric import MetricScore, WavPair
from wavewright.metrics.mstft import MSTFT

RNG = np.random.default_rng(0)
A, B = (RNG.normal(size=4000).astype(np.float32) for _ in range(2))


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    cache = MetricCache(tmp_path / "deep" / "scores.sqlite")
    scores = {"one": MetricScore(0.25, weight=7.0), "two": MetricScore(float("nan"), "too short")}
    cache.put(scores)
    result = MetricCache(cache.path).get(["one", "two", "three"])
    assert set(result) == {"one", "two"}
    assert (float(result["one"]), result["one"].weight) == (0.25, 7.0)
    assert np.isnan(result["two"])
    assert result["two"].reason == "too short"


def test_every_thing_that_matters_is_in_the_key() -> None:
    keys = {
        score_key(MelL1(), WavPair(A, B, 22050)),
        score_key(MelL1(), WavPair(B, A, 22050)),
        score_key(MelL1(), WavPair(A, A, 22050)),
        score_key(MelL1(), WavPair(A, B, 24000)),
        score_key(MelL1(band=8000.0), WavPair(A, B, 22050)),
        score_key(MSTFT(), WavPair(A, B, 22050)),
    }
    assert len(keys) == 6
    assert score_key(MSTFT(), WavPair(A, B, 22050, "a text")) == score_key(
        MSTFT(), WavPair(A, B, 22050)
    )


def test_another_code_is_another_question(monkeypatch: pytest.MonkeyPatch) -> None:
    from wavewright.evaluation import metric_cache

    before = score_key(MSTFT(), WavPair(A, B, 22050))
    metric_cache._code_digest.cache_clear()
    monkeypatch.setattr(metric_cache, "code_fingerprint", lambda modules: ({"m": "changed"}, {}))
    try:
        assert score_key(MSTFT(), WavPair(A, B, 22050)) != before
    finally:
        metric_cache._code_digest.cache_clear()


def test_a_cache_that_cannot_be_used_is_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.sqlite"
    broken.write_text("this is not a database, whatever it is called " * 10)
    for path in (broken, tmp_path / "broken.sqlite" / "below"):
        cache = MetricCache(path)
        cache.put({"one": MetricScore(1.0)})
        assert cache.get(["one"]) == {}
    assert "not cached" in caplog.text


def test_one_waits_while_another_writes(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    MetricCache(path).put({"zero": MetricScore(0.0)})
    other = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO scores VALUES ('theirs', 1.0, '', 1.0)")
    timer = Timer(0.3, other.execute, ("COMMIT",))
    timer.start()
    MetricCache(path).put({"mine": MetricScore(2.0)})
    timer.join()
    other.close()
    assert set(MetricCache(path).get(["zero", "theirs", "mine"])) == {"zero", "theirs", "mine"}
