"""Dynamic time warping of two sequences of vectors, exact.

Source: Sakoe and Chiba 1978, as librosa.sequence.dtw computes it: steps (1, 1), (0, 1) and (1, 0)
of equal weight.
"""

from __future__ import annotations

import numpy as np


def warping_path(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Path with the smallest sum of Euclidean distances.

    Args:
        first: (frames, size).
        second: (other frames, size).

    Returns:
        Frame indices into `first` and `second`, equally long, from the end to the beginning.
    """
    from librosa.sequence import dtw
    from scipy.spatial.distance import cdist

    _, path = dtw(C=cdist(first, second))
    return path[:, 0], path[:, 1]
