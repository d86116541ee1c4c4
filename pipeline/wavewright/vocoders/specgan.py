"""SpecGAN (Donahue, McAuley and Puckette 2019, arXiv:1802.04208): a spectrogram from noise.

DCGAN for images, whose images are log magnitudes: 128 frames of 128 bins, each bin less its mean
over the corpus and divided by its deviation and by 3, clipped to [-1, 1]. The bins' statistics are
learnt before training and are part of the weights. Phases are found by Griffin-Lim. Facts that the
paper leaves open are those of the authors' code.
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
from wavewright.models.config import ModelConfig
from wavewright.models.latent import LatentConfig, LatentVocoder, cropped, initialise, same_padding
from wavewright.nn.autocast import in_float32
from wavewright.nn.inverse_stft import InverseSTFT
from wavewright.nn.real_stft import RealSTFT

_SIDE = 4  # frames and bins that the vector becomes
_LAYERS = 5
_SIZE = _SIDE * 2**_LAYERS  # frames and bins of the image
_SMALLEST = 1e-6  # added to magnitudes before the logarithm
_SLOPE = 0.2


class SpecGANConfig(LatentConfig):
    """16 ms windows every 8 ms at 16 kHz, as published; at other rates the same in samples.

    Attributes:
        n_fft, hop_length: of the spectrogram; its frames and bins are 128 always.
        deviations: at which the bins are clipped.
        kernel_size: of every convolution, both ways.
        iterations: of Griffin-Lim, from zero phases.
        momentum: of Griffin-Lim; none as published, 0.99 is the fast one's.
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
        """Of a sound."""
        samples: int = _SIZE * self.hop_length
        return samples


class SpecGAN(LatentVocoder):
    """The generator, the spectrogram, and the way back from it."""

    Config: ClassVar[type[ModelConfig]] = SpecGANConfig
    config: SpecGANConfig
    channels_last = True
    exports = True
    rounding = 1e-2  # Griffin-Lim may magnify it some thousand times
    float32_parts = ("enter", "ups", "stft", "inverse_stft")  # all: Griffin-Lim takes longer
    running_mean: Tensor
    running_std: Tensor

    def __init__(self, config: SpecGANConfig, *, name: str = "specgan") -> None:
        super().__init__(config, name=name)
        self.crop_samples = config.samples
        widths = [config.channels * 2 ** (_LAYERS - 1 - i) for i in range(_LAYERS)] + [1]
        given = config.latent_size + len(config.classes)
        self.enter = nn.Linear(given, _SIDE * _SIDE * widths[0])
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(before, after, config.kernel_size, 2)
            for before, after in pairwise(widths)
        )
        bins = config.n_fft // 2 + 1
        self.stft = RealSTFT(config.n_fft, config.hop_length)
        self.inverse_stft = InverseSTFT(config.n_fft, config.hop_length, "center")
        self.register_buffer("running_mean", torch.zeros(bins))
        self.register_buffer("running_std", torch.ones(bins))
        self.apply(initialise)

    def generated(self, latent: Tensor) -> Tensor:
        """(B, latent_size + classes) -> (B, 1, 128 frames, 128 bins) in [-1, 1]."""
        x = torch.unflatten(self.enter(latent), 1, (_SIDE, _SIDE, -1)).permute(0, 3, 1, 2)
        for i, layer in enumerate(self.ups):
            x = F.relu(x)
            x = in_float32(layer, x) if i == len(self.ups) - 1 else layer(x)
            x = cropped(x, self.config.kernel_size, 2, 2)
        return torch.tanh(x)

    def judged(self, wav: Tensor) -> Tensor:
        """(B, samples) -> (B, 1, 128, 128), normalised, without the highest bin."""
        level = (self.log_magnitude(wav) - self.running_mean) / self.running_std
        return (level / self.config.deviations)[:, None, :, :_SIZE].clamp(-1.0, 1.0)

    def sounding(self, generated: Tensor) -> Tensor:
        """(B, 1, 128, 128) -> (B, samples); the highest bin is everywhere at its mean."""
        level = F.pad(generated.float()[:, 0], (0, 1)) * self.config.deviations
        return self.inverted(torch.exp(level * self.running_std + self.running_mean))

    def log_magnitude(self, wav: Tensor) -> Tensor:
        """(B, samples) -> (B, 128, 129); frames begin at their hop, with nothing before."""
        with torch.autocast(wav.device.type, enabled=False):
            padded = F.pad(wav.float(), (0, self.config.n_fft - self.config.hop_length))
            frames = padded.unfold(1, self.config.n_fft, self.config.hop_length)
            window = torch.hann_window(self.config.n_fft, device=wav.device)
            return torch.log(torch.fft.rfft(frames * window).abs() + _SMALLEST)

    def inverted(self, magnitude: Tensor) -> Tensor:
        """(B, 128, 129) -> (B, samples) by Griffin-Lim."""
        push = self.config.momentum / (1 + self.config.momentum)
        real, imaginary = magnitude, torch.zeros_like(magnitude)
        before = torch.zeros_like(magnitude), torch.zeros_like(magnitude)
        # In real arithmetic, which exports; windowed twice, and what the windows sum to is left as
        # it is, as published.
        for _ in range(self.config.iterations):
            now = self.stft(self.inverse_stft.summed(real, imaginary))
            real, imaginary = (new - push * old for new, old in zip(now, before, strict=True))
            size = torch.sqrt(real.square() + imaginary.square()).clamp(min=1e-8)
            real, imaginary, before = magnitude * real / size, magnitude * imaginary / size, now
        return self.inverse_stft.summed(real, imaginary)[:, : self.config.samples]

    @torch.no_grad()
    def fit_statistics(self, wavs: Iterable[np.ndarray]) -> None:
        """Learn every bin's mean and deviation over the corpus's crops."""
        count, total, square = 0, torch.zeros(()), torch.zeros(())
        for wav in wavs:
            level = self.log_magnitude(torch.from_numpy(wav)[None])[0].double()
            count += len(level)
            total, square = total + level.sum(dim=0), square + level.square().sum(dim=0)
        mean = total / count
        self.running_mean.copy_(mean)
        self.running_std.copy_((square / count - mean.square()).clamp(min=1e-8).sqrt())

    def critic(self) -> nn.Module:
        """The generator's mirror image."""
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
        self.apply(initialise)

    def forward(self, image: Tensor, random: np.random.Generator) -> Tensor:
        """(B, 1, 128, 128) -> (B, features), the channels of each place in turn."""
        x, sides = image, same_padding(self.kernel_size, 2)
        for layer in self.downs:
            x = F.leaky_relu(layer(F.pad(x, (*sides, *sides))), _SLOPE)
        return x.permute(0, 2, 3, 1).flatten(1)
