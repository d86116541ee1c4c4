"""SpecGAN (Donahue, McAuley and Puckette 2019, arXiv:1802.04208): a spectrogram from noise.

DCGAN for images of log magnitudes: 128 frames of 128 bins, standardized per bin over the corpus,
divided by 3 and clipped to [-1, 1]. The statistics are computed before training and belong to the
weights. Phases come from Griffin-Lim. Details that the paper leaves open follow the authors' code.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from wavewright.mel.spec import MelSpec
from wavewright.models.capabilities import NeedsStatistics
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
from wavewright.nn.inverse_stft import InverseSTFT
from wavewright.nn.real_stft import RealSTFT

_SIDE = 4  # frames and bins after the input layer
_LAYERS = 5
_SIZE = _SIDE * 2**_LAYERS  # frames and bins of the image
_SMALLEST = 1e-6  # added to magnitudes before the logarithm
_SLOPE = 0.2


class SpecGANConfig(LatentConfig):
    """Published configuration: 16 ms windows every 8 ms at 16 kHz; fixed in samples at other rates.

    Attributes:
        n_fft, hop_length: of the spectrogram, which always has 128 frames and bins.
        deviations: standard deviations at which the bins are clipped.
        kernel_size: size of every convolution in both dimensions.
        iterations: Griffin-Lim iterations, starting from zero phases.
        momentum: momentum of Griffin-Lim; 0 as published, 0.99 for fast Griffin-Lim.
    """

    mel: MelSpec = MelSpec.preset("speecht5")
    n_fft: int = Field(default=256, ge=2 * _SIZE, le=2 * _SIZE)
    hop_length: int = Field(default=128, gt=0)
    deviations: float = Field(default=3.0, gt=0)
    kernel_size: int = Field(default=5, gt=1)
    iterations: int = Field(default=16, ge=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)

    @property
    def samples(self) -> int:
        """Number of samples of a sound."""
        samples: int = _SIZE * self.hop_length
        return samples


class SpecGAN(NeedsStatistics, LatentVocoder):
    """SpecGAN's generator with its spectrogram and Griffin-Lim."""

    Config: ClassVar[type[ModelConfig]] = SpecGANConfig
    config: SpecGANConfig
    inference = InferenceHints(
        channels_last=True,
        float32_modules=("enter", "ups", "stft", "inverse_stft"),  # all: Griffin-Lim takes longer
        export_atol=1e-2,  # Griffin-Lim may magnify differences some thousand times
    )
    running_mean: Tensor
    running_std: Tensor

    def __init__(self, config: SpecGANConfig, *, name: str = "specgan") -> None:
        super().__init__(config, name=name)
        widths = [config.channels * 2 ** (_LAYERS - 1 - i) for i in range(_LAYERS)] + [1]
        inputs = config.latent_size + len(config.classes)
        self.enter = nn.Linear(inputs, _SIDE * _SIDE * widths[0])
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(before, after, config.kernel_size, 2)
            for before, after in pairwise(widths)
        )
        bins = config.n_fft // 2 + 1
        self.stft = RealSTFT(config.n_fft, config.hop_length)
        self.inverse_stft = InverseSTFT(config.n_fft, config.hop_length, "center")
        self.register_buffer("running_mean", torch.zeros(bins))
        self.register_buffer("running_std", torch.ones(bins))
        self.apply(initialize_like_tensorflow)

    def generate_features(self, latent: Tensor) -> Tensor:
        """(B, latent_size + classes) -> (B, 1, 128 frames, 128 bins) in [-1, 1]."""
        x = torch.unflatten(self.enter(latent), 1, (_SIDE, _SIDE, -1)).permute(0, 3, 1, 2)
        for i, layer in enumerate(self.ups):
            x = F.relu(x)
            x = in_float32(layer, x) if i == len(self.ups) - 1 else layer(x)
            x = crop_to_same(x, self.config.kernel_size, 2, 2)
        return torch.tanh(x)

    def extract_features(self, wav: Tensor) -> Tensor:
        """Waveforms (B, samples) -> standardized (B, 1, 128, 128), without the highest bin."""
        level = (self.log_magnitude(wav) - self.running_mean) / self.running_std
        return (level / self.config.deviations)[:, None, :, :_SIZE].clamp(-1.0, 1.0)

    def features_to_wav(self, features: Tensor) -> Tensor:
        """Features (B, 1, 128, 128) -> waveforms (B, samples); the top bin is at its mean."""
        level = F.pad(features.float()[:, 0], (0, 1)) * self.config.deviations
        return self.griffin_lim(torch.exp(level * self.running_std + self.running_mean))

    def log_magnitude(self, wav: Tensor) -> Tensor:
        """Waveforms (B, samples) -> log magnitudes (B, 128, 129), not centered."""
        with torch.autocast(wav.device.type, enabled=False):
            padded = F.pad(wav.float(), (0, self.config.n_fft - self.config.hop_length))
            frames = padded.unfold(1, self.config.n_fft, self.config.hop_length)
            window = torch.hann_window(self.config.n_fft, device=wav.device)
            return torch.log(torch.fft.rfft(frames * window).abs() + _SMALLEST)

    def griffin_lim(self, magnitude: Tensor) -> Tensor:
        """Magnitudes (B, 128, 129) -> waveforms (B, samples) by Griffin-Lim."""
        push = self.config.momentum / (1 + self.config.momentum)
        real, imaginary = magnitude, torch.zeros_like(magnitude)
        before = torch.zeros_like(magnitude), torch.zeros_like(magnitude)
        # Real arithmetic can be exported. As published, the sum of the squared windows is not
        # divided out.
        for _ in range(self.config.iterations):
            now = self.stft(self.inverse_stft.summed(real, imaginary))
            real, imaginary = (new - push * old for new, old in zip(now, before, strict=True))
            size = torch.sqrt(real.square() + imaginary.square()).clamp(min=1e-8)
            real, imaginary, before = magnitude * real / size, magnitude * imaginary / size, now
        return self.inverse_stft.summed(real, imaginary)[:, : self.config.samples]

    @torch.no_grad()
    def fit_statistics(self, wavs: Iterable[np.ndarray]) -> None:
        """Compute the mean and deviation of every bin over crops of the corpus."""
        count, total, square = 0, torch.zeros(()), torch.zeros(())
        for wav in wavs:
            level = self.log_magnitude(torch.from_numpy(wav)[None])[0].double()
            count += len(level)
            total, square = total + level.sum(dim=0), square + level.square().sum(dim=0)
        mean = total / count
        self.running_mean.copy_(mean)
        self.running_std.copy_((square / count - mean.square()).clamp(min=1e-8).sqrt())

    def critic(self) -> nn.Module:
        """Build the mirror image of the generator."""
        return SpecGANCritic(self.config)


class SpecGANCritic(nn.Module):
    """Strided convolutions down to 4 frames of 4 bins."""

    def __init__(self, config: SpecGANConfig) -> None:
        super().__init__()
        self.kernel_size = config.kernel_size
        widths = [1] + [config.channels * 2**i for i in range(_LAYERS)]
        self.out_features = _SIDE * _SIDE * widths[-1]
        self.downs = nn.ModuleList(
            nn.Conv2d(before, after, config.kernel_size, 2) for before, after in pairwise(widths)
        )
        self.apply(initialize_like_tensorflow)

    def forward(self, image: Tensor, random: np.random.Generator) -> Tensor:
        """Features (B, 1, 128, 128) -> (B, out_features), position by position."""
        x, sides = image, same_padding(self.kernel_size, 2)
        for layer in self.downs:
            x = F.leaky_relu(layer(F.pad(x, (*sides, *sides))), _SLOPE)
        return x.permute(0, 2, 3, 1).flatten(1)
