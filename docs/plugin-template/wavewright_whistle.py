"""Whistle: convolutions at the frame rate predict a spectrum; its inverse STFT is the waveform."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

import wavewright as ww
from wavewright.nn import InverseSTFT, loss_spec, mel_l1, stft_losses


class WhistleConfig(ww.ModelConfig):
    """Options; the defaults are those of `whistle` without a variant."""

    mel: ww.MelSpec = ww.MelSpec.preset("hifigan")
    channels: int = Field(default=192, gt=0)
    layers: int = Field(default=6, gt=0)
    learning_rate: float = Field(default=1e-3, gt=0)

    @model_validator(mode="after")
    def _frames_overlap(self) -> Self:
        if self.mel.hop_length * 2 > self.mel.n_fft:
            raise ValueError(f"mel.hop_length {self.mel.hop_length} exceeds half of mel.n_fft")
        return self


class Whistle(ww.Exportable):  # forward() consists of tensor operations alone
    """The network and how it is trained."""

    Config = WhistleConfig
    config: WhistleConfig
    variants: ClassVar = {"small": {"channels": 64, "layers": 3}}  # whistle:small
    inference = ww.InferenceHints(float32_modules=("head", "inverse"))  # if the rest is bfloat16

    def __init__(self, config: WhistleConfig, *, name: str = "whistle") -> None:
        super().__init__(config, name=name)
        width, layers = config.channels, range(config.layers)
        self.enter = nn.Conv1d(config.mel.n_mels, width, 7, padding=3)
        self.blocks = nn.ModuleList(nn.Conv1d(width, width, 5, padding=2) for _ in layers)
        self.head = nn.Conv1d(width, config.mel.n_fft + 2, 1)
        self.inverse = InverseSTFT.of(config.mel)
        self.loss_spec = loss_spec(config.mel)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, n_mels, frames) -> (B, frames * hop_length)."""
        x = self.enter(mel)
        for block in self.blocks:
            x = x + block(F.gelu(x))
        with torch.autocast(mel.device.type, enabled=False):  # phases need their digits
            level, phase = self.head(x.float()).mT.chunk(2, dim=2)
            size = level.clamp(max=5.0).exp()
            wav: Tensor = self.inverse(size * phase.cos(), size * phase.sin())
        return wav

    def optimizer_config(self, player: str) -> ww.OptimizerConfig:
        """Adam; the rate decays after every epoch."""
        return ww.OptimizerConfig(learning_rate=self.config.learning_rate, decay_per_epoch=0.999)

    def updates(self, batch: ww.Batch, step: int) -> Iterator[ww.Update]:
        """One step on the distance to the recording in one mel and three STFTs."""
        wav = self(batch.mel)
        mel = mel_l1(wav, batch.wav, self.loss_spec)
        stft = torch.stack(stft_losses(wav, batch.wav)).sum()
        yield ww.Update("generator", mel + stft, {"mel_l1": mel, "stft": stft})
