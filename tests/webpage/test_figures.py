"""Figures of pages, and the contrast of their style sheet."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest

from wavewright.webpage import figures


def test_the_colour_of_a_level_is_the_same_in_every_image() -> None:
    """One level, two images of different contrast: the same pixel."""
    from PIL import Image

    flat = np.full((80, 40), -4.0)
    busy = flat.copy()
    busy[:, 20:] = 1.5
    pixels = [
        np.asarray(Image.open(io.BytesIO(figures.mel_image(mel))).convert("RGB"), dtype=int)[40, 5]
        for mel in (flat, busy)
    ]
    assert np.abs(pixels[0] - pixels[1]).max() <= 6


def test_low_bands_lie_at_the_bottom() -> None:
    from PIL import Image

    mel = np.full((80, 40), figures.DARKEST)
    mel[:20] = figures.BRIGHTEST
    picture = np.asarray(Image.open(io.BytesIO(figures.mel_image(mel))).convert("L"), dtype=int)
    assert picture[-10:].mean() > 150 > picture[:10].mean()


@pytest.mark.parametrize("high", [0.003, 0.47, 1.0, 5.5, 20_000.0])
def test_axes_have_a_handful_of_round_ticks_within(high: float) -> None:
    ticks = figures.Axis(0, high, 0, 100).ticks()
    assert 3 <= len(ticks) <= 9
    assert all(0 <= tick <= high * (1 + 1e-9) for tick in ticks)


def test_labels_of_lines_that_end_together_do_not_overlap() -> None:
    curves = {name: [(0, 3.0), (10, 0.5)] for name in ("a", "b", "c")}
    chart = figures.training_curve(curves, {"level": 0.5}, "mel L1")
    heights = sorted(float(y) for y in re.findall(r'label[^>]*x="460" y="([\d.]+)"', chart))
    assert len(heights) == 4
    assert min(np.diff(heights)) >= 12


def test_chart_labels_are_escaped() -> None:
    chart = figures.interval_chart([("<i>x</i>", 1.0, 0.9, 1.1)])
    assert "<i>" not in chart
    assert "&lt;i&gt;" in chart


def _style() -> str:
    return (Path(figures.__file__).parent / "assets" / "style.css").read_text()


def _palettes() -> list[dict[str, str]]:
    light, dark = re.findall(r":root \{(.*?)\}", _style(), flags=re.DOTALL)[:2]
    return [dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in (light, dark)]


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("palette", _palettes(), ids=["light", "dark"])
@pytest.mark.parametrize("ink", ["ink", "soft", "accent", "s0", "s1", "s2", "s3", "s4"])
@pytest.mark.parametrize("ground", ["paper", "card", "wash"])
def test_text_has_enough_contrast(palette: dict[str, str], ink: str, ground: str) -> None:
    levels = sorted(_luminance(palette[name]) for name in (ink, ground))
    assert (levels[1] + 0.05) / (levels[0] + 0.05) >= 4.5
