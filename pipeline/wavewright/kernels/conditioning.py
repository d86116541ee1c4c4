"""Mel conditioning inside compiled loops: computed once a frame, interpolated for every sample.

The smoothing over time is one filter for all bands, so it commutes with the linear layers after
it. The layers therefore run at the frame rate, and each sample is a weighted sum of their outputs
for the frames around it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from torch import Tensor

from wavewright.kernels.compile import FASTMATH
from wavewright.kernels.ops import add_scaled, copy
from wavewright.nn.upsample_network import SMOOTHING_FRAMES, Stretch, interpolation_weights


class Conditioning(NamedTuple):
    """Conditioning of one window of frames, as `interpolate_conditioning` reads it.

    Attributes:
        interpolated: float32 (frames around, rows), mixed between neighboring frames.
        per_frame: float32 (frames, rows), constant within a frame.
        weights: float32 (kinds, hop_length, 2 * SMOOTHING_FRAMES + 1), interpolation weights.
        kinds: int64 (frames), index into `weights`.
        first: row of `interpolated` that belongs to the window's first frame.
    """

    interpolated: np.ndarray
    per_frame: np.ndarray
    weights: np.ndarray
    kinds: np.ndarray
    first: int


def mel_conditioning(
    stretch: Stretch, interpolated: Tensor, per_frame: Tensor, first: int, frames: int
) -> Conditioning:
    """Lay out the conditioning of a window of mel frames.

    Args:
        stretch: upsampling network whose smoothing gives the interpolation weights.
        interpolated: (frames around, rows).
        per_frame: (frames, rows).
        first: row of `interpolated` that belongs to the first frame to generate.
        frames: number of frames to generate.
    """
    weights, kinds = interpolation_weights(stretch, len(interpolated))
    edge = np.zeros((SMOOTHING_FRAMES, interpolated.shape[1]), dtype=np.float32)
    rows = interpolated.float().cpu().numpy()
    return Conditioning(
        np.ascontiguousarray(np.concatenate([edge, rows, edge])),
        np.ascontiguousarray(per_frame.float().cpu().numpy()),
        np.ascontiguousarray(weights.numpy()),
        np.ascontiguousarray(kinds[first : first + frames].numpy()),
        first,
    )


def constant_conditioning(per_frame: Tensor, frames: int, hop_length: int) -> Conditioning:
    """Lay out the same rows (rows) for every sample, as unconditional networks need them."""
    return Conditioning(
        np.zeros((1, len(per_frame)), dtype=np.float32),
        np.repeat(per_frame.float().cpu().numpy()[None], frames, axis=0),
        np.zeros((1, hop_length, 0), dtype=np.float32),
        np.zeros(frames, dtype=np.int64),
        0,
    )


@njit(inline="always", fastmath=FASTMATH)
def interpolate_conditioning(
    interpolated: Any,
    per_frame: Any,
    weights: Any,
    first: int,
    frame: int,
    start: int,
    stop: int,
    out: Any,
) -> None:
    """out[start : stop] = rows [start, stop) of one sample's conditioning.

    Args:
        interpolated, per_frame, first: fields of `Conditioning`.
        weights: float32 (2 * SMOOTHING_FRAMES + 1), interpolation weights of this sample.
        frame: index of the sample's frame in the window.
        start, stop: rows, multiples of 16.
        out: float32 (rows).
    """
    count = stop - start
    copy(per_frame, frame * per_frame.shape[1] + start, out, start, count)
    for i in range(weights.shape[0]):
        weight = weights[i]
        if weight != 0.0:
            row = (first + frame + i) * interpolated.shape[1]
            add_scaled(interpolated, row + start, weight, out, start, count)
