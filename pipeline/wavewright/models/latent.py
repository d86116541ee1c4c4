"""Sound from a latent vector: what WaveGAN and SpecGAN share, and the game that teaches them.

A generator makes something from a vector of uniform numbers, a critic tells it from the corpus, and
the two learn by Wasserstein's distance with a penalty on the critic's slope. A class may be asked
for: the generator hears it beside the vector, and the critic's score has a part for it.

Sources: Donahue, McAuley and Puckette 2019 (arXiv:1802.04208), whose networks and schedule these
are; Gulrajani et al. 2017 (arXiv:1704.00028) for the penalty; Miyato and Koyama 2018
(arXiv:1802.05637) for the critic's part for a class.
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
from wavewright.models.config import ModelConfig, OptimizerConfig
from wavewright.models.vocoder import Vocoder
from wavewright.nn.gan_losses import gradient_penalty, wasserstein_critic
from wavewright.nn.noise import NoiseSpec, item_seeds, uniform_noise

_AT_ONCE = 32  # vectors that are made into sound together


class LatentConfig(ModelConfig):
    """What such systems have in common, as published.

    Attributes:
        latent_size: numbers in [-1, 1) that a sound is made from.
        channels: of the layers next to the sound; each layer further in has twice as many.
        classes: names of what can be asked for; empty for an unconditional model.
        labelled_by: the manifest's column that has these names.
        critic_steps: steps of training until the generator's turn comes; the critic's is at each.
        penalty: weight of the critic's slope.
    """

    latent_size: int = Field(default=100, gt=0)
    channels: int = Field(default=64, gt=0)
    classes: tuple[str, ...] = ()
    labelled_by: Literal["text", "speaker"] = "text"
    critic_steps: int = Field(default=5, gt=0)
    penalty: float = Field(default=10.0, ge=0)
    learning_rate: float = 1e-4
    betas: tuple[float, float] = (0.5, 0.9)


class LatentVocoder(Vocoder):
    """Base of vocoders that are driven by a latent vector.

    Attributes:
        label: the class that `sample` makes; empty draws one for each sound.
    """

    conditioning: ClassVar[Literal["mel", "latent", "none"]] = "latent"
    config: LatentConfig

    def __init__(self, config: LatentConfig, *, name: str = "") -> None:
        super().__init__(config, name=name)
        self._label = ""

    @abstractmethod
    def generated(self, latent: Tensor) -> Tensor:
        """(B, latent_size + classes) -> what the critic judges, in [-1, 1]."""

    @abstractmethod
    def judged(self, wav: Tensor) -> Tensor:
        """(B, crop_samples) of the corpus -> the same of it."""

    @abstractmethod
    def sounding(self, generated: Tensor) -> Tensor:
        """What was generated -> (B, crop_samples)."""

    @abstractmethod
    def critic(self) -> nn.Module:
        """A new network: what is judged, and a step's random numbers -> (B, features)."""

    @property
    def labelled_by(self) -> str:
        """The manifest's column that has the classes; empty without classes."""
        return self.config.labelled_by if self.config.classes else ""

    @property
    def label(self) -> str:
        """The class that `sample` makes; empty draws one for each sound."""
        return self._label

    @label.setter
    def label(self, name: str) -> None:
        if name:
            self._number(name)
        self._label = name

    def latents(self, n: int, *, seed: int | None = None, truncation: float = 1.0) -> Tensor:
        """(n, latent_size) that `sample` makes sounds from; vector i is that of (seed, i).

        Args:
            n: how many.
            seed: of the vectors; None draws afresh.
            truncation: the numbers' largest size, up to 1: less is less varied and more typical.
        """
        if not 0 < truncation <= 1:
            raise WavewrightError(f"truncation {truncation:g}: allowed is more than 0, up to 1")
        size = (self.config.latent_size,)
        return truncation * uniform_noise(item_seeds(seed, n), size, self.device)

    @torch.no_grad()
    def sample(self, n: int, *, seed: int | None = None, truncation: float = 1.0) -> Tensor:
        """(n, crop_samples); sound i is that of (seed, i)."""
        return self.speak(self.latents(n, seed=seed, truncation=truncation), seed=seed)

    @torch.no_grad()
    def interpolate(self, n: int, *, seed: int | None = None) -> Tensor:
        """(n, crop_samples) from the first sound of a seed to its second, in equal steps."""
        first, last = self.latents(2, seed=seed)
        share = torch.linspace(0, 1, n, device=self.device)[:, None]
        return self.speak(torch.lerp(first[None], last[None], share), seed=seed, same_class=True)

    @torch.no_grad()
    def speak(
        self, latents: Tensor, *, seed: int | None = None, same_class: bool = False
    ) -> Tensor:
        """Sounds of given vectors.

        Args:
            latents: (n, latent_size).
            seed: of classes that are drawn.
            same_class: whether all sounds are of the class that the first one's is.

        Returns:
            (n, crop_samples) in [-1, 1].
        """
        seeds = item_seeds(seed, len(latents))
        numbers = self._classes_of([seeds[0]] * len(seeds) if same_class else seeds)
        starts = range(0, len(latents), _AT_ONCE)
        parts = [slice(start, start + _AT_ONCE) for start in starts]
        return torch.cat([self.synthesize(latents[part], numbers[part]) for part in parts])

    def noise_inputs(self, frames: int) -> dict[str, NoiseSpec]:
        """The vector, and which of the classes, if there are some; whatever the frames."""
        classes = self.config.classes
        latent = {"latent": NoiseSpec((self.config.latent_size,), "uniform")}
        return latent | ({"label": NoiseSpec((), "choice", classes)} if classes else {})

    def synthesize(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Sounds of vectors.

        Args:
            latent: (B, latent_size) in [-1, 1].
            label: (B), numbers of classes; none is needed without classes.

        Returns:
            (B, crop_samples) in [-1, 1].
        """
        given = latent
        if self.config.classes and label is not None:
            given = torch.cat([latent, self._one_hot(label)], dim=1)
        wav = self.postprocess(self.sounding(self.generated(given)))
        return wav.float().clamp(-1.0, 1.0)

    def build_discriminators(self) -> dict[str, nn.Module]:
        """One player."""
        return {"critic": Judge(self.critic(), len(self.config.classes))}

    def optimizer_config(self, player: str) -> OptimizerConfig:
        """Adam for both players, at one constant rate."""
        return OptimizerConfig(learning_rate=self.config.learning_rate, betas=self.config.betas)

    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        """The critic at every step, the generator at every `critic_steps`-th."""
        yield self._critic_update(batch, step)
        if step % self.config.critic_steps == 0:
            yield self._generator_update(batch, step)

    def _critic_update(self, batch: Batch, step: int) -> Update:
        real, labels = self.judged(batch.wav), self._labels_of(batch)
        with torch.no_grad():
            fake = self.generated(self._drawn(batch, 0, labels))
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
        fake = self.generated(self._drawn(batch, 2, labels))
        random = np.random.default_rng([step, 1])
        loss = -self.discriminators["critic"](fake, labels=labels, random=random).mean()
        return Update("generator", loss, {"generator": loss})

    def _drawn(self, batch: Batch, purpose: int, labels: Tensor) -> Tensor:
        size = (self.config.latent_size,)
        latent = uniform_noise(batch.seeds_for(purpose), size, batch.wav.device)
        return torch.cat([latent, self._one_hot(labels)], dim=1)

    def _labels_of(self, batch: Batch) -> Tensor:
        """(B), the crops' classes; -1 without classes."""
        numbers = [self._number(label) for label in batch.labels] if self.config.classes else []
        return torch.tensor(numbers or [-1] * len(batch.wav), device=batch.wav.device)

    def _classes_of(self, seeds: Sequence[int]) -> Tensor:
        """(n), the class asked for or a class for each seed; -1 without classes."""
        classes = len(self.config.classes)
        if self.label:
            numbers = [self._number(self.label)] * len(seeds)
        elif classes:
            numbers = [int(np.random.default_rng(seed).integers(classes)) for seed in seeds]
        else:
            numbers = [-1] * len(seeds)
        return torch.tensor(numbers, device=self.device)

    def _one_hot(self, numbers: Tensor) -> Tensor:
        """(n, classes) float32."""
        classes = len(self.config.classes)
        if not classes:
            return torch.zeros(len(numbers), 0, device=numbers.device)
        return F.one_hot(numbers, classes).float()

    def _number(self, label: str) -> int:
        classes = self.config.classes
        if label not in classes:
            raise WavewrightError(
                f"'{self.name}' knows no class '{label}'.{did_you_mean(label, classes)} "
                f"Classes: {', '.join(classes) or 'none'}."
            )
        return classes.index(label)


class Judge(nn.Module):
    """A critic's features, and the score that they make."""

    def __init__(self, features: nn.Module, classes: int) -> None:
        super().__init__()
        self.features = features
        size: Any = features.out_features
        self.score = nn.Linear(size, 1)
        self.of_class = nn.Embedding(classes, size) if classes else None

    def forward(self, x: Tensor, labels: Tensor, random: np.random.Generator) -> Tensor:
        """(B, ...) -> (B) scores.

        Args:
            x: what is judged.
            labels: (B), its classes.
            random: of what a step draws once for the whole batch.
        """
        features = self.features(x, random)
        score: Tensor = self.score(features).squeeze(1)
        if self.of_class is not None:
            score = score + (self.of_class(labels) * features).sum(dim=1)
        return score


def same_padding(kernel_size: int, stride: int) -> tuple[int, int]:
    """Zeros to the left and right, as TensorFlow's SAME divides them."""
    missing = max(kernel_size - stride, 0)
    return missing // 2, missing - missing // 2


def cropped(x: Tensor, kernel_size: int, stride: int, dims: int) -> Tensor:
    """A transposed convolution's whole output -> TensorFlow's SAME: `stride` times the input.

    Args:
        x: the last `dims` of whose dimensions are as long as torch makes them without padding.
        kernel_size: of the convolution.
        stride: of the convolution.
        dims: that were convolved over.
    """
    left, right = same_padding(kernel_size, stride)
    for dim in range(x.ndim - dims, x.ndim):
        x = x.narrow(dim, left, x.shape[dim] - left - right)
    return x


def initialise(layer: nn.Module) -> None:
    """As TensorFlow's layers begin: uniform by the sizes of both sides, and no bias."""
    if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
