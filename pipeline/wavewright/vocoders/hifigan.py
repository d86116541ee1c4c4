"""HiFi-GAN (Kong, Kim and Bae 2020, arXiv:2010.05646): a GAN vocoder of three sizes.

A stack of transposed convolutions stretches the mel to the waveform's rate; after each, several
residual stacks with different kernels and dilations are averaged (multi-receptive field fusion).
Two sets of discriminators judge it: one sees the waveform folded at prime periods, the other at
three rates. Facts that the paper leaves open are those of the authors' code.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial, reduce
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn

from wavewright.mel.spec import MelSpec
from wavewright.models.capabilities import Exportable
from wavewright.models.config import FrozenModel, ModelConfig, OptimizerConfig
from wavewright.models.gan_training import PLAYER, GANTraining, Loss, TrainingPair
from wavewright.models.streamable import Streamable
from wavewright.models.streaming import StreamBlock
from wavewright.models.vocoder import InferenceHints
from wavewright.nn.autocast import in_float32
from wavewright.nn.gan_losses import (
    feature_matching,
    least_squares_discriminator,
    least_squares_generator,
)
from wavewright.nn.multi_period import MultiPeriodDiscriminator
from wavewright.nn.multi_scale import STRIDES, MultiScaleDiscriminator
from wavewright.nn.receptive_field import Span, input_span
from wavewright.nn.spectral import loss_spec, mel_l1
from wavewright.nn.upsample_rates import fit_upsampling, require_upsampling
from wavewright.nn.weight_norm import add_weight_norm, rename_folded

_SLOPE = 0.1


class DiscriminatorConfig(FrozenModel):
    """The discriminators. `width_divisor` thins them for training on a CPU; 1 is published.

    The last three fields are what Hayashi's, in ParallelWaveGAN and ESPnet, have otherwise: the
    last kernel of each period is 2, each scale's strides are often (4, 4, 4, 4, 1), and the first
    scale need not be spectrally normalised.
    """

    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    scales: int = 3
    width_divisor: Literal[1, 2, 4, 8] = 1
    period_last_kernel: Literal[2, 3] = 3
    scale_strides: tuple[int, int, int, int, int] = STRIDES
    spectral_first: bool = True


class HiFiGANConfig(ModelConfig):
    """V1 as published; `variants` holds V2 and V3."""

    mel: MelSpec = MelSpec.preset("hifigan")
    upsample_rates: tuple[int, ...] = (8, 8, 2, 2)
    upsample_kernel_sizes: tuple[int, ...] = (16, 16, 4, 4)
    upsample_initial_channel: int = 512
    resblock: Literal[1, 2] = 1
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    adversary: DiscriminatorConfig = DiscriminatorConfig()
    adversary_start: int = 0
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.8, 0.99)
    weight_decay: float = 0.01
    learning_rate_decay: float = 0.999
    mel_weight: float = 45.0
    feature_weight: float = 2.0

    @classmethod
    def fit_to_mel(cls, mel: MelSpec, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Rates whose product is the hop length."""
        return fit_upsampling(
            mel.hop_length, fields["upsample_rates"], fields["upsample_initial_channel"]
        )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        require_upsampling(
            self.mel.hop_length,
            self.upsample_rates,
            self.upsample_kernel_sizes,
            self.upsample_initial_channel,
            doubled=True,
        )
        if len(self.resblock_kernel_sizes) != len(self.resblock_dilation_sizes):
            raise ValueError("resblock_kernel_sizes and resblock_dilation_sizes differ in length")
        return self


class ResidualStack1(nn.Module):
    """V1 and V2: per dilation, a dilated and a plain convolution around a shortcut."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(_same(channels, kernel, d) for d in dilations)
        self.convs2 = nn.ModuleList(_same(channels, kernel, 1) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, T) -> the same shape."""
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            x = x + plain(F.leaky_relu(dilated(F.leaky_relu(x, _SLOPE)), _SLOPE))
        return x

    def input_span(self, span: Span) -> Span:
        """Input span of the stacked convolutions."""
        return input_span([*self.convs1, *self.convs2], span)


class ResidualStack2(nn.Module):
    """V3: per dilation, one dilated convolution around a shortcut."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_same(channels, kernel, d) for d in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, T) -> the same shape."""
        for dilated in self.convs:
            x = x + dilated(F.leaky_relu(x, _SLOPE))
        return x

    def input_span(self, span: Span) -> Span:
        """Input span of the stacked convolutions."""
        return input_span(self.convs, span)


def _same(channels: int, kernel: int, dilation: int) -> nn.Conv1d:
    padding = (kernel - 1) * dilation // 2
    return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=padding)


_V3: dict[str, Any] = {
    "upsample_rates": (8, 8, 4),
    "upsample_kernel_sizes": (16, 16, 8),
    "upsample_initial_channel": 256,
    "resblock": 2,
    "resblock_kernel_sizes": (3, 5, 7),
    "resblock_dilation_sizes": ((1, 2), (2, 6), (3, 12)),
}


#: Scores and features of every discriminator.
Outputs = tuple[list[Tensor], list[list[Tensor]]]


