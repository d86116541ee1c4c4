"""MelGAN (Kumar et al. 2019, arXiv:1910.06711): a small GAN vocoder without a mel loss.

Transposed convolutions stretch the mel to the waveform's rate; after each come three residual
blocks whose dilations grow by three. Discriminators see the waveform at three rates; the generator
learns from their scores and from matching their features alone. Facts that the paper leaves open
are those of the authors' code (variant `descript`) and of Seungwon Park's reimplementation
(`seungwonpark`), which takes NVIDIA's mels and has other losses.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import silent_mel
from wavewright.models.capabilities import Exportable
from wavewright.models.config import FrozenModel, ModelConfig, OptimizerConfig
from wavewright.models.gan_training import PLAYER, GANTraining, Loss, TrainingPair
from wavewright.models.streamable import Streamable
from wavewright.models.streaming import StreamBlock
from wavewright.models.vocoder import InferenceHints
from wavewright.nn.autocast import in_float32
from wavewright.nn.gan_losses import feature_matching, hinge_discriminator, hinge_generator
from wavewright.nn.melgan_discriminator import MelGANDiscriminator
from wavewright.nn.melgan_resblock import ReflectedResidualBlock
from wavewright.nn.receptive_field import Span, input_span
from wavewright.nn.spectral import loss_spec, mel_l1
from wavewright.nn.upsample_rates import fit_rates, require_rates
from wavewright.nn.weight_norm import add_weight_norm, rename_folded

_SLOPE = 0.2
_EDGE = 3  # samples or frames reflected before the first and the last convolution


class DiscriminatorConfig(FrozenModel):
    """The discriminators. `base_channels` is 16 as published; fewer train on a CPU."""

    scales: int = 3
    base_channels: Literal[4, 8, 16] = 16
    downsamplings: int = 4


class MelGANConfig(ModelConfig):
    """The authors' configuration; `variants` holds Seungwon Park's.

    The network sees `(mel - input_shift) / input_scale`. `tail_frames` of silence follow a mel in
    synthesis and are cut off again, against an artefact at the end. `mel_weight` of a mel loss,
    none as published, lets the generator learn alone until `adversary_start`.
    """

    generator_only_overrides: ClassVar[Mapping[str, Any]] = {"mel_weight": 45.0}  # HiFi-GAN's

    mel: MelSpec = MelSpec.preset("melgan")
    upsample_rates: tuple[int, ...] = (8, 8, 2, 2)
    base_channels: int = Field(default=32, gt=0)
    residual_layers: int = Field(default=3, gt=0)
    input_shift: float = 0.0
    input_scale: float = Field(default=1.0, gt=0)
    tail_frames: int = Field(default=0, ge=0)
    adversary: DiscriminatorConfig = DiscriminatorConfig()
    loss: Literal["hinge", "least-squares"] = "hinge"
    feature_weight: float = 10.0
    mel_weight: float = Field(default=0.0, ge=0)
    adversary_start: int = Field(default=0, ge=0)
    learning_rate: float = 1e-4
    learning_rate_decay: float = 1.0
    betas: tuple[float, float] = (0.5, 0.9)

    @classmethod
    def fit_to_mel(cls, mel: MelSpec, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Rates whose product is the hop length."""
        return dict(fit_rates(mel.hop_length, fields["upsample_rates"]))

    @model_validator(mode="after")
    def _fits_the_hop(self) -> Self:
        require_rates(self.mel.hop_length, self.upsample_rates)
        if self.adversary_start and not self.mel_weight:
            raise ValueError(
                f"until adversary_start ({self.adversary_start}) nothing would be learnt: MelGAN "
                "has no mel loss; set mel_weight, such as to 45"
            )
        return self


#: Scores and features of every scale.
Outputs = tuple[list[Tensor], list[list[Tensor]]]


