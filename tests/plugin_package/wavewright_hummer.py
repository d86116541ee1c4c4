"""Hummer: one transposed convolution per upsampling stage, trained on the mel L1 alone.

It is no good vocoder; it shows all that a package has to write to bring one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn

from wavewright.mel import log_mel
from wavewright.melspec import MelSpec
from wavewright.model import ModelConfig, Optimisation, Update
from wavewright.vocoder import Batch, Vocoder


class HummerConfig(ModelConfig):
    """Sixteen channels; `loud` has twice as many."""

    mel: MelSpec = MelSpec.preset("hifigan")
    channels: int = 16
    upsample_rates: tuple[int, ...] = (8, 8, 4)
    learning_rate: float = 2e-3

    @model_validator(mode="after")
    def _fits_the_hop(self) -> Self:
        if prod(self.upsample_rates) != self.mel.hop_length:
            raise ValueError(
                f"upsample_rates {self.upsample_rates} multiply to {prod(self.upsample_rates)}, "
                f"but mel.hop_length is {self.mel.hop_length}"
            )
        return self


class Hummer(Vocoder):
    """Mel in, waveform out."""

    Config: ClassVar[type[ModelConfig]] = HummerConfig
    config: HummerConfig
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {"loud": {"channels": 32}}

    def __init__(self, config: HummerConfig, *, name: str = "hummer") -> None:
        super().__init__(config, name=name)
        self.bring_in = nn.Conv1d(config.mel.n_mels, config.channels, 3, padding=1)
        self.stretch = nn.ModuleList(
            nn.ConvTranspose1d(config.channels, config.channels, 2 * rate, rate, padding=rate // 2)
            for rate in config.upsample_rates
        )
        self.bring_out = nn.Conv1d(config.channels, 1, 7, padding=3)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, n_mels, frames) -> (B, frames * hop_length)."""
        x = self.bring_in(mel)
        for stretch in self.stretch:
            x = stretch(F.leaky_relu(x, 0.1))
        wav: Tensor = torch.tanh(self.bring_out(x))
        return wav.squeeze(1)

    @torch.inference_mode()
    def generate(self, mel: Tensor, *, seed: int | None = None) -> Tensor:
        """(B, n_mels, frames) -> (B, frames * hop_length); draws no noise."""
        self.check_mel(mel)
        wav: Tensor = self(mel.to(self.device, torch.float32))
        return wav

    def optimisation(self, player: str) -> Optimisation:
        """Adam."""
        return Optimisation(learning_rate=self.config.learning_rate)

    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        """One step on the L1 between log-mels."""
        distance = F.l1_loss(log_mel(self(batch.mel), self.mel), log_mel(batch.wav, self.mel))
        yield Update("generator", distance, {"mel_l1": distance})
