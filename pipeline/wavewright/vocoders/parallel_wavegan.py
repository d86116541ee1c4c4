"""Parallel WaveGAN (Yamamoto, Song and Kim 2020, arXiv:1910.11480): a WaveNet driven by noise.

A non-causal WaveNet turns white noise into speech, every sample at once, guided in each layer by
the mel stretched to the waveform's rate. It learns from a multi-resolution STFT loss first and
from one small discriminator later. Facts that the paper leaves open are those of Hayashi's
ParallelWaveGAN, configuration `parallel_wavegan.v1` for LJSpeech.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from wavewright.mel.spec import MelSpec
from wavewright.models.batch import Batch
from wavewright.models.capabilities import Exportable
from wavewright.models.config import FrozenModel, ModelConfig, OptimizerConfig
from wavewright.models.gan_training import PLAYER, GANTraining, Loss, TrainingPair
from wavewright.models.streamable import Streamable
from wavewright.models.streaming import StreamBlock, split_noise
from wavewright.nn.autocast import in_float32
from wavewright.nn.gan_losses import least_squares_discriminator, least_squares_generator
from wavewright.nn.initialization import for_relu
from wavewright.nn.noise import NoiseSpec
from wavewright.nn.receptive_field import Span, input_span
from wavewright.nn.spectral import RESOLUTIONS, stft_losses
from wavewright.nn.upsample_network import ContextStretch
from wavewright.nn.upsample_rates import fit_rates, require_rates
from wavewright.nn.weight_norm import add_weight_norm, rename_folded


class DiscriminatorConfig(FrozenModel):
    """The discriminator and how it is optimised."""

    layers: int = Field(default=10, gt=1)
    channels: int = Field(default=64, gt=0)
    learning_rate: float = 5e-5
    clip_norm: float = 1.0


class ParallelWaveGANConfig(ModelConfig):
    """Version 1 as published, 1.33 M parameters; its mels are normalised by statistics."""

    mel: MelSpec = MelSpec.preset("parallel-wavegan")
    layers: int = Field(default=30, gt=0)
    cycles: int = Field(default=3, gt=0)
    residual_channels: int = Field(default=64, gt=0)
    gate_channels: int = Field(default=128, gt=0, multiple_of=2)
    skip_channels: int = Field(default=64, gt=0)
    upsample_rates: tuple[int, ...] = (4, 4, 4, 4)
    context_frames: int = Field(default=2, ge=0)
    adversary: DiscriminatorConfig = DiscriminatorConfig()
    adversary_start: int = Field(default=100_000, ge=0)
    adversarial_weight: float = 4.0
    learning_rate: float = 1e-4
    halve_every: int = Field(default=200_000, gt=0)
    eps: float = 1e-6
    clip_norm: float = 10.0
    resolutions: tuple[tuple[int, int, int], ...] = RESOLUTIONS

    @classmethod
    def fit_to_mel(cls, mel: MelSpec, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Rates whose product is the hop length."""
        return dict(fit_rates(mel.hop_length, fields["upsample_rates"]))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        require_rates(self.mel.hop_length, self.upsample_rates)
        if self.layers % self.cycles:
            raise ValueError(f"layers {self.layers} is no multiple of cycles {self.cycles}")
        return self


