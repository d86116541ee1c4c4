"""Steps on the waveform: what they do to tones, and that they can be undone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from scipy.signal import lfilter
from torch import Tensor

from wavewright.audio.filters import (
    Gain,
    HighPass,
    PreEmphasis,
    WavFilter,
    apply_filters,
    filter_history,
    undo_filters,
)
from wavewright.errors import WavewrightError

RATE = 22050
LEARNT = (PreEmphasis(coefficient=0.85), Gain(factor=0.55))


def tone(hertz: float, seconds: float = 0.5) -> Tensor:
    return torch.sin(2 * math.pi * hertz * torch.arange(round(seconds * RATE)).double() / RATE)


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


def rms(wav: Tensor) -> float:
    return float(wav[..., 1000:-1000].square().mean().sqrt())


@pytest.mark.parametrize(
    ("hertz", "least", "most"), [(5.0, 0.0, 0.03), (70.0, 0.45, 0.55), (400.0, 0.99, 1.01)]
)
def test_the_high_pass_passes_above_its_cutoff(hertz: float, least: float, most: float) -> None:
    step = HighPass(cutoff=70.0, taps=1023)
    wav = tone(hertz, 1.0)
    assert least <= rms(apply_filters(wav, (step,), RATE)) / rms(wav) <= most


def test_the_high_pass_delays_by_half_its_length() -> None:
    click = torch.zeros(1000, dtype=torch.float64)
    click[300] = 1.0
    answer = apply_filters(click, (HighPass(cutoff=70.0),), RATE)
    assert int(answer.abs().argmax()) == 300 + 127
    assert not answer[:300].any(), "it is causal"


def test_pre_emphasis_is_a_difference() -> None:
    wav = noise(2, 50).double()
    expected = lfilter([1.0, -0.85], [1.0], wav.numpy())
    found = apply_filters(wav, (PreEmphasis(coefficient=0.85),), RATE).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_what_a_vocoder_learns_is_undone_exactly() -> None:
    wav = 0.1 * noise(3, 20000)
    learnt = apply_filters(wav, LEARNT, RATE)
    assert float((learnt - wav).abs().max()) > 0.05
    assert float((undo_filters(learnt, LEARNT, RATE) - wav).abs().max()) < 1e-6


def test_a_high_pass_is_not_undone_in_silence() -> None:
    with pytest.raises(WavewrightError, match=r"high-pass filter \(70 Hz\) cannot be undone"):
        undo_filters(noise(100), (HighPass(cutoff=70.0),), RATE)


def test_a_piece_with_its_memory_equals_the_whole() -> None:
    steps = (HighPass(cutoff=70.0), *LEARNT)
    assert filter_history(steps) == 254 + 1
    wav = noise(5000)
    whole = apply_filters(wav, steps, RATE)
    piece = apply_filters(wav[1000 - 255 : 2000], steps, RATE)[255:]
    assert float((piece - whole[1000:2000]).abs().max()) < 1e-6


def test_steps_are_differentiable() -> None:
    wav = noise(600).requires_grad_()
    apply_filters(wav, (HighPass(cutoff=70.0), *LEARNT), RATE).sum().backward()  # type: ignore[no-untyped-call]
    assert wav.grad is not None
    assert bool(wav.grad.isfinite().all())


@pytest.mark.parametrize(
    "values",
    [
        {"step": "gain", "factor": 0.0},
        {"step": "preemphasis", "coefficient": 1.0},
        {"step": "highpass", "cutoff": -1.0},
        {"step": "highpass", "cutoff": 70.0, "order": 2},
        {"step": "reverb"},
    ],
)
def test_wrong_values_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(WavFilter).validate_python(values)
