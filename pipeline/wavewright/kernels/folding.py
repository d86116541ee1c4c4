"""Folded generation: one utterance as a batch of overlapping segments, cross-faded at the end.

fatchord's WaveRNN calls it batched generation. It pays where a batch costs hardly more than one
item, as on a GPU. The result differs from sequential generation: every fold but the first starts
from silence in the middle of speech and settles during the first half of its overlap, which the
cross-fade mutes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Folding:
    """Lengths of the folds in samples; the defaults are fatchord's.

    Attributes:
        target: samples of a fold without its overlaps.
        overlap: samples of either overlap.
    """

    target: int = 11_000
    overlap: int = 550

    @property
    def length(self) -> int:
        """Samples of a fold with both overlaps."""
        return self.target + 2 * self.overlap

    def fold(self, values: Tensor) -> Tensor:
        """(T, channels) -> (folds, length, channels), zero-padded at the end."""
        step = self.target + self.overlap
        folds = max(1, -(-(len(values) - self.overlap) // step))
        padded = F.pad(values, (0, 0, 0, folds * step + self.overlap - len(values)))
        return padded.unfold(0, self.length, step).mT

    def unfold(self, wavs: Tensor) -> Tensor:
        """(folds, length) -> (samples), with equal-power cross-fades between the folds."""
        silent = self.overlap // 2
        fade = torch.linspace(-1, 1, self.overlap - silent, dtype=torch.float64)
        fade_in = torch.cat([torch.zeros(silent), (0.5 * (1 + fade)).sqrt()])
        fade_out = torch.cat([torch.ones(silent), (0.5 * (1 - fade)).sqrt()])
        faded = wavs.double().clone()
        faded[:, : self.overlap] *= fade_in
        faded[:, -self.overlap :] *= fade_out
        step = self.target + self.overlap
        joined = torch.zeros(len(wavs) * step + self.overlap, dtype=torch.float64)
        for i, wav in enumerate(faded):
            joined[i * step : i * step + self.length] += wav
        return joined