class Layer(nn.Module):
    """A dilated convolution gated by the mel, with ways to the next layer and to the output."""

    def __init__(self, config: ParallelWaveGANConfig, dilation: int) -> None:
        super().__init__()
        width, gates = config.residual_channels, config.gate_channels
        self.dilated = nn.Conv1d(width, gates, 3, padding=dilation, dilation=dilation)
        self.condition = nn.Conv1d(config.mel.n_mels, gates, 1, bias=False)
        self.residual = nn.Conv1d(gates // 2, width, 1)
        self.skip = nn.Conv1d(gates // 2, config.skip_channels, 1)

    def forward(self, x: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """(B, residual_channels, T), (B, n_mels, T) -> the next x and the skip."""
        content, gate = (self.dilated(x) + self.condition(mel)).chunk(2, dim=1)
        y = torch.tanh(content) * torch.sigmoid(gate)
        return (self.residual(y) + x) * math.sqrt(0.5), self.skip(y)

    def input_span(self, span: Span) -> Span:
        """Input span of the dilated convolution."""
        return input_span([self.dilated], span)


class ParallelWaveGAN(GANTraining, Streamable, Exportable):
    """The generator, its losses and its schedule."""

    Config: ClassVar[type[ModelConfig]] = ParallelWaveGANConfig
    config: ParallelWaveGANConfig
    generator_first = True
    real_outputs = "none"
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {"v1": {}}

    def __init__(self, config: ParallelWaveGANConfig, *, name: str = "parallel_wavegan") -> None:
        super().__init__(config, name=name)
        self.conv_pre = nn.Conv1d(1, config.residual_channels, 1)
        self.upsampler = ContextStretch(
            config.mel.n_mels, config.upsample_rates, config.context_frames
        )
        cycle = config.layers // config.cycles
        self.layers = nn.ModuleList(Layer(config, 2 ** (i % cycle)) for i in range(config.layers))
        self.conv_skip = nn.Conv1d(config.skip_channels, config.skip_channels, 1)
        self.conv_post = nn.Conv1d(config.skip_channels, 1, 1)
        self.apply(for_relu)

    def forward(self, mel: Tensor, noise: Tensor) -> Tensor:
        """Speech of all frames but those of context.

        Args:
            mel: (B, n_mels, context + frames + context).
            noise: (B, frames * hop_length), standard normal.

        Returns:
            (B, frames * hop_length), not limited to [-1, 1].
        """
        condition = self.upsampler(mel)
        x = self.conv_pre(noise[:, None])
        total = torch.zeros((), device=x.device)
        for layer in self.layers:
            x, skip = layer(x, condition)
            total = total + skip
        return self._leave(total).squeeze(1)

    def _leave(self, total: Tensor) -> Tensor:
        """The sum of all skips (B, skip_channels, samples) -> (B, 1, samples)."""
        total = total * math.sqrt(1 / len(self.layers))
        return in_float32(self.conv_post, F.relu(self.conv_skip(F.relu(total))))

    def _padded(self, mel: Tensor) -> Tensor:
        context = self.config.context_frames
        return F.pad(mel, (context, context), mode="replicate")

    def streaming_blocks(self) -> list[StreamBlock]:
        """The layers one by one; from one to the next go the condition, x and the sum of skips."""
        config = self.config
        sizes = [config.mel.n_mels, config.residual_channels, config.skip_channels]

        def enter(both: Tensor) -> Tensor:
            mel, noise = split_noise(both, sizes[0], list(self.noise_inputs(1).values()))
            x = self.conv_pre(noise[:, None])
            return torch.cat(
                [self.upsampler(self._padded(mel)), x, x.new_zeros(len(x), sizes[2], x.shape[-1])],
                dim=1,
            )

        def entry_span(span: Span) -> Span:
            context = config.context_frames
            frames = input_span([self.upsampler], span).expand(context, -context)
            return frames.union(span.to_frames(self.hop_length))

        def go_on(layer: nn.Module, state: Tensor) -> Tensor:
            condition, x, total = torch.split(state, sizes, dim=1)
            x, skip = layer(x, condition)
            return torch.cat([condition, x, total + skip], dim=1)

        def leave(state: Tensor) -> Tensor:
            return self._leave(state[:, -sizes[2] :])

        return [
            StreamBlock(enter, entry_span, self.hop_length),
            *(
                StreamBlock(partial(go_on, layer), partial(input_span, [layer]))
                for layer in self.layers
            ),
            StreamBlock(leave, lambda span: span),
        ]

    def noise_inputs(self, frames: int) -> dict[str, NoiseSpec]:
        """A number for every sample."""
        return {"noise": NoiseSpec((frames * self.hop_length,), frames=frames)}

    def synthesize_frames(self, mel: Tensor, *noise: Tensor) -> Tensor:
        """(B, n_mels, frames), (B, frames * hop_length) -> (B, frames * hop_length)."""
        return super().synthesize_frames(self._padded(mel), *noise)

    def prepare_for_training(self) -> None:
        """Weight-normalise the generator and build the discriminator."""
        add_weight_norm(self)
        super().prepare_for_training()

    def build_discriminators(self) -> dict[str, nn.Module]:
        """One small network that looks at the waveform."""
        return {PLAYER: WaveDiscriminator(self.config.adversary)}

    def optimizer_config(self, player: str) -> OptimizerConfig:
        """Rectified Adam; the discriminator at half the rate, its schedule from its own start."""
        config, discriminator = self.config, player == PLAYER
        return OptimizerConfig(
            optimizer="radam",
            learning_rate=config.adversary.learning_rate if discriminator else config.learning_rate,
            eps=config.eps,
            decay_every=config.halve_every,
            starts_at=config.adversary_start if discriminator else 0,
            clip_norm=config.adversary.clip_norm if discriminator else config.clip_norm,
        )

    def training_pair(self, batch: Batch) -> TrainingPair:
        """Generate waveforms of crops without their outermost frames, which are context."""
        edge = self.config.context_frames * self.hop_length
        real = batch.wav[:, edge : batch.wav.shape[1] - edge]
        return TrainingPair(self(batch.mel, batch.noise(real.shape[1:])), real)

    def reconstruction_loss(self, pair: TrainingPair) -> Loss:
        """STFT losses at several resolutions."""
        convergence, magnitude = stft_losses(pair.fake, pair.real, self.config.resolutions)
        logs = {"convergence": convergence, "magnitude": magnitude}
        return Loss([convergence, magnitude], logs)

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Least squares of the scores."""
        return least_squares_discriminator([real], [fake])

    def adversarial_loss(self, real: None, fake: Tensor) -> Loss:
        """Least squares of the scores."""
        adversarial = least_squares_generator([fake])
        return Loss([self.config.adversarial_weight * adversarial], {"adversarial": adversarial})


class WaveDiscriminator(nn.Module):
    """Convolutions whose dilation grows by one a layer, down to a score for every sample."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.convs = nn.ModuleList()
        before = 1
        for i in range(config.layers - 1):
            dilation = max(i, 1)
            self.convs.append(
                nn.Conv1d(before, config.channels, 3, padding=dilation, dilation=dilation)
            )
            before = config.channels
        self.conv_post = nn.Conv1d(before, 1, 3, padding=1)
        self.apply(for_relu)
        add_weight_norm(self)

    def forward(self, wav: Tensor) -> Tensor:
        """(B, samples) -> (B, samples) scores."""
        x = wav[:, None]
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.2)
        score: Tensor = self.conv_post(x)
        return score.squeeze(1)


_NAMES = {
    "first_conv": "conv_pre",
    "upsample_net.conv_in": "upsampler.conv_in",
    "last_conv_layers.1": "conv_skip",
    "last_conv_layers.3": "conv_post",
}
_LAYER = {
    "conv": "dilated",
    "conv1x1_aux": "condition",
    "conv1x1_out": "residual",
    "conv1x1_skip": "skip",
}


def rename_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of ParallelWaveGAN's or ESPnet's generator as plain weights in our names.

    ESPnet has the ways to the next layer and to the output in one, in that order.
    """

    def name_of(path: str) -> str | None:
        place, *rest = path.split(".")
        if place == "conv_layers":
            return f"layers.{rest[0]}.{_LAYER[rest[1]]}"
        if path.startswith("upsample_net.upsample.up_layers."):
            return f"upsampler.smooth.{int(rest[-1]) // 2}"  # repeating and smoothing take turns
        return _NAMES.get(path)

    renamed = rename_folded(state, name_of)
    for key in [key for key in renamed if ".residual." in key]:
        skip = key.replace(".residual.", ".skip.")
        if skip not in renamed:
            width = len(renamed["conv_pre.weight"])
            renamed[key], renamed[skip] = renamed[key][:width], renamed[key][width:]
    return renamed
