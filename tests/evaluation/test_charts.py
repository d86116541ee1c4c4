"""Charts of the report: pairs, speed, differences and pitch."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.support.report_values import (
    HOSTILE_NAME,
    metric,
    pairs_of,
    results_of,
)
from tests.support.reports import RATE, large_results, small_report, speech
from wavewright.evaluation.report import charts, contours
from wavewright.evaluation.report.pairwise import charted_pairs
from wavewright.evaluation.results import Results
from wavewright.webpage import figures

# Pairs and charts


def four() -> Results:
    rng = np.random.default_rng(1)
    base = rng.normal(size=12)
    shifts = {"d": 3.0, "a": 0.0, "c": 2.0, "b": 1.0}
    return results_of(
        {
            (name, "copy", "mel_l1"): (10 + base + shift + 0.01 * rng.normal(size=12)).tolist()
            for name, shift in shifts.items()
        }
    )


@pytest.mark.slow
def test_pairs_put_the_better_system_first() -> None:
    results = four()
    result = pairs_of(results)
    order = [(pair.better.id, pair.worse.id) for pair in result]
    assert order == [("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")]
    for pair in result:
        assert pair.low is not None
        assert pair.high is not None
        assert pair.low <= pair.mean <= pair.high < 0
        assert pair.effect == pytest.approx(-1.0)
        assert pair.significant


def test_too_many_pairs_are_drawn_against_the_best_only() -> None:
    results = large_results()
    result = pairs_of(results)
    assert charted_pairs(result) == result
    more = charted_pairs(result * 2)
    assert {pair.better for pair in more} == {result[0].better}


@pytest.mark.slow
def test_forest_plots_have_a_line_at_zero_and_a_mark_for_every_pair() -> None:
    results = four()
    chart = charts.forest_plot(pairs_of(results), results.metrics[0])
    (zero,) = re.findall(r'class="zero" x1="([\d.]+)"', chart)
    dots = [float(x) for x in re.findall(r'class="dot apart" cx="([\d.]+)"', chart)]
    assert len(dots) == 6
    assert all(x < float(zero) for x in dots)
    assert dots[2] < dots[0]  # a - d is farther from zero than a - b


def test_faster_systems_stand_farther_left_and_names_are_escaped() -> None:
    points = [
        charts.SpeedPoint(HOSTILE_NAME, 0, 0.01, 1.0, 0.9, 1.1),
        charts.SpeedPoint("b", 1, 10.0, 0.5, None, None),
    ]
    chart = charts.scatter_plot(points, metric())
    fast, slow = (float(x) for x in re.findall(r"(?:cx=\"|d=\"M)([\d.]+)", chart)[:2])
    assert fast < slow
    assert "<img" not in chart


def test_differences_are_white_where_equal_and_red_where_louder() -> None:
    import io

    from PIL import Image

    quiet = np.full((80, 40), -6.0)
    loud = quiet.copy()
    loud[:, 20:] += 2.0  # 17 dB
    picture = Image.open(io.BytesIO(figures.difference_image(loud, quiet))).convert("RGB")
    equal, louder = (np.asarray(picture, dtype=int)[40, x] for x in (5, 35))
    assert equal.min() > 235
    assert louder[0] > louder[2] + 80


# Pitch


@pytest.mark.skipif(not contours.pitch_available(), reason="pyworld is not installed")
def test_a_contour_follows_a_gliding_buzz() -> None:
    t = np.arange(RATE) / RATE
    phase = 2 * np.pi * (120 * t + 40 * t**2)  # 120 Hz, rising to 200
    buzz = 0.1 * np.sum([np.sin(k * phase) / k for k in range(1, 12)], axis=0)
    result = contours.pitch_contour(buzz, RATE)
    assert result is not None
    at = [float(result.hertz[round(seconds / contours.STEP)]) for seconds in (0.3, 0.7)]
    assert at == pytest.approx([144.0, 176.0], rel=0.02)
    low, high = contours.pitch_range([result])
    assert low < 124
    assert high > 196
    assert contours.pitch_contour(speech(0)[:100], RATE) is None


def test_a_contour_breaks_where_there_is_no_pitch() -> None:
    hertz = np.array([0.0, 100.0, 100.0, 0.0, 200.0, 200.0])
    one = contours.PitchContour(hertz, seconds=0.06)
    chart = contours.contour_chart(None, one, (100.0, 200.0), "<i>x</i>")
    (path,) = re.findall(r' d="([^"]+)"', chart)
    assert path == "M167 100L333 100M667 0L833 0"
    assert "&lt;i&gt;x&lt;/i&gt;: median 150 Hz, 67% of the time voiced" in chart
    assert contours.contour_chart(None, None, (100.0, 200.0), "x") == ""


@pytest.mark.slow
def test_the_page_says_so_where_pitch_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contours, "_world", lambda: None)
    page, _ = small_report(tmp_path, utterances=2)
    text = page.read_text("utf-8")
    assert 'class="contour"' not in text
    assert "Pitch contours are left out: the package pyworld is not installed" in text
