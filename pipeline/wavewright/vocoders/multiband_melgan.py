"""Multi-band MelGAN (Yang et al. 2020, arXiv:2005.05106): a MelGAN of four bands.

MelGAN's generator, with longer residual stacks, makes four signals at a quarter of the waveform's
rate, and a fixed filter bank joins them; the costly layers at the waveform's own rate are gone. It
learns from spectra first, of the waveform and of its bands, and later from MelGAN's discriminators.
Facts that the paper leaves open, and the optimiser, are those of Hayashi's ParallelWaveGAN,
configuration `multi_band_melgan.v2`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from math import prod
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import silent_mel
from wavewright.models.batch import Batch
from wavewright.models.capabilities import Exportable
from wavewright.models.config import FrozenModel, ModelConfig, OptimizerConfig
from wavewright.models.gan_training import PLAYER, GANTraining, Loss, TrainingPair
from wavewright.models.streamable import Streamable
from wavewright.models.streaming import StreamBlock
from wavewright.models.vocoder import InferenceHints
from wavewright.nn.autocast import in_float32
from wavewright.nn.gan_losses import least_squares_discriminator, least_squares_generator
from wavewright.nn.melgan_discriminator import MelGANDiscriminator
from wavewright.nn.melgan_resblock import ReflectedResidualBlock
from wavewright.nn.pqmf import PQMF, propose_cutoff, unevenness
from wavewright.nn.receptive_field import Span, input_span
from wavewright.nn.spectral import RESOLUTIONS, stft_losses
from wavewright.nn.upsample_rates import fit_rates, propose_rates
from wavewright.nn.weight_norm import add_weight_norm, rename_folded

_SLOPE = 0.2
_EDGE = 3  # frames or values reflected before the first and the last convolution
_EVEN = 1.5  # dB by which all bands together may differ from none
_MOST_BANDS = 8


class DiscriminatorConfig(FrozenModel):
    """The discriminators. `base_channels` is 16 as published; fewer train on a CPU."""

    scales: int = Field(default=3, gt=0)
    base_channels: Literal[4, 8, 16] = 16
    downsamplings: int = Field(default=3, gt=0)


class MultiBandMelGANConfig(ModelConfig):
    """Version 2 as published; its mels are normalised by statistics.

    A frame has as many samples as the rates and the bands multiply to. `taps`, `cutoff` and `beta`
    are the filter bank's, of which 4 bands need this cutoff.
    """

    mel: MelSpec = MelSpec.preset("parallel-wavegan")
    channels: int = Field(default=384, gt=0)
    upsample_rates: tuple[int, ...] = (8, 4, 2)
    residual_layers: int = Field(default=4, gt=0)
    bands: int = Field(default=4, ge=2)
    taps: int = Field(default=62, gt=0, le=1022, multiple_of=2)
    cutoff: float = Field(default=0.142, gt=0, lt=1)
    beta: float = Field(default=9.0, ge=0, le=100)
    adversary: DiscriminatorConfig = DiscriminatorConfig()
    adversary_start: int = Field(default=200_000, ge=0)
    adversarial_weight: float = 2.5
    learning_rate: float = 1e-3
    eps: float = 1e-7
    halve_every: int = Field(default=100_000, gt=0)
    halvings: int = Field(default=6, ge=0)
    resolutions: tuple[tuple[int, int, int], ...] = RESOLUTIONS
    band_resolutions: tuple[tuple[int, int, int], ...] = (
        (384, 30, 150),
        (683, 60, 300),
        (171, 10, 60),
    )

    @classmethod
    def fit_to_mel(cls, mel: MelSpec, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Rates for a band's hop length, and another number of bands if it is no whole one."""
        bands = int(fields["bands"])
        if mel.hop_length % bands == 0:
            return dict(fit_rates(mel.hop_length // bands, fields["upsample_rates"]))
        others = [n for n in range(2, _MOST_BANDS + 1) if mel.hop_length % n == 0]
        if not others:
            raise ValueError(
                f"hop_length {mel.hop_length} is no multiple of any number of bands up to "
                f"{_MOST_BANDS}; choose one that is, such as 256 or 300"
            )
        bands = min(others, key=lambda n: abs(n - bands))
        return {
            "bands": bands,
            "cutoff": propose_cutoff(bands, fields["taps"], fields["beta"]),
            **fit_rates(mel.hop_length // bands, fields["upsample_rates"]),
        }

    @model_validator(mode="after")
    def _fits_the_hop(self) -> Self:
        hop, made = self.mel.hop_length, prod(self.upsample_rates) * self.bands
        if made != hop:
            raise ValueError(
                f"upsample_rates {self.upsample_rates} and bands {self.bands} multiply to {made}, "
                f"but mel.hop_length is {hop}; "
                f"{_advice(hop, self.bands, len(self.upsample_rates))}"
            )
        halvings = 2 ** len(self.upsample_rates)
        if self.channels % halvings:
            raise ValueError(
                f"channels {self.channels} must be a multiple of {halvings}, because they halve at "
                f"each of {len(self.upsample_rates)} upsamplings"
            )
        return self

    @model_validator(mode="after")
    def _bands_join(self) -> Self:
        off = unevenness(self.bands, self.taps, self.cutoff, self.beta)
        if off > _EVEN:
            better = propose_cutoff(self.bands, self.taps, self.beta)
            raise ValueError(
                f"cutoff {self.cutoff} would raise or lower some frequencies by {off:.1f} dB with "
                f"{self.bands} bands, {self.taps} taps and beta {self.beta:g}; the best is {better}"
            )
        return self


def _advice(hop_length: int, bands: int, stages: int) -> str:
    if hop_length % bands:
        return "bands must divide it"
    try:
        return f"rates that fit: {propose_rates(hop_length // bands, stages)}"
    except ValueError:
        return f"its share of a band, {hop_length // bands}, is no product of small rates"


#: Scores and features of every scale.
Outputs = tuple[list[Tensor], list[list[Tensor]]]


class MultiBandMelGAN(GANTraining, Streamable, Exportable):
    """The generator, its losses and its schedule.

    `v2` is published for LJSpeech, `v2-24k` for corpora at 24 kHz.
    """

    Config: ClassVar[type[ModelConfig]] = MultiBandMelGANConfig
    config: MultiBandMelGANConfig
    inference = InferenceHints(prefers_chunks=True, float32_modules=("conv_post", "filters"))
    generator_first = True
    real_outputs = "none"
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "v2": {},
        "v2-24k": {
            "mel": MelSpec.preset("parallel-wavegan-24k"),
            "upsample_rates": (5, 5, 3),
        },
    }

    def __init__(self, config: MultiBandMelGANConfig, *, name: str = "multiband_melgan") -> None:
        super().__init__(config, name=name)
        width = config.channels
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
        self.conv_post = nn.Conv1d(width, config.bands, 2 * _EDGE + 1)
        self.filters = PQMF(config.bands, config.taps, config.cutoff, config.beta)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, n_mels, frames) -> (B, frames * hop_length), near [-1, 1]; not of a few frames."""
        return self.filters.synthesis(self.parts(mel))

    def parts(self, mel: Tensor) -> Tensor:
        """(B, n_mels, frames) -> (B, bands, frames * hop_length / bands) in [-1, 1]."""
        x = mel
        for stage in range(len(self.ups)):
            x = self._upsample(stage, x)
        return x

    def _upsample(self, stage: int, x: Tensor) -> Tensor:
        """An upsampling and its blocks, with what comes before the first and after the last."""
        if stage == 0:
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
        """One for each upsampling, and the filter bank."""
        bank = StreamBlock(
            lambda parts: self.filters.synthesis(parts)[:, None],
            self.filters.input_span,
            self.config.bands,
        )
        return [
            *(
                StreamBlock(
                    partial(self._upsample, stage), partial(self._block_input_span, stage), rate
                )
                for stage, rate in enumerate(self.config.upsample_rates)
            ),
            bank,
        ]

    def pad_end(self, mel: Tensor) -> Tensor:
        """Append silence, if there are fewer frames than the first block needs to reflect."""
        widest = 3 ** (self.config.residual_layers - 1)
        fewest = max(_EDGE, widest // self.config.upsample_rates[0]) + 1
        tail = torch.sym_max(0, fewest - mel.shape[-1])  # type: ignore[no-untyped-call]
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
                given.scales, given.base_channels, 32 * given.base_channels, given.downsamplings
            )
        }

    def optimizer_config(self, player: str) -> OptimizerConfig:
        """Adam with AMSGrad for both; the discriminators' schedule has its own start."""
        config = self.config
        return OptimizerConfig(
            amsgrad=True,
            learning_rate=config.learning_rate,
            eps=config.eps,
            decay_every=config.halve_every,
            decays=config.halvings,
            starts_at=config.adversary_start if player == "discriminator" else 0,
        )

    def training_pair(self, batch: Batch) -> TrainingPair:
        """Generate waveforms, and keep the bands that they are put together from."""
        bands = self.parts(batch.mel)
        return TrainingPair(self.filters.synthesis(bands), batch.wav, bands)

    def reconstruction_loss(self, pair: TrainingPair) -> Loss:
        """STFT losses of the waveform and of its bands."""
        assert pair.bands is not None
        full = stft_losses(pair.fake, pair.real, self.config.resolutions)
        bands = stft_losses(
            pair.bands.flatten(0, 1),
            self.filters.analysis(pair.real).flatten(0, 1),
            self.config.band_resolutions,
        )
        names = ("convergence", "magnitude", "band_convergence", "band_magnitude")
        logs = dict(zip(names, (*full, *bands), strict=True))
        return Loss([0.5 * torch.stack([*full, *bands]).sum()], logs)

    def discriminator_loss(self, real: Outputs, fake: Outputs) -> Tensor:
        """Least squares of the scores, a mean over scales."""
        return least_squares_discriminator(real[0], fake[0]) / len(real[0])

    def adversarial_loss(self, real: None, fake: Outputs) -> Loss:
        """Least squares of the scores, a mean over scales."""
        adversarial = least_squares_generator(fake[0]) / len(fake[0])
        return Loss([self.config.adversarial_weight * adversarial], {"adversarial": adversarial})


def rename_parallel_wavegan(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of ParallelWaveGAN's MelGAN of several bands as plain weights in our names.

    Its modules are numbered; those with weights of their own are the first convolution, the
    upsamplings and the last, and residual blocks stand between.
    """
    own = r"melgan\.(\d+)\.(?:parametrizations\.)?weight"
    found = sorted({int(match[1]) for key in state if (match := re.match(own, key))})
    first, *stages, last = found if len(found) > 1 else (-1, -1)
    kinds = {"stack.2": "dilated", "stack.4": "pointwise", "skip_layer": "shortcut"}

    def name_of(path: str) -> str | None:
        place = re.fullmatch(r"melgan\.(\d+)(?:\.(.+))?", path)
        if place is None:
            return None
        number, within = int(place[1]), place[2]
        if within is None:
            ends = {first: "conv_pre", last: "conv_post"}
            return ends.get(number) or f"ups.{stages.index(number)}"
        before = [stage for stage in stages if stage < number]
        return f"blocks.{len(before) - 1}.{number - before[-1] - 1}.{kinds[within]}"

    return rename_folded(state, name_of)
