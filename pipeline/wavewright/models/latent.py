"""Base of vocoders that generate from a latent vector (WaveGAN, SpecGAN), trained as WGAN-GP.

A generator maps a vector of uniform numbers to features, a critic scores features, and both are
trained on the Wasserstein distance with a gradient penalty. With classes, the generator also gets a
one-hot class, and the critic adds a projection term for it.

Sources: Donahue, McAuley and Puckette 2019 (arXiv:1802.04208), whose networks and schedule these
are; Gulrajani et al. 2017 (arXiv:1704.00028) for the penalty; Miyato and Koyama 2018
(arXiv:1802.05637) for the projection term.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from wavewright.errors import WavewrightError, did_you_mean
from wavewright.models.base import Update
from wavewright.models.batch import Batch
from wavewright.models.capabilities import Exportable, Sampler
from wavewright.models.config import ModelConfig, OptimizerConfig
from wavewright.models.vocoder import CropSpec
from wavewright.nn.gan_losses import gradient_penalty, wasserstein_critic
from wavewright.nn.noise import NoiseSpec, item_seeds, uniform_noise

_BATCH_SIZE = 32  # vectors that are synthesized together


class LatentConfig(ModelConfig):
    """Configuration shared by latent vocoders; the defaults are the published ones.

    Attributes:
        latent_size: size of the latent vector, whose numbers lie in [-1, 1).
        channels: channels of the outermost layer; they double with every layer inwards.
        classes: names of the classes; empty for an unconditional model.
        labelled_by: column of the manifest with the class names.
        critic_steps: critic updates per generator update.
        penalty: weight of the gradient penalty.
    """

    latent_size: int = Field(default=100, gt=0)
    channels: int = Field(default=64, gt=0)
    classes: tuple[str, ...] = ()
    labelled_by: Literal["text", "speaker"] = "text"
    critic_steps: int = Field(default=5, gt=0)
    penalty: float = Field(default=10.0, ge=0)
    learning_rate: float = 1e-4
    betas: tuple[float, float] = (0.5, 0.9)

    @property
    @abstractmethod
    def samples(self) -> int:
        """Samples of a waveform."""


class LatentVocoder(Sampler, Exportable):
    """Base of vocoders that generate from a latent vector.

    Attributes:
        label: class that `sample` generates; empty draws one for each sound.
    """

    conditioning: ClassVar[Literal["mel", "latent", "none"]] = "latent"
    config: LatentConfig

    def __init__(self, config: LatentConfig, *, name: str = "") -> None:
        super().__init__(config, name=name)
        self._label = ""
        self.crops = CropSpec(
            fixed_samples=config.samples,
            label_column=config.labelled_by if config.classes else "",
        )

    @abstractmethod
    def generate_features(self, latent: Tensor) -> Tensor:
        """Latent vectors and one-hot classes (B, latent_size + classes) -> features in [-1, 1]."""

    @abstractmethod
    def extract_features(self, wav: Tensor) -> Tensor:
        """Waveforms of the corpus (B, samples) -> features in [-1, 1]."""

    @abstractmethod
    def features_to_wav(self, features: Tensor) -> Tensor:
        """Features -> waveforms (B, samples)."""

    @abstractmethod
    def critic(self) -> nn.Module:
        """Build the critic's network: features and a random generator -> (B, out_features)."""

    @property
    def label(self) -> str:
        """Class that `sample` generates; empty draws one for each sound."""
        return self._label

    @label.setter
    def label(self, name: str) -> None:
        """Choose the class; raise for one that is not among the config's."""
        if name:
            self._class_index(name)
        self._label = name

    def latents(self, n: int, *, seed: int | None = None, truncation: float = 1.0) -> Tensor:
        """Latent vectors (n, latent_size) that `sample` uses; vector i depends on (seed, i).

        Args:
            n: number of vectors.
            seed: seed of the vectors; None draws a new one.
            truncation: largest magnitude, up to 1; less gives less varied, more typical sounds.
        """
        if not 0 < truncation <= 1:
            raise WavewrightError(f"truncation {truncation:g}: allowed is more than 0, up to 1")
        size = (self.config.latent_size,)
        return truncation * uniform_noise(item_seeds(seed, n), size, self.device)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        seed: int | None = None,
        speaker: str | None = None,
        truncation: float = 1.0,
    ) -> Tensor:
        """Draw n waveforms (n, samples); item i is that of (seed, i).

        Args:
            n: how many.
            seed: of vectors and classes; None draws afresh.
            speaker: none; classes have the `label`.
            truncation: see `latents`.
        """
        self.check_speaker(speaker)
        latents = self.latents(n, seed=seed, truncation=truncation)
        return self.synthesize_latents(latents, seed=seed)

    @torch.no_grad()
    def interpolate(self, n: int, *, seed: int | None = None) -> Tensor:
        """(n, samples) from the first sound of a seed to its second, in equal steps."""
        first, last = self.latents(2, seed=seed)
        share = torch.linspace(0, 1, n, device=self.device)[:, None]
        latents = torch.lerp(first[None], last[None], share)
        return self.synthesize_latents(latents, seed=seed, same_class=True)

    @torch.no_grad()
    def synthesize_latents(
        self, latents: Tensor, *, seed: int | None = None, same_class: bool = False
    ) -> Tensor:
        """Synthesize latent vectors in batches.

        Args:
            latents: (n, latent_size).
            seed: seed of the classes that are drawn.
            same_class: use the class of the first sound for all.

        Returns:
            (n, samples) in [-1, 1].
        """
        seeds = item_seeds(seed, len(latents))
        numbers = self._classes_of([seeds[0]] * len(seeds) if same_class else seeds)
        starts = range(0, len(latents), _BATCH_SIZE)
        parts = [slice(start, start + _BATCH_SIZE) for start in starts]
        return torch.cat([self.synthesize(latents[part], numbers[part]) for part in parts])

    def noise_inputs(self, frames: int) -> dict[str, NoiseSpec]:
        """Latent vector and, if there are classes, the class; independent of `frames`."""
        classes = self.config.classes
        latent = {"latent": NoiseSpec((self.config.latent_size,), "uniform")}
        return latent | ({"label": NoiseSpec((), "choice", classes)} if classes else {})

    def synthesize(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Synthesize latent vectors.

        Args:
            latent: (B, latent_size) in [-1, 1].
            label: (B) class indices; not needed without classes.

        Returns:
            (B, samples) in [-1, 1].
        """
        inputs = latent
        if self.config.classes and label is not None:
            inputs = torch.cat([latent, self._one_hot(label)], dim=1)
        wav = self.postprocess(self.features_to_wav(self.generate_features(inputs)))
        return wav.float().clamp(-1.0, 1.0)

    def build_discriminators(self) -> dict[str, nn.Module]:
        """Critic with its head."""
        return {"critic": CriticHead(self.critic(), len(self.config.classes))}

    def optimizer_config(self, player: str) -> OptimizerConfig:
        """Adam at a constant learning rate for both players."""
        return OptimizerConfig(learning_rate=self.config.learning_rate, betas=self.config.betas)

    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        """Update the critic at every step and the generator at every `critic_steps`-th."""
        yield self._critic_update(batch, step)
        if step % self.config.critic_steps == 0:
            yield self._generator_update(batch, step)

    def _critic_update(self, batch: Batch, step: int) -> Update:
        real, labels = self.extract_features(batch.wav), self._labels_of(batch)
        with torch.no_grad():
            fake = self.generate_features(self._latent_inputs(batch, 0, labels))
        random = np.random.default_rng([step, 0])
        score: Callable[[Tensor], Tensor] = partial(
            self.discriminators["critic"], labels=labels, random=random
        )
        distance = wasserstein_critic(score(real), score(fake))
        share = uniform_noise(batch.seeds_for(1), (), real.device) / 2 + 0.5
        slope = gradient_penalty(score, real, fake, share)
        loss = distance + self.config.penalty * slope
        return Update("critic", loss, {"distance": -distance, "slope": slope})

    def _generator_update(self, batch: Batch, step: int) -> Update:
        labels = self._labels_of(batch)
        fake = self.generate_features(self._latent_inputs(batch, 2, labels))
        random = np.random.default_rng([step, 1])
        loss = -self.discriminators["critic"](fake, labels=labels, random=random).mean()
        return Update("generator", loss, {"generator": loss})

    def _latent_inputs(self, batch: Batch, purpose: int, labels: Tensor) -> Tensor:
        size = (self.config.latent_size,)
        latent = uniform_noise(batch.seeds_for(purpose), size, batch.wav.device)
        return torch.cat([latent, self._one_hot(labels)], dim=1)

    def _labels_of(self, batch: Batch) -> Tensor:
        """Class indices (B) of the crops; -1 without classes."""
        numbers = (
            [self._class_index(label) for label in batch.labels] if self.config.classes else []
        )
        return torch.tensor(numbers or [-1] * len(batch.wav), device=batch.wav.device)

    def _classes_of(self, seeds: Sequence[int]) -> Tensor:
        """Class indices (n): of `label`, or drawn by each seed; -1 without classes."""
        classes = len(self.config.classes)
        if self.label:
            numbers = [self._class_index(self.label)] * len(seeds)
        elif classes:
            numbers = [int(np.random.default_rng(seed).integers(classes)) for seed in seeds]
        else:
            numbers = [-1] * len(seeds)
        return torch.tensor(numbers, device=self.device)

    def _one_hot(self, numbers: Tensor) -> Tensor:
        """One-hot classes (n, classes), float32."""
        classes = len(self.config.classes)
        if not classes:
            return torch.zeros(len(numbers), 0, device=numbers.device)
        return F.one_hot(numbers, classes).float()

    def _class_index(self, label: str) -> int:
        classes = self.config.classes
        if label not in classes:
            raise WavewrightError(
                f"'{self.name}' knows no class '{label}'.{did_you_mean(label, classes)} "
                f"Classes: {', '.join(classes) or 'none'}."
            )
        return classes.index(label)


class CriticHead(nn.Module):
    """Critic: a feature network, a linear score and a projection term for the class."""

    def __init__(self, features: nn.Module, classes: int) -> None:
        super().__init__()
        self.features = features
        size: Any = features.out_features
        self.score = nn.Linear(size, 1)
        self.of_class = nn.Embedding(classes, size) if classes else None

    def forward(self, x: Tensor, labels: Tensor, random: np.random.Generator) -> Tensor:
        """Features (B, ...) -> scores (B).

        Args:
            x: output of `extract_features` or `generate_features`.
            labels: (B) class indices.
            random: generator of what is drawn once for the whole batch.
        """
        features = self.features(x, random)
        score: Tensor = self.score(features).squeeze(1)
        if self.of_class is not None:
            score = score + (self.of_class(labels) * features).sum(dim=1)
        return score


def same_padding(kernel_size: int, stride: int) -> tuple[int, int]:
    """Zeros to the left and right by TensorFlow's SAME padding."""
    missing = max(kernel_size - stride, 0)
    return missing // 2, missing - missing // 2


def crop_to_same(x: Tensor, kernel_size: int, stride: int, dims: int) -> Tensor:
    """Crop the output of a transposed convolution to TensorFlow's SAME size.

    Args:
        x: output of torch's transposed convolution without padding.
        kernel_size: kernel size of the convolution.
        stride: stride of the convolution.
        dims: number of convolved dimensions, the last ones.
    """
    left, right = same_padding(kernel_size, stride)
    for dim in range(x.ndim - dims, x.ndim):
        x = x.narrow(dim, left, x.shape[dim] - left - right)
    return x


def initialize_like_tensorflow(layer: nn.Module) -> None:
    """Initialize a layer like TensorFlow: Glorot-uniform weights and zero biases."""
    if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
