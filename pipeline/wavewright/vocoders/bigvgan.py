"""BigVGAN (Lee et al. 2023, arXiv:2206.04658): HiFi-GAN with periodic, anti-aliased activations.

The generator is HiFi-GAN's V1 in which every leaky ReLU of the residual blocks became a snake, a
slope with a sine on it, between a doubling and a halving of the rate, so that the harmonics it
makes do not fold back. The multi-scale discriminator gave way to one of spectrogram magnitudes.
Facts that the paper leaves open are those of the authors' code, whose checkpoints have snakes with
an amplitude of their own, both parameters as logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial, reduce
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from wavewright.mel.spec import MelSpec
from wavewright.models.capabilities import Exportable
from wavewright.models.config import FrozenModel, ModelConfig, OptimizerConfig
from wavewright.models.gan_training import PLAYER, GANTraining, Loss, TrainingPair
from wavewright.models.streamable import Streamable
from wavewright.models.streaming import StreamBlock
from wavewright.nn.autocast import in_float32
from wavewright.nn.discriminator import DiscriminatorGroup
from wavewright.nn.gan_losses import (
    feature_matching,
    least_squares_discriminator,
    least_squares_generator,
)
from wavewright.nn.multi_period import MultiPeriodDiscriminator
from wavewright.nn.multi_resolution import MagnitudeDiscriminator
from wavewright.nn.receptive_field import Span, input_span
from wavewright.nn.spectral import RESOLUTIONS, loss_spec, mel_l1
from wavewright.nn.upsample_rates import fit_upsampling, require_upsampling
from wavewright.nn.weight_norm import add_weight_norm

_TAPS = 12  # of the filters around an activation
_EPS = 1e-9


class DiscriminatorConfig(FrozenModel):
    """The discriminators. `width_divisor` thins them for training on a CPU; 1 is published."""

    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    resolutions: tuple[tuple[int, int, int], ...] = RESOLUTIONS
    width_divisor: Literal[1, 2, 4, 8] = 1


class BigVGANConfig(ModelConfig):
    """BigVGAN-base at 22.05 kHz as published, 14.0 M parameters."""

    mel: MelSpec = MelSpec.preset("bigvgan-22k")
    upsample_rates: tuple[int, ...] = (8, 8, 2, 2)
    upsample_kernel_sizes: tuple[int, ...] = (16, 16, 4, 4)
    upsample_initial_channel: int = Field(default=512, gt=0)
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    adversary: DiscriminatorConfig = DiscriminatorConfig()
    adversary_start: int = Field(default=0, ge=0)
    learning_rate: float = 1e-4
    betas: tuple[float, float] = (0.8, 0.99)
    weight_decay: float = 0.01
    learning_rate_decay: float = 0.999
    clip_norm: float = 1000.0
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
        )
        if len(self.resblock_kernel_sizes) != len(self.resblock_dilation_sizes):
            raise ValueError("resblock_kernel_sizes and resblock_dilation_sizes differ in length")
        return self


class Snake(nn.Module):
    """x + sin(a x)^2 / b for every channel, at twice the rate (Ziyin et al. 2020, 2006.08195).

    The wide signal is never put together: its even and odd samples are two signals of the narrow
    rate, which half the filter's taps each make and merge.
    """

    filter: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(torch.zeros(channels))
        self.log_beta = nn.Parameter(torch.zeros(channels))
        self.register_buffer("filter", half_band(_TAPS), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, T) -> the same shape."""
        alpha, beta = self.log_alpha.exp()[:, None], self.log_beta.exp()[:, None] + _EPS
        even, odd = (
            torch.addcdiv(phase, torch.sin(phase * alpha).square(), beta)
            for phase in self._double(x)
        )
        return self._halve(even, odd)

    def input_span(self, span: Span) -> Span:
        """Input span of both filters; doubling and halving the rate lose half a sample each."""
        reach = _TAPS // 4 + _TAPS // 4 - 1
        return span.expand(reach, reach)

    def _double(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, channels, T) -> the samples between, half a sample early and half a sample late."""
        reach = _TAPS // 4
        padded = F.pad(x, (reach, reach), mode="replicate")
        taps = 2 * self.filter
        early = _depthwise(padded[..., :-1], taps[1::2].flip(0))
        return early, _depthwise(padded[..., 1:], taps[0::2].flip(0))

    def _halve(self, even: Tensor, odd: Tensor) -> Tensor:
        """Two times (B, channels, T) -> (B, channels, T), the ends continued by their last values.

        The wide signal begins with an even sample and ends with an odd one.
        """
        reach = _TAPS // 4
        first, last = even[..., :1], odd[..., -1:]

        def continued(phase: Tensor, before: int, after: int) -> Tensor:
            ends = first.expand(-1, -1, before), last.expand(-1, -1, after)
            return torch.cat([ends[0], phase, ends[1]], dim=-1)

        taps = self.filter
        made = _depthwise(continued(even, reach - 1, reach), taps[1::2])
        return made + _depthwise(continued(odd, reach, reach - 1), taps[0::2])


def _depthwise(x: Tensor, taps: Tensor) -> Tensor:
    """Every channel filtered alike: (B, channels, T + taps - 1) -> (B, channels, T)."""
    channels = x.shape[1]
    return F.conv1d(x, taps.to(x.dtype).expand(channels, 1, -1), groups=channels)


def half_band(taps: int) -> Tensor:
    """(taps,) low pass at half the band: a sinc in a Kaiser window, its sum 1, of even length."""
    width = 0.3  # of the transition, in units of the rate
    attenuation = 2.285 * (taps // 2 - 1) * math.pi * 4 * width + 7.95
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    else:
        beta = 0.5842 * max(attenuation - 21, 0) ** 0.4 + 0.07886 * max(attenuation - 21, 0)
    time = torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2
    window = torch.kaiser_window(taps, periodic=False, beta=beta, dtype=torch.float64)
    response = window * torch.sinc(time / 2)
    return (response / response.sum()).float()


class ResidualStack(nn.Module):
    """Per dilation, a dilated and a plain convolution, each after a snake, around a shortcut."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(_same(channels, kernel, d) for d in dilations)
        self.convs2 = nn.ModuleList(_same(channels, kernel, 1) for _ in dilations)
        self.snakes1 = nn.ModuleList(Snake(channels) for _ in dilations)
        self.snakes2 = nn.ModuleList(Snake(channels) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, T) -> the same shape."""
        layers = zip(self.snakes1, self.convs1, self.snakes2, self.convs2, strict=True)
        for snake1, dilated, snake2, plain in layers:
            x = x + plain(snake2(dilated(snake1(x))))
        return x

    def input_span(self, span: Span) -> Span:
        """Input span of the stacked convolutions."""
        return input_span([*self.snakes1, *self.convs1, *self.snakes2, *self.convs2], span)


def _same(channels: int, kernel: int, dilation: int) -> nn.Conv1d:
    padding = (kernel - 1) * dilation // 2
    return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=padding)


#: Scores and features of every discriminator.
Outputs = tuple[list[Tensor], list[list[Tensor]]]


class BigVGAN(GANTraining, Streamable, Exportable):
    """The generator, its losses and its schedule."""

    Config: ClassVar[type[ModelConfig]] = BigVGANConfig
    config: BigVGANConfig
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "base": {},
        "base-24k": {"mel": MelSpec.preset("bigvgan-24k")},
    }

    def __init__(self, config: BigVGANConfig, *, name: str = "bigvgan") -> None:
        super().__init__(config, name=name)
        width = config.upsample_initial_channel
        self.conv_pre = nn.Conv1d(config.mel.n_mels, width, 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for rate, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            self.ups.append(
                nn.ConvTranspose1d(width, width // 2, kernel, rate, padding=(kernel - rate) // 2)
            )
            width //= 2
            for size, dilations in zip(
                config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True
            ):
                self.resblocks.append(ResidualStack(width, size, dilations))
        self.snake_post = Snake(width)
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
        x = self.ups[stage](x)
        stacks = self._stacks(stage)
        x = sum((stack(x) for stack in stacks), start=torch.zeros(())) / len(stacks)
        if stage < len(self.ups) - 1:
            return x
        return torch.tanh(in_float32(self.conv_post, self.snake_post(x)))

    def _stacks(self, stage: int) -> list[nn.Module]:
        branches = len(self.config.resblock_kernel_sizes)
        return list(self.resblocks[stage * branches : (stage + 1) * branches])

    def _block_input_span(self, stage: int, span: Span) -> Span:
        if stage == len(self.ups) - 1:
            span = input_span([self.snake_post, self.conv_post], span)
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
        return {PLAYER: BigVGANDiscriminator(self.config.adversary)}

    def optimizer_config(self, player: str) -> OptimizerConfig:
        """AdamW for both players, decaying per epoch, gradients clipped."""
        return OptimizerConfig(
            optimizer="adamw",
            learning_rate=self.config.learning_rate,
            betas=self.config.betas,
            weight_decay=self.config.weight_decay,
            decay_per_epoch=self.config.learning_rate_decay,
            clip_norm=self.config.clip_norm,
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


class BigVGANDiscriminator(nn.Module):
    """Multi-period and multi-resolution discriminators, side by side."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.multi_period = MultiPeriodDiscriminator(config.periods, config.width_divisor)
        self.multi_resolution = DiscriminatorGroup(
            [MagnitudeDiscriminator(*sizes, config.width_divisor) for sizes in config.resolutions]
        )

    def forward(self, wav: Tensor) -> Outputs:
        """(B, samples) -> scores and features of every discriminator, in one list each."""
        period_scores, period_features = self.multi_period(wav)
        scores, features = self.multi_resolution(wav)
        return period_scores + scores, period_features + features


def rename_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of the authors' generator in our names; its filters are left out."""
    renamed = {}
    for key, value in state.items():
        parts = key.split(".")
        if parts[-1] == "filter":
            continue
        if parts[0] == "ups":
            del parts[2]
        elif parts[0] == "activation_post":
            parts = ["snake_post", f"log_{parts[-1]}"]
        elif parts[0] == "resblocks" and parts[2] == "activations":
            place = int(parts[3])
            parts = [*parts[:2], f"snakes{1 + place % 2}", f"{place // 2}", f"log_{parts[-1]}"]
        renamed[".".join(parts)] = value
    return renamed
