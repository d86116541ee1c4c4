"""One utterance as a batch: cut into overlapping folds, made at once, and cross-faded.

What fatchord's WaveRNN calls batched generation. It pays where a batch costs hardly more than an
item, as on a GPU, and it is not the same: every fold but the first starts from silence in the midst
of speech, and finds its way during the first half of its overlap, which is not heard.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Folding:
    """Samples of a fold without its overlaps, and of either overlap; fatchord's by default."""

    target: int = 11_000
    overlap: int = 550

    @property
    def length(self) -> int:
        """Samples of a fold."""
        return self.target + 2 * self.overlap

    def fold(self, values: Tensor) -> Tensor:
        """(T, channels) -> (folds, length, channels), filled up with zeros."""
        step = self.target + self.overlap
        folds = max(1, -(-(len(values) - self.overlap) // step))
        whole = F.pad(values, (0, 0, 0, folds * step + self.overlap - len(values)))
        return whole.unfold(0, self.length, step).mT

    def unfold(self, wavs: Tensor) -> Tensor:
        """(folds, length) -> (samples), each fold faded into the next with equal power."""
        silent = self.overlap // 2
        fade = torch.linspace(-1, 1, self.overlap - silent, dtype=torch.float64)
        rising = torch.cat([torch.zeros(silent), (0.5 * (1 + fade)).sqrt()])
        falling = torch.cat([torch.ones(silent), (0.5 * (1 - fade)).sqrt()])
        faded = wavs.double().clone()
        faded[:, : self.overlap] *= rising
        faded[:, -self.overlap :] *= falling
        step = self.target + self.overlap
        whole = torch.zeros(len(wavs) * step + self.overlap, dtype=torch.float64)
        for i, wav in enumerate(faded):
            whole[i * step : i * step + self.length] += wav
        return whole
