"""Vocos (Siuzdak 2023, arXiv:2306.00814): a GAN vocoder that predicts spectra, not samples.

ConvNeXt blocks work at the mel's frame rate throughout; a linear layer says magnitude and phase of
every bin, and an inverse Fourier transform does all the upsampling. Judged by HiFi-GAN's
multi-period discriminators and by discriminators of complex spectra. Facts that the paper leaves
open are those of the authors' code and of its configuration `vocos.yaml` at 24 kHz.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from wavewright.mel.spec import MelSpec
from wavewright.models.capabilities import Exportable, PredictsSpectrum
from wavewright.models.config import FrozenModel, ModelConfig, OptimizerConfig
from wavewright.models.gan_training import PLAYER, GANTraining, Loss, TrainingPair
from wavewright.models.streamable import Streamable
from wavewright.models.streaming import StreamBlock
from wavewright.models.vocoder import InferenceHints
from wavewright.nn.discriminator import DiscriminatorGroup
from wavewright.nn.gan_losses import clipped_hinge_generator, feature_matching, hinge_discriminator
from wavewright.nn.inverse_stft import InverseSTFT
from wavewright.nn.multi_period import MultiPeriodDiscriminator
from wavewright.nn.multi_resolution import BandDiscriminator
from wavewright.nn.receptive_field import Span, input_span
from wavewright.nn.spectral import loss_spec, mel_l1

_LARGEST = 100.0  # magnitude of a bin
_EPS = 1e-6


class DiscriminatorConfig(FrozenModel):
    """The discriminators. `width_divisor` thins them for training on a CPU; 1 is published."""

    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    fft_sizes: tuple[int, ...] = (2048, 1024, 512)
    width_divisor: Literal[1, 2, 4, 8] = 1


class VocosConfig(ModelConfig):
    """The authors' configuration for mels at 24 kHz, 13.5 M parameters."""

    mel: MelSpec = MelSpec.preset("vocos-24k")
    channels: int = Field(default=512, gt=0)
    hidden_channels: int = Field(default=1536, gt=0)
    layers: int = Field(default=8, gt=0)
    adversary: DiscriminatorConfig = DiscriminatorConfig()
    adversary_start: int = Field(default=0, ge=0)
    learning_rate: float = 5e-4
    betas: tuple[float, float] = (0.8, 0.9)
    weight_decay: float = 0.01
    warmup_steps: int = Field(default=0, ge=0)
    cosine_steps: int = Field(default=1_000_000, gt=0)
    mel_weight: float = 45.0
    resolution_weight: float = 0.1

    @model_validator(mode="after")
    def _frames_overlap(self) -> Self:
        if self.mel.hop_length * 2 > self.mel.n_fft:
            raise ValueError(
                f"mel.hop_length {self.mel.hop_length} is more than half of mel.n_fft "
                f"{self.mel.n_fft}: frames must overlap by half at least"
            )
        return self


