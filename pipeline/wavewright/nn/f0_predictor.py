"""F0 and voicing read off a mel by a small network, as HiFTNet does (arXiv:2309.09493).

F0 is classified on a logarithmic scale and decoded by a mean around the likeliest bin, as CREPE
does (Kim et al. 2018, arXiv:1802.06182).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_BLUR = 1.5  # standard deviation of the targets, in bins
_NEIGHBORS = 4  # bins on either side of the likeliest that the mean is over


class F0Estimate(NamedTuple):
    """F0 in Hz everywhere, and the probability of voicing, (B, frames) each."""

    f0: Tensor
    voicing: Tensor


class F0Predictor(nn.Module):
    """Residual convolutions from a mel to log F0 bins and voicing.

    Args:
        n_mels: bands of the mel, each about zero mean and unit variance.
        channels: width.
        layers: residual layers.
        bins: of log F0, evenly from `lowest` to `highest`.
        lowest: Hz.
        highest: Hz.
    """

    def __init__(
        self,
        n_mels: int,
        channels: int = 192,
        layers: int = 4,
        bins: int = 200,
        lowest: float = 71.0,
        highest: float = 800.0,
    ) -> None:
        super().__init__()
        self.bins, self.lowest = bins, lowest
        self.step = math.log(highest / lowest) / (bins - 1)
        self.enter = nn.Conv1d(n_mels, channels, 5, padding=2)
        self.norms = nn.ModuleList(nn.GroupNorm(1, channels) for _ in range(layers))
        self.convs = nn.ModuleList(
            nn.Conv1d(channels, channels, 5, padding=2) for _ in range(layers)
        )
        self.leave = nn.Conv1d(channels, bins + 1, 1)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """(B, n_mels, frames) -> logits of F0 (B, bins, frames) and of voicing (B, frames)."""
        x = self.enter(mel)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = x + F.gelu(conv(F.gelu(norm(x))))
        logits = self.leave(x).float()
        return logits[:, :-1], logits[:, -1]

    def estimate(self, mel: Tensor) -> F0Estimate:
        """F0 and voicing; F0 is continued through unvoiced frames in a straight line."""
        logits, voicing = self(mel)
        share = logits.softmax(dim=1)
        places = torch.arange(self.bins, device=mel.device, dtype=share.dtype)[:, None]
        near = (places - share.argmax(dim=1, keepdim=True)).abs() <= _NEIGHBORS
        weights = share * near
        bins = (weights * places).sum(dim=1) / weights.sum(dim=1)
        f0 = self.lowest * (bins * self.step).exp()
        probability = voicing.sigmoid()
        return F0Estimate(fill_unvoiced(f0, probability > 0.5), probability)

    def loss(self, mel: Tensor, f0: Tensor) -> Tensor:
        """Cross-entropy of F0 in voiced frames and of voicing in all.

        Args:
            mel: (B, n_mels, frames).
            f0: (B, frames) in Hz; 0 where unvoiced.
        """
        logits, voicing = self(mel)
        voiced = f0 > 0
        target = (f0.clamp(min=self.lowest) / self.lowest).log() / self.step
        places = torch.arange(self.bins, device=mel.device, dtype=target.dtype)[:, None]
        blurred = torch.exp(-0.5 * ((places - target[:, None]) / _BLUR).square())
        blurred = blurred / blurred.sum(dim=1, keepdim=True).clamp(min=1e-6)
        entropy = -(blurred * logits.log_softmax(dim=1)).sum(dim=1)
        pitch = (entropy * voiced).sum() / voiced.sum().clamp(min=1)
        total: Tensor = pitch + F.binary_cross_entropy_with_logits(voicing, voiced.float())
        return total


def fill_unvoiced(f0: Tensor, voiced: Tensor, default: float = 150.0) -> Tensor:
    """Continue F0 through unvoiced frames: straight lines in log F0, constant at the ends.

    Args:
        f0: (B, frames) in Hz, of any value where unvoiced.
        voiced: (B, frames), bool.
        default: Hz where an utterance has no voiced frame.
    """
    frames = f0.shape[1]
    places = torch.arange(frames, device=f0.device).expand_as(f0)
    before = torch.where(voiced, places, -1).cummax(dim=1).values
    after = torch.where(voiced, places, frames).flip(1).cummin(dim=1).values.flip(1)
    nothing = (before < 0) & (after >= frames)
    left = torch.where(before < 0, after, before).clamp(0, frames - 1)
    right = torch.where(after >= frames, before, after).clamp(0, frames - 1)
    logs = f0.clamp(min=1.0).log()
    start, end = logs.gather(1, left), logs.gather(1, right)
    share = (places - left).to(f0.dtype) / (right - left).clamp(min=1)
    line = (start + share * (end - start)).exp()
    return torch.where(nothing, torch.full_like(line, default), line)
