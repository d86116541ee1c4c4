"""Frames that count: all, or those whose centre lies in phones of one class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from wavewright.metrics.metric import Pair, Score, Undefined
from wavewright.text.phones import phone_class

if TYPE_CHECKING:
    from wavewright.text.textgrid import Interval


def mean_of_class(
    values: np.ndarray, times: np.ndarray, pair: Pair, phones: str | None = None
) -> Score:
    """Mean of the frames that count, weighted by how many if they are those of a class.

    Args:
        values: (frames,).
        times: (frames,), their centres in seconds.
        pair: knows the phones of the reference.
        phones: class of phones; None for all frames.

    Raises:
        Undefined: nobody knows where the phones lie, or none of the class occurs.
    """
    if phones is None:
        return Score(float(values.mean()))
    if not pair.phones:
        raise Undefined("nobody knows where the phones lie")
    counted = in_class(times, pair.phones, phones)
    if not counted.any():
        raise Undefined(f"it has no {phones}")
    return Score(float(values[counted].mean()), weight=float(counted.sum()))


def in_class(times: np.ndarray, intervals: Sequence[Interval], phones: str) -> np.ndarray:
    """Which times (n,) in seconds lie in phones of the class, (n,) bool."""
    inside = np.zeros(len(times), dtype=bool)
    for interval in intervals:
        if phone_class(interval.label) == phones:
            inside |= (times >= interval.start) & (times < interval.end)
    return inside
