"""Multi-period discriminator of HiFi-GAN (arXiv:2010.05646, section 2.3).

Each part folds the waveform into rows of a prime period and looks down the columns, so that it
sees samples one period apart.
"""

from __future__ import annotations

import itertools

import torch.nn.functional as F
from torch import Tensor, nn

from wavewright.nn.discriminator import DiscriminatorGroup, score
from wavewright.nn.weight_norm import add_weight_norm


class PeriodDiscriminator(nn.Module):
    """One period: 2-D convolutions that stride along time and never across columns."""

    def __init__(self, period: int, width_divisor: int = 1, last_kernel: int = 3) -> None:
        super().__init__()
        self.period = period
        widths = [1, *(w // width_divisor for w in (32, 128, 512, 1024, 1024))]
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, (5, 1), (3 if i < 4 else 1, 1), padding=(2, 0))
            for i, (a, b) in enumerate(itertools.pairwise(widths))
        )
        self.conv_post = nn.Conv2d(widths[-1], 1, (last_kernel, 1), padding=(1, 0))
        add_weight_norm(self)

    def forward(self, wav: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, samples) -> (B, n) scores and the features of all six layers."""
        missing = -wav.shape[-1] % self.period
        if missing:
            wav = F.pad(wav[:, None], (0, missing), mode="reflect")[:, 0]
        x = wav.reshape(len(wav), 1, -1, self.period)
        return score(x, self.convs, self.conv_post)


class MultiPeriodDiscriminator(DiscriminatorGroup):
    """Period discriminators side by side; published with periods 2, 3, 5, 7 and 11."""

    def __init__(
        self,
        periods: tuple[int, ...] = (2, 3, 5, 7, 11),
        width_divisor: int = 1,
        last_kernel: int = 3,
    ) -> None:
        parts = [PeriodDiscriminator(period, width_divisor, last_kernel) for period in periods]
        super().__init__(parts)
