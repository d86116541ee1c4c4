"""How far two float32 computations of one thing may be apart on any processor, and why.

Libraries choose their kernels by the processor (AMX, AVX-512, AVX2, none) and often by the size of
what they are given, so that the same sum is added up in another order. What such an order changes
is bounded by float32's epsilon and by what was added, whoever made the processor; the bounds here
are stated in these, and not in what one machine happened to give.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from wavewright.mel.spec import LOG_UNIT, MelSpec, RangeNormalisation
from wavewright.mel.transform import amplitude_from_log_mel

EPSILON = float(np.finfo(np.float32).eps)


def mel_tolerance(official: Tensor, spec: MelSpec, *, logarithmic: float) -> Tensor:
    """The largest difference that each cell of a mel may have from a float32 computation of it.

    A Fourier transform adds up a whole frame for every bin, so it rounds every bin by a share of
    the frame's loudest ones: about epsilon times log2(n_fft), spread over the square root of n_fft
    bins, comes to less than one epsilon of the largest. Two computations may therefore differ by
    two epsilons of the frame's largest value in every cell, which the logarithm magnifies where
    the cell is quiet: by 2.4e-5 at 40 dB below the largest, by 2.4e-3 at 80 dB. What comes after
    the transform (the bands' sums, the logarithm) rounds each cell by a share of itself, which is
    the same in the logarithm wherever the cell lies.

    Args:
        official: the mel expected, as `spec` lays it out.
        spec: its convention; without a normalisation, or one to a range.
        logarithmic: what is allowed of each cell wherever it lies, in the mel's own unit.
    """
    plain = spec.model_copy(update={"guard": "clamp"})  # with what is added under the logarithm
    bands_first = official.double() if spec.layout == "bands_first" else official.double().mT
    amplitude = amplitude_from_log_mel(bands_first, plain)
    below = amplitude.amax(dim=-2, keepdim=True) / amplitude
    how = spec.normalisation
    unit = LOG_UNIT[spec.log] * (how.scale if isinstance(how, RangeNormalisation) else 1.0)
    allowed = logarithmic + unit * 2 * EPSILON * below
    return allowed if spec.layout == "bands_first" else allowed.mT


def rounding(network: nn.Module) -> float:
    """How far two evaluations of a network's waveform, in [-1, 1], may be apart by rounding alone.

    A sum of n products of size one, added up in any order, is off by about epsilon times the root
    of n, as its roundings are independent of each other; the network's widest layer gives the n.
    A layer hands what it is off by on to the next, so that they add up, to the number of layers
    times as much at most where none magnifies them; and both evaluations are off. A loop that is
    fed what it said hands it on from sample to sample too, but each of its layers forgets as well.

    For the small networks of tests/unit/test_generation.py this is 7e-6 to 5e-5. One weight that is
    1% off changes 4 to 100 times as much where numbers are drawn from continuous distributions.
    Where labels are drawn it may change none of them, which no bound can help.
    """
    matrices = [p for p in network.parameters() if p.ndim >= 2]
    widest = max(matrix[0].numel() for matrix in matrices)
    return 2 * EPSILON * float(widest**0.5) * len(matrices)
