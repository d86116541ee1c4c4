"""WaveGAN (Donahue, McAuley and Puckette 2019, arXiv:1802.04208): a second of sound from noise.

DCGAN for waveforms: a vector becomes 16 frames of many channels, and transposed convolutions of 25
taps upsample them by 4 each, to 16,384 samples. The critic mirrors the generator and shuffles
phases between its layers, so that it cannot detect fakes by the pitch of the artifacts of strided
layers. Details that the paper leaves open follow the authors' code.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from wavewright.mel.spec import MelSpec
from wavewright.models.config import ModelConfig
from wavewright.models.latent import (
    LatentConfig,
    LatentVocoder,
    crop_to_same,
    initialize_like_tensorflow,
    same_padding,
)
from wavewright.models.vocoder import InferenceHints
from wavewright.nn.autocast import in_float32

_FRAMES = 16  # frames after the input layer
_SHUFFLED = 4  # layers of the critic with phase shuffle
_SLOPE = 0.2


class WaveGANConfig(LatentConfig):
    """Published configuration: 16,384 samples, a second at 16 kHz; `variants` are longer.

    Attributes:
        rates: upsampling rate of each layer; their product times 16 is the number of samples.
        kernel_size: taps of every convolution.
        upsample: zeros between values (a transposed convolution) or repeated values.
        shuffle: largest shift of the phase shuffle in samples.
        filter_size: taps of a learned output filter against artifacts; 0 for none.
    """

    mel: MelSpec = MelSpec.preset("speecht5")
    rates: tuple[int, ...] = (4, 4, 4, 4, 4)
    kernel_size: int = Field(default=25, gt=0)
    upsample: Literal["zeros", "nearest"] = "zeros"
    shuffle: int = Field(default=2, ge=0)
    filter_size: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.rates or min(self.rates) < 1:
            raise ValueError(f"rates {self.rates}: one at least, and all of them 1 or more")
        if self.samples % self.mel.hop_length:
            raise ValueError(
                f"{self.samples} samples (16 times the product of rates) are no multiple of "
                f"mel.hop_length {self.mel.hop_length}"
            )
        return self

    @property
    def samples(self) -> int:
        """Number of samples of a sound."""
        return _FRAMES * prod(self.rates)

    @property
    def widths(self) -> tuple[int, ...]:
        """Input channels of every upsampling layer."""
        layers = len(self.rates)
        return tuple(self.channels * 2 ** (layers - 1 - i) for i in range(layers))


class WaveGAN(LatentVocoder):
    """WaveGAN's generator."""

    Config: ClassVar[type[ModelConfig]] = WaveGANConfig
    config: WaveGANConfig
    inference = InferenceHints(  # all in float32: one second takes ten milliseconds
        channels_last=True, float32_modules=("enter", "ups", "filter")
    )
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "16384": {},
        "32768": {"rates": (4, 4, 4, 4, 4, 2)},
        "65536": {"rates": (4, 4, 4, 4, 4, 4)},
    }

    def __init__(self, config: WaveGANConfig, *, name: str = "wavegan") -> None:
        super().__init__(config, name=name)
        widths = (*config.widths, 1)
        inputs = config.latent_size + len(config.classes)
        self.enter = nn.Linear(inputs, _FRAMES * widths[0])
        zeros = config.upsample == "zeros"
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(before, after, config.kernel_size, rate)
            if zeros
            else nn.Conv1d(before, after, config.kernel_size)
            for before, after, rate in zip(widths, widths[1:], config.rates, strict=False)
        )
        if config.filter_size:
            self.filter = nn.Conv1d(1, 1, config.filter_size, bias=False)
        self.apply(initialize_like_tensorflow)

    def generate_features(self, latent: Tensor) -> Tensor:
        """Latent vectors and classes (B, latent_size + classes) -> (B, samples) in [-1, 1]."""
        config = self.config
        x = torch.unflatten(self.enter(latent), 1, (_FRAMES, -1)).mT
        for i, (layer, rate) in enumerate(zip(self.ups, config.rates, strict=True)):
            x = F.relu(x)
            last = i == len(self.ups) - 1
            if config.upsample == "nearest":
                x = F.pad(x.repeat_interleave(rate, dim=2), same_padding(config.kernel_size, 1))
            x = in_float32(layer, x) if last else layer(x)
            if config.upsample == "zeros":
                x = crop_to_same(x, config.kernel_size, rate, 1)
        x = torch.tanh(x)
        if config.filter_size:
            x = in_float32(self.filter, F.pad(x, same_padding(config.filter_size, 1)))
        return x.squeeze(1)

    def extract_features(self, wav: Tensor) -> Tensor:
        """Return the waveform, which the critic scores."""
        return wav

    def features_to_wav(self, features: Tensor) -> Tensor:
        """Return the generated waveform."""
        return features

    def critic(self) -> nn.Module:
        """Build the mirror image of the generator."""
        return WaveGANCritic(self.config)


