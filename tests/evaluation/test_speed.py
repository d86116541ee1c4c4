"""Speed of vocoders: real-time factor, first sound of a stream, memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support import tiny
from wavewright.evaluation.speed import time_vocoders
from wavewright.registry import create_vocoder


@pytest.fixture(scope="module")
def mel() -> torch.Tensor:
    return torch.full((1, tiny.SPEC.n_mels, 400), -4.0)


def test_only_a_vocoder_that_streams_has_a_first_sound(mel: torch.Tensor) -> None:
    vocoders = {
        name: create_vocoder(name, **tiny.SMALL[name]).eval()
        for name in ("griffinlim", "hifigan", "wavernn")
    }
    result = {s.system: s for s in time_vocoders(vocoders, mel, warm_ups=1, repeats=2).systems}
    assert result["griffinlim"].first_sound is None
    for name in ("hifigan", "wavernn"):
        first = result[name].first_sound
        whole = result[name].real_time_factor * mel.shape[-1] * 16 / tiny.SPEC.sample_rate
        assert first is not None
        assert 0 < first < max(whole, 0.05) * 2


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak")
def test_a_longer_mel_takes_more_memory() -> None:
    vocoder = create_vocoder("hifigan:v3").eval()
    short, long = (
        time_vocoders({"v": vocoder}, torch.full((1, 80, frames), -4.0), warm_ups=0, repeats=1)
        for frames in (16, 300)
    )
    few, many = short.systems[0].memory, long.systems[0].memory
    assert few is not None
    assert many is not None
    assert many > few + 5  # MB
