"""The contract of every vocoder, kept by this one."""

from __future__ import annotations

import torch

import wavewright as ww
from wavewright.testing import check_overfit, check_vocoder

# Small frames make quick tests; nothing in a vocoder should depend on one convention.
SMALL = ww.MelSpec(
    sample_rate=8000, n_fft=64, hop_length=16, win_length=64, n_mels=8, fmax=4000.0, framing="hop"
)


def whistle() -> ww.Vocoder:
    """Installed, found by name, and the same at every call."""
    torch.manual_seed(0)
    return ww.create_vocoder("whistle:small", channels=32, mel=SMALL)


def test_it_keeps_the_contract() -> None:
    check_vocoder(whistle())


def test_it_learns_and_is_quiet_in_silence() -> None:
    check_overfit(whistle(), reaches=0.4, steps=80, learning_rate=1e-3)