class ConvNeXtBlock(nn.Module):
    """A depthwise convolution and a pointwise network, scaled, around a shortcut.

    Source: Liu et al. 2022, arXiv:2201.03545, in one dimension.
    """

    def __init__(self, channels: int, hidden: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=_EPS)
        self.expand = nn.Linear(channels, hidden)
        self.contract = nn.Linear(hidden, channels)
        self.scale = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, frames) -> the same shape."""
        y = self.norm(self.depthwise(x).mT)
        y = self.contract(nn.functional.gelu(self.expand(y)))
        result: Tensor = x + (self.scale * y).mT
        return result

    def input_span(self, span: Span) -> Span:
        """Input span of the depthwise convolution."""
        return input_span([self.depthwise], span)


#: Scores and features of either set of discriminators.
Outputs = list[tuple[list[Tensor], list[list[Tensor]]]]


class Vocos(GANTraining, Streamable, Exportable, PredictsSpectrum):
    """The generator, its losses and its schedule."""

    Config: ClassVar[type[ModelConfig]] = VocosConfig
    config: VocosConfig
    inference = InferenceHints(channels_last=True, float32_modules=("head", "inverse"))
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {"mel-24k": {}}

    def __init__(self, config: VocosConfig, *, name: str = "vocos") -> None:
        super().__init__(config, name=name)
        width = config.channels
        self.conv_pre = nn.Conv1d(config.mel.n_mels, width, 7, padding=3)
        self.norm_pre = nn.LayerNorm(width, eps=_EPS)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(width, config.hidden_channels, 1 / config.layers)
            for _ in range(config.layers)
        )
        self.norm_post = nn.LayerNorm(width, eps=_EPS)
        self.apply(_initialise)
        self.head = nn.Linear(width, config.mel.n_fft + 2)  # torch's own initial weights
        self.inverse = InverseSTFT.of(config.mel)
        self.loss_spec = loss_spec(config.mel)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, n_mels, frames) -> (B, frames * hop_length), not limited to [-1, 1]."""
        return self._to_wav(self.predict_spectrum(mel))

    def predict_spectrum(self, mel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, n_mels, frames) -> magnitudes, cosines and sines, (B, n_fft // 2 + 1, frames)."""
        x = self._enter(mel)
        for block in self.blocks:
            x = block(x)
        return self._predict(x)

    def _enter(self, mel: Tensor) -> Tensor:
        entered: Tensor = self.norm_pre(self.conv_pre(mel).mT).mT
        return entered

    def _predict(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.norm_post(x.mT)
        with torch.autocast(x.device.type, enabled=False):  # phases need their digits
            log_magnitude, phase = self.head(x.float()).chunk(2, dim=-1)
            # Limited first: beyond the limit, exp() may be infinite and its gradient no number.
            magnitude = log_magnitude.clamp(max=math.log(_LARGEST)).exp()
            return magnitude.mT, phase.cos().mT, phase.sin().mT

    def _to_wav(self, spectrum: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        magnitude, cosine, sine = (part.mT for part in spectrum)
        with torch.autocast(magnitude.device.type, enabled=False):
            wav: Tensor = self.inverse(magnitude * cosine, magnitude * sine)
        return wav

    def streaming_blocks(self) -> list[StreamBlock]:
        """The blocks one by one, with what comes before them and after."""

        def leave(x: Tensor) -> Tensor:
            return self._to_wav(self._predict(x))[:, None]

        return [
            StreamBlock(self._enter, lambda span: input_span([self.conv_pre], span)),
            *(StreamBlock(block, partial(input_span, [block])) for block in self.blocks),
            StreamBlock(leave, self.inverse.input_span, self.hop_length),
        ]

    def build_discriminators(self) -> dict[str, nn.Module]:
        """One player: both sets of discriminators step together."""
        return {PLAYER: VocosDiscriminator(self.config.adversary)}

    def optimizer_config(self, player: str) -> OptimizerConfig:
        """AdamW for both players, half a cosine down to zero."""
        config = self.config
        return OptimizerConfig(
            optimizer="adamw",
            learning_rate=config.learning_rate,
            betas=config.betas,
            weight_decay=config.weight_decay,
            warmup_steps=config.warmup_steps,
            cosine_steps=config.cosine_steps,
        )

    def reconstruction_loss(self, pair: TrainingPair) -> Loss:
        """L1 of log-mels up to half the sample rate."""
        distance = mel_l1(pair.fake, pair.real, self.loss_spec)
        return Loss([self.config.mel_weight * distance], {"mel_l1": distance})

    def discriminator_loss(self, real: Outputs, fake: Outputs) -> Tensor:
        """Hinge loss of either set, each a mean over its discriminators."""
        losses = [
            hinge_discriminator(real_scores, fake_scores) / len(real_scores)
            for (real_scores, _), (fake_scores, _) in zip(real, fake, strict=True)
        ]
        return losses[0] + self.config.resolution_weight * losses[1]

    def adversarial_loss(self, real: Outputs, fake: Outputs) -> Loss:
        """Hinge loss of the scores and L1 of the features, each a mean over its discriminators."""
        weights = (1.0, self.config.resolution_weight)
        scores, features = zip(*fake, strict=True)
        adversarial = _weighted(
            weights, [clipped_hinge_generator(one) / len(one) for one in scores]
        )
        matching = _weighted(
            weights,
            [
                feature_matching(real_features, fake_features) / len(fake_features)
                for (_, real_features), fake_features in zip(real, features, strict=True)
            ],
        )
        logs = {"adversarial": adversarial, "features": matching}
        return Loss([adversarial, matching], logs)


class VocosDiscriminator(nn.Module):
    """Multi-period and multi-resolution discriminators, side by side."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.multi_period = MultiPeriodDiscriminator(config.periods, config.width_divisor)
        self.multi_resolution = DiscriminatorGroup(
            [BandDiscriminator(n_fft, config.width_divisor) for n_fft in config.fft_sizes]
        )

    def forward(self, wav: Tensor) -> Outputs:
        """(B, samples) -> scores and features of either set; no set's first layer is matched."""
        scores, features = self.multi_period(wav)
        return [(scores, [layers[1:] for layers in features]), self.multi_resolution(wav)]


def _weighted(weights: tuple[float, float], terms: list[Tensor]) -> Tensor:
    return weights[0] * terms[0] + weights[1] * terms[1]


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv1d | nn.Linear):
        nn.init.trunc_normal_(layer.weight, std=0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


_NAMES = {
    "backbone.embed": "conv_pre",
    "backbone.norm": "norm_pre",
    "backbone.final_layer_norm": "norm_post",
    "head.out": "head",
}
_BLOCK = {
    "dwconv": "depthwise",
    "norm": "norm",
    "pwconv1": "expand",
    "pwconv2": "contract",
    "gamma": "scale",
}


def rename_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of the authors' model in our names; its windows and filterbanks are left out."""
    renamed = {}
    for key, value in state.items():
        path, _, attribute = key.rpartition(".")
        if path in _NAMES:
            renamed[f"{_NAMES[path]}.{attribute}"] = value
        elif key.startswith("backbone.convnext."):
            _, _, number, part, *rest = key.split(".")
            renamed[".".join(["blocks", number, _BLOCK[part], *rest])] = value
    return renamed