class HiFiGAN(GANTraining, Streamable, Exportable):
    """The generator, its losses and its schedule.

    `v1`, `v2` and `v3` are published; `small` is V3 at half its width, against thin
    discriminators, for a first run on a CPU.
    """

    Config: ClassVar[type[ModelConfig]] = HiFiGANConfig
    config: HiFiGANConfig
    inference = InferenceHints(channels_last=True, prefers_chunks=True)
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "v1": {},
        "v2": {"upsample_initial_channel": 128},
        "v3": _V3,
        "small": {
            **_V3,
            "upsample_initial_channel": 128,
            "adversary": {"periods": (2, 3, 5), "scales": 1, "width_divisor": 8},
        },
    }

    def __init__(self, config: HiFiGANConfig, *, name: str = "hifigan") -> None:
        super().__init__(config, name=name)
        width = config.upsample_initial_channel
        stack = ResidualStack1 if config.resblock == 1 else ResidualStack2
        self.conv_pre = nn.Conv1d(config.mel.n_mels, width, 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for rate, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            # Twice an odd rate, as in Hayashi's, is cut by one sample more before than behind.
            odd = (kernel - rate) % 2
            edge = (kernel - rate) // 2 + odd
            self.ups.append(
                nn.ConvTranspose1d(width, width // 2, kernel, rate, edge, output_padding=odd)
            )
            width //= 2
            for size, dilations in zip(
                config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True
            ):
                self.resblocks.append(stack(width, size, dilations))
        self.conv_post = nn.Conv1d(width, 1, 7, padding=3)
        self.loss_spec = loss_spec(config.mel)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, n_mels, frames) -> (B, frames * hop_length) in [-1, 1]."""
        x = mel
        for stage in range(len(self.ups)):
            x = self._upsample(stage, x)
        return x.squeeze(1)

    def _upsample(self, stage: int, x: Tensor) -> Tensor:
        """An upsampling and its stacks, with what comes before the first and after the last."""
        if stage == 0:
            x = self.conv_pre(x)
        x = self.ups[stage](F.leaky_relu(x, _SLOPE))
        stacks = self._stacks(stage)
        x = sum((stack(x) for stack in stacks), start=torch.zeros(())) / len(stacks)
        if stage < len(self.ups) - 1:
            return x
        # The last slope is torch's default, as in the authors' code.
        return torch.tanh(in_float32(self.conv_post, F.leaky_relu(x)))

    def _stacks(self, stage: int) -> list[nn.Module]:
        branches = len(self.config.resblock_kernel_sizes)
        return list(self.resblocks[stage * branches : (stage + 1) * branches])

    def _block_input_span(self, stage: int, span: Span) -> Span:
        if stage == len(self.ups) - 1:
            span = input_span([self.conv_post], span)
        spans = [input_span([stack], span) for stack in self._stacks(stage)]
        span = input_span([self.ups[stage]], reduce(Span.union, spans))
        return input_span([self.conv_pre], span) if stage == 0 else span

    def streaming_blocks(self) -> list[StreamBlock]:
        """One for each upsampling."""
        return [
            StreamBlock(
                partial(self._upsample, stage), partial(self._block_input_span, stage), rate
            )
            for stage, rate in enumerate(self.config.upsample_rates)
        ]

    def prepare_for_training(self) -> None:
        """Weight-normalise the generator and build the discriminators."""
        add_weight_norm(self)
        super().prepare_for_training()

    def build_discriminators(self) -> dict[str, nn.Module]:
        """One player: both sets of discriminators step together."""
        return {PLAYER: HiFiGANDiscriminator(self.config.adversary)}

    def optimizer_config(self, player: str) -> OptimizerConfig:
        """AdamW for both players, decaying per epoch."""
        return OptimizerConfig(
            optimizer="adamw",
            learning_rate=self.config.learning_rate,
            betas=self.config.betas,
            weight_decay=self.config.weight_decay,
            decay_per_epoch=self.config.learning_rate_decay,
        )

    def reconstruction_loss(self, pair: TrainingPair) -> Loss:
        """L1 of log-mels up to half the sample rate."""
        distance = mel_l1(pair.fake, pair.real, self.loss_spec)
        return Loss([self.config.mel_weight * distance], {"mel_l1": distance})

    def discriminator_loss(self, real: Outputs, fake: Outputs) -> Tensor:
        """Least squares of the scores."""
        return least_squares_discriminator(real[0], fake[0])

    def adversarial_loss(self, real: Outputs, fake: Outputs) -> Loss:
        """Least squares of the scores, and L1 of the features."""
        adversarial = least_squares_generator(fake[0])
        features = feature_matching(real[1], fake[1])
        return Loss(
            [adversarial, self.config.feature_weight * features],
            {"adversarial": adversarial, "features": features},
        )


class HiFiGANDiscriminator(nn.Module):
    """Multi-period and multi-scale discriminators, side by side."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.multi_period = MultiPeriodDiscriminator(
            config.periods, config.width_divisor, config.period_last_kernel
        )
        self.multi_scale = MultiScaleDiscriminator(
            config.scales,
            config.width_divisor,
            config.scale_strides,
            spectral_first=config.spectral_first,
        )

    def forward(self, wav: Tensor) -> Outputs:
        """(B, samples) -> scores and features of every discriminator, in one list each."""
        period_scores, period_features = self.multi_period(wav)
        scale_scores, scale_features = self.multi_scale(wav)
        return period_scores + scale_scores, period_features + scale_features


_THEIR_ENDS = {"input_conv": "conv_pre", "output_conv.1": "conv_post"}


def rename_parallel_wavegan(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of ParallelWaveGAN's HiFi-GAN as plain weights in our names.

    Its statistics of mels (`mean`, `scale`), where a checkpoint carries them, are left out: they
    belong to the MelSpec. Without its additional convolutions a block is of the second kind.
    """
    plain = not any(".convs2." in key for key in state)

    def name_of(path: str) -> str | None:
        part, *rest = path.split(".")
        if part == "upsamples":
            return f"ups.{rest[0]}"
        if part == "blocks":
            number, which, place = rest[:3]
            return f"resblocks.{number}.{'convs' if plain else which}.{place}"
        return _THEIR_ENDS.get(path)

    return rename_folded(state, name_of)
