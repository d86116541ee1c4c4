"""Excitation of voiced speech: a train of band-limited pulses at a given F0."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_TINY = 1e-4  # of a turn, within which the closed form is replaced by its limit


def pulse_train(f0: Tensor, hop_length: int, sample_rate: int, framing: str = "hop") -> Tensor:
    """Sum of all harmonics below half the sample rate, each of amplitude 1.

    The highest harmonic fades in and out as F0 moves, so that nothing clicks. The sum is computed
    in closed form, the Dirichlet kernel, in time that does not depend on their number.

    Args:
        f0: (B, frames) in Hz, above 0.
        hop_length: samples per frame.
        sample_rate: Hz.
        framing: of the frames, as a MelSpec's: `hop` or `center`.

    Returns:
        (B, frames * hop_length).
    """
    hz = _per_sample(f0, hop_length, framing)
    # In float64: phases of long utterances lose their digits otherwise.
    turns = torch.cumsum(hz.double() / sample_rate, dim=1)
    turns = (turns - turns.round()).to(hz.dtype)
    count = sample_rate / 2 / hz - 1.0
    whole = count.floor()
    half = math.pi * turns
    sine = half.sin()
    near = turns.abs() < _TINY
    kernel = ((2 * whole + 1) * half).sin() / torch.where(near, torch.ones_like(sine), sine)
    kernel = 0.5 * torch.where(near, 2 * whole + 1, kernel) - 0.5
    return kernel + (count - whole) * (2 * (whole + 1) * half).cos()


def _per_sample(f0: Tensor, hop_length: int, framing: str) -> Tensor:
    """(B, frames) -> (B, frames * hop_length), in straight lines between the frames' centers."""
    size = f0.shape[1] * hop_length
    if framing == "hop":
        return F.interpolate(f0[:, None], size=size, mode="linear", align_corners=False)[:, 0]
    extended = torch.cat([f0, f0[:, -1:]], dim=1)[:, None]
    return F.interpolate(extended, size=size + 1, mode="linear", align_corners=True)[:, 0, :-1]
