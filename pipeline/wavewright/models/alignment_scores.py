"""Scores of an attention alignment: does it read its text in order, and to the end?"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class AlignmentScores(NamedTuple):
    """Scores in 0..1; diagonality below 0 is worse than uniform attention.

    Attributes:
        focus: mean over steps of the largest weight (ESPnet's focus rate). Sharp is near 1.
        diagonality: 1 when all weight lies on the straight line from the first symbol at the
            first step to the last at the last, 0 when it is spread evenly. Natural speech,
            whose pace varies, reaches about 0.8 to 0.9.
        coverage: share of symbols that are at or next to some step's largest weight.
        order: share of steps at which the largest weight stays, or moves on by a few symbols.
    """

    focus: float
    diagonality: float
    coverage: float
    order: float

    @property
    def alignment_failure(self) -> str:
        """Description of the failure by coverage or order; empty if there is none."""
        if self.coverage < _LEAST_COVERAGE:
            return f"left out {1 - self.coverage:.0%} of its text"
        if self.order < _LEAST_ORDER:
            return f"lost its place in {1 - self.order:.0%} of its steps"
        return ""


_LEAST_COVERAGE, _LEAST_ORDER = 0.9, 0.9  # speech that people would call right is near 1 in both
_LARGEST_ADVANCE = 6  # symbols in one step: a word said in a breath at three frames per step


def score_alignment(alignment: Tensor) -> AlignmentScores:
    """Score one alignment.

    Args:
        alignment: (steps, symbols), no padding, rows summing to one.
    """
    weights = alignment.detach().float().cpu()
    steps, symbols = weights.shape
    focus, peaks = weights.max(dim=1)
    distance = (_line(steps)[:, None] - _line(symbols)[None, :]).abs()
    even = float(distance.mean())
    diagonality = 1 - float((weights * distance).sum(dim=1).mean()) / even if even else 1.0
    moves = peaks.diff()
    order = ((moves >= 0) & (moves <= _LARGEST_ADVANCE)).float().mean() if steps > 1 else 1.0
    near = torch.zeros(symbols + 2, dtype=torch.bool)
    for shift in range(3):
        near[peaks + shift] = True
    return AlignmentScores(
        focus=float(focus.mean()),
        diagonality=diagonality,
        coverage=float(near[1:-1].float().mean()),
        order=float(order),
    )


def _line(length: int) -> Tensor:
    return torch.linspace(0, 1, length) if length > 1 else torch.zeros(1)
