"""Means over all frames, or over the frames inside phones of one class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from wavewright.metrics.metric import MetricScore, Undefined, WavPair
from wavewright.text.phones import phone_class

if TYPE_CHECKING:
    from wavewright.text.textgrid import Interval


def mean_over_phone_class(
    values: np.ndarray, times: np.ndarray, pair: WavPair, phones: str | None = None
) -> MetricScore:
    """Mean over frames; the weight of a phone class is its number of frames.

    Args:
        values: (frames,).
        times: (frames,), centers of the frames in seconds.
        pair: waveforms with the phones of the reference.
        phones: class of phones; None for all frames.

    Raises:
        Undefined: the reference has no phone alignment, or no phone of the class.
    """
    if phones is None:
        return MetricScore(float(values.mean()))
    if not pair.phones:
        raise Undefined("the reference has no phone alignment")
    selected = frames_in_phone_class(times, pair.phones, phones)
    if not selected.any():
        raise Undefined(f"the reference has no {phones}")
    return MetricScore(float(values[selected].mean()), weight=float(selected.sum()))


def frames_in_phone_class(
    times: np.ndarray, intervals: Sequence[Interval], phones: str
) -> np.ndarray:
    """(n,) bool: True for times (n,) in seconds that lie inside phones of the class."""
    inside = np.zeros(len(times), dtype=bool)
    for interval in intervals:
        if phone_class(interval.label) == phones:
            inside |= (times >= interval.start) & (times < interval.end)
    return inside
