"""What a loop adds to its sums for the mel: per frame, mixed for every sample on the way.

Smoothing over time is one filter for all bands, so a linear layer may come before it: products are
made once a frame, and a sample takes its shares of the frames around it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from torch import Tensor

from wavewright.kernels.compile import FAST
from wavewright.kernels.ops import add_scaled, copy
from wavewright.nn.upsample_network import REACH, Stretch, shares


class Conditions(NamedTuple):
    """Of the frames of one window.

    Attributes:
        mixed: float32 (frames around, rows), what is shared out.
        held: float32 (frames, rows), what holds for a whole frame.
        shares: float32 (kinds, hop_length, 2 * REACH + 1).
        kinds: int64 (frames), which of the shares.
        first: number in `mixed` of the window's first frame.
    """

    mixed: np.ndarray
    held: np.ndarray
    shares: np.ndarray
    kinds: np.ndarray
    first: int


def conditions(
    stretch: Stretch, mixed: Tensor, held: Tensor, first: int, frames: int
) -> Conditions:
    """Lay out what `blend` reads.

    Args:
        stretch: that smooths over time.
        mixed: (frames around, rows).
        held: (frames, rows).
        first: number in `mixed` of the first of the frames.
        frames: to be spoken.
    """
    table, kinds = shares(stretch, len(mixed))
    edge = np.zeros((REACH, mixed.shape[1]), dtype=np.float32)
    return Conditions(
        np.ascontiguousarray(np.concatenate([edge, mixed.float().cpu().numpy(), edge])),
        np.ascontiguousarray(held.float().cpu().numpy()),
        np.ascontiguousarray(table.numpy()),
        np.ascontiguousarray(kinds[first : first + frames].numpy()),
        first,
    )


@njit(inline="always", fastmath=FAST)
def blend(
    mixed: Any, held: Any, shares: Any, first: int, frame: int, start: int, stop: int, out: Any
) -> None:
    """out[start : stop] = the rows [start, stop) of what is added for one sample.

    Args:
        mixed, held, first: of the `Conditions`.
        shares: of this sample.
        frame: of the window.
        start, stop: rows, multiples of 16.
        out: float32.
    """
    count = stop - start
    copy(held, frame * held.shape[1] + start, out, start, count)
    for place in range(shares.shape[0]):
        share = shares[place]
        if share != 0.0:
            row = (first + frame + place) * mixed.shape[1]
            add_scaled(mixed, row + start, share, out, start, count)


def unconditional(held: Tensor, frames: int, hop: int) -> Conditions:
    """The same rows (rows) for every sample of so many frames."""
    return Conditions(
        np.zeros((1, len(held)), dtype=np.float32),
        np.repeat(held.float().cpu().numpy()[None], frames, axis=0),
        np.zeros((1, hop, 0), dtype=np.float32),
        np.zeros(frames, dtype=np.int64),
        0,
    )