class WaveGANCritic(nn.Module):
    """Strided convolutions down to 16 frames, with phase shuffle between them."""

    def __init__(self, config: WaveGANConfig) -> None:
        super().__init__()
        self.config = config
        widths = (1, *reversed(config.widths))
        self.out_features = _FRAMES * widths[-1]
        self.downs = nn.ModuleList(
            nn.Conv1d(before, after, config.kernel_size, rate)
            for before, after, rate in zip(widths, widths[1:], config.rates, strict=False)
        )
        self.apply(initialize_like_tensorflow)

    def forward(self, wav: Tensor, random: np.random.Generator) -> Tensor:
        """Waveforms (B, samples) -> features (B, out_features), frame by frame."""
        config, x = self.config, wav[:, None]
        for i, (layer, rate) in enumerate(zip(self.downs, config.rates, strict=True)):
            x = layer(F.pad(x, same_padding(config.kernel_size, rate)))
            x = F.leaky_relu(x, _SLOPE)
            if config.shuffle and i < min(_SHUFFLED, len(self.downs) - 1):
                x = shift_phase(x, int(random.integers(-config.shuffle, config.shuffle + 1)))
        return x.mT.flatten(1)


def shift_phase(x: Tensor, by: int) -> Tensor:
    """Shift (B, channels, T) by `by` samples, later if positive, with reflection padding."""
    if by == 0:
        return x
    padded = F.pad(x, (max(by, 0), max(-by, 0)), mode="reflect")
    return padded[..., : x.shape[2]] if by > 0 else padded[..., -by:]


def rename_official(variables: Mapping[str, np.ndarray], of: str) -> dict[str, Tensor]:
    """Convert the authors' TensorFlow variables of WaveGAN or SpecGAN to a state dict.

    Args:
        variables: arrays by name, such as `G/upconv_0/conv2d_transpose/kernel`, with `/` or `|`.
        of: `G` for the generator, or `D` for `CriticHead`.
    """
    renamed = {}
    for key, value in variables.items():
        scope, layer, *_, attribute = key.replace("|", "/").split("/")
        if scope != of:
            continue
        tensor = torch.from_numpy(value)
        name, _, number = layer.rpartition("_")
        if attribute == "kernel":
            if tensor.ndim > 2 and tensor.shape[0] == 1:  # a convolution over time as an image's
                tensor = tensor[0]
            tensor = tensor.movedim((-1, -2), (0, 1))
        path = {
            "z_project": "enter",
            "upconv": f"ups.{number}",
            "downconv": f"features.downs.{number}",
            "output": "score",
            "pp_filt": "filter",
        }[layer if layer in ("z_project", "output", "pp_filt") else name]
        torch_name = "weight" if attribute == "kernel" else "bias"
        renamed[f"{path}.{torch_name}"] = tensor.contiguous()
    return renamed