class MelGAN(GANTraining, Streamable, Exportable):
    """The generator, its losses and its schedule."""

    Config: ClassVar[type[ModelConfig]] = MelGANConfig
    config: MelGANConfig
    inference = InferenceHints(channels_last=True, prefers_chunks=True)
    real_outputs = "before"  # as published
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "descript": {},
        "seungwonpark": {
            "mel": MelSpec.preset("tacotron2"),
            "input_shift": -5.0,
            "input_scale": 5.0,
            "tail_frames": 10,
            "loss": "least-squares",
        },
    }

    def __init__(self, config: MelGANConfig, *, name: str = "melgan") -> None:
        super().__init__(config, name=name)
        width = config.base_channels * 2 ** len(config.upsample_rates)
        self.conv_pre = nn.Conv1d(config.mel.n_mels, width, 2 * _EDGE + 1)
        self.ups = nn.ModuleList()
        self.blocks = nn.ModuleList()
        for rate in config.upsample_rates:
            odd = rate % 2
            self.ups.append(
                nn.ConvTranspose1d(
                    width, width // 2, 2 * rate, rate, rate // 2 + odd, output_padding=odd
                )
            )
            width //= 2
            layers = range(config.residual_layers)
            self.blocks.append(
                nn.Sequential(*(ReflectedResidualBlock(width, 3**i) for i in layers))
            )
        self.conv_post = nn.Conv1d(width, 1, 2 * _EDGE + 1)
        self.loss_spec = loss_spec(config.mel)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, n_mels, frames) -> (B, frames * hop_length) in [-1, 1]; at least four frames."""
        x = mel
        for stage in range(len(self.ups)):
            x = self._upsample(stage, x)
        return x.squeeze(1)

    def _upsample(self, stage: int, x: Tensor) -> Tensor:
        """An upsampling and its blocks, with what comes before the first and after the last."""
        if stage == 0:
            x = (x - self.config.input_shift) / self.config.input_scale
            x = self.conv_pre(F.pad(x, (_EDGE, _EDGE), mode="reflect"))
        x = self.blocks[stage](self.ups[stage](F.leaky_relu(x, _SLOPE)))
        if stage < len(self.ups) - 1:
            return x
        x = F.pad(F.leaky_relu(x, _SLOPE), (_EDGE, _EDGE), mode="reflect")
        return torch.tanh(in_float32(self.conv_post, x))

    def _block_input_span(self, stage: int, span: Span) -> Span:
        """The first convolution and the last are padded by `_EDGE`."""
        if stage == len(self.ups) - 1:
            span = input_span([self.conv_post], span.expand(_EDGE, -_EDGE))
        span = input_span([self.ups[stage], self.blocks[stage]], span)
        return input_span([self.conv_pre], span.expand(_EDGE, -_EDGE)) if stage == 0 else span

    def streaming_blocks(self) -> list[StreamBlock]:
        """One for each upsampling."""
        return [
            StreamBlock(
                partial(self._upsample, stage), partial(self._block_input_span, stage), rate
            )
            for stage, rate in enumerate(self.config.upsample_rates)
        ]

    def pad_end(self, mel: Tensor) -> Tensor:
        """Append silence, of which reflection needs some where there are few frames."""
        tail = torch.sym_max(self.config.tail_frames, _EDGE + 1 - mel.shape[-1])  # type: ignore[no-untyped-call]
        silence = torch.from_numpy(silent_mel(self.mel_spec, 1)).to(mel)
        return torch.cat([mel, silence.expand(mel.shape[0], -1, tail)], dim=2)

    def prepare_for_training(self) -> None:
        """Weight-normalise the generator and build the discriminators."""
        add_weight_norm(self)
        super().prepare_for_training()

    def build_discriminators(self) -> dict[str, nn.Module]:
        """One player: all scales step together."""
        given = self.config.adversary
        return {
            PLAYER: MelGANDiscriminator(
                given.scales, given.base_channels, 64 * given.base_channels, given.downsamplings
            )
        }

    def optimizer_config(self, player: str) -> OptimizerConfig:
        """Adam for both players, published with a constant rate."""
        return OptimizerConfig(
            learning_rate=self.config.learning_rate,
            betas=self.config.betas,
            decay_per_epoch=self.config.learning_rate_decay,
        )

    def reconstruction_loss(self, pair: TrainingPair) -> Loss:
        """L1 of log-mels; its published weight is 0, and it only shows progress in the log."""
        with torch.set_grad_enabled(self.config.mel_weight > 0):
            distance = mel_l1(pair.fake, pair.real, self.loss_spec)
        return Loss([self.config.mel_weight * distance], {"mel_l1": distance})

    def discriminator_loss(self, real: Outputs, fake: Outputs) -> Tensor:
        """Hinge loss or least squares of the scores."""
        hinge = self.config.loss == "hinge"
        loss = hinge_discriminator if hinge else summed_squares_discriminator
        return loss(real[0], fake[0])

    def adversarial_loss(self, real: Outputs, fake: Outputs) -> Loss:
        """Hinge loss or least squares of the scores, and L1 of the features."""
        if self.config.loss == "hinge":
            adversarial = hinge_generator(fake[0])
            features = weighted_matching(real[1], fake[1])
        else:
            adversarial = summed_squares_generator(fake[0])
            features = feature_matching(real[1], fake[1])
        return Loss(
            [adversarial, self.config.feature_weight * features],
            {"adversarial": adversarial, "features": features},
        )


def summed_squares_discriminator(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Least squares summed over time, where others take the mean; mean over the batch."""
    terms = [
        (1 - r).square().sum(dim=1).mean() + f.square().sum(dim=1).mean()
        for r, f in zip(real, fake, strict=True)
    ]
    return torch.stack(terms).sum()


def summed_squares_generator(fake: list[Tensor]) -> Tensor:
    """The generator's part of `summed_squares_discriminator`."""
    return torch.stack([(1 - f).square().sum(dim=1).mean() for f in fake]).sum()


def weighted_matching(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """Mean over scales of the L1 between features, times 4 over the number of layers but one."""
    layers = len(real[0]) - 1  # the first and the strided ones, and one more
    return feature_matching(real, fake) * 4 / layers / len(real)


def rename_official(state: Mapping[str, Tensor], config: MelGANConfig) -> dict[str, Tensor]:
    """State dict of the authors', Seungwon Park's or ParallelWaveGAN's generator, in our names.

    The weights are plain; other keys (buffers of statistics) are left out.
    """
    stages, layers = len(config.upsample_rates), config.residual_layers
    park = any(key.startswith("generator.") for key in state)
    stride = 3 if park else 2 + layers
    names = {"1": "conv_pre", str(4 + stages * stride): "conv_post"}
    for stage in range(stages):
        start = 3 + stage * stride
        names[str(start)] = f"ups.{stage}"
        for layer in range(layers):
            ours = f"blocks.{stage}.{layer}"
            if park:
                names[f"{start + 1}.blocks.{layer}.2"] = f"{ours}.dilated"
                names[f"{start + 1}.blocks.{layer}.4"] = f"{ours}.pointwise"
                names[f"{start + 1}.shortcuts.{layer}"] = f"{ours}.shortcut"
            else:
                for block, shortcut in (("block", "shortcut"), ("stack", "skip_layer")):
                    names[f"{start + 1 + layer}.{block}.2"] = f"{ours}.dilated"
                    names[f"{start + 1 + layer}.{block}.4"] = f"{ours}.pointwise"
                    names[f"{start + 1 + layer}.{shortcut}"] = f"{ours}.shortcut"
    return rename_folded(state, lambda path: names.get(path.partition(".")[2]))
