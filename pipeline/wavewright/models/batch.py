"""Training batches: crops of waveforms with their mels, seeds and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from wavewright.mel.spec import MelSpec
from wavewright.nn.noise import item_seeds, normal_noise

Padding = Literal["replicate", "silence"]


@dataclass
class Batch:
    """Training crops.

    Attributes:
        wav: (B, samples) in [-1, 1].
        mel: (B, n_mels, frames) of the same crops; samples = frames * hop_length.
        ids: the utterances, for messages.
        seeds: of each crop's noise; empty draws from torch's own generator.
        context: frames by which `mel` is longer on either side, as the vocoder's `crops` ask.
        labels: what each crop is, by the vocoder's `crops.label_column`; empty where nobody asks.
        f0: (B, frames) in Hz, 0 where unvoiced; None unless the vocoder's `crops` ask for it.
    """

    wav: Tensor
    mel: Tensor
    ids: list[str]
    seeds: list[int] = field(default_factory=list)
    context: int = 0
    labels: list[str] = field(default_factory=list)
    f0: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Move the batch to a device."""
        wav, mel = (value.to(device, non_blocking=True) for value in (self.wav, self.mel))
        f0 = None if self.f0 is None else self.f0.to(device, non_blocking=True)
        return Batch(wav, mel, self.ids, self.seeds, self.context, self.labels, f0)

    def seconds(self, spec: MelSpec) -> float:
        """Seconds of audio in the batch."""
        return self.wav.numel() / spec.sample_rate

    def seeds_for(self, purpose: int) -> list[int]:
        """A seed for each crop and purpose; those of one purpose tell nothing of another's."""
        seeds = self.seeds or item_seeds(None, len(self.wav))
        return [item_seeds(seed, purpose + 1)[purpose] for seed in seeds]

    def noise(self, shape: Sequence[int]) -> Tensor:
        """(B, *shape), standard normal: that of a crop is its own on every rank and device."""
        seeds = self.seeds or item_seeds(None, len(self.wav))
        return normal_noise(seeds, shape, self.wav.device)
