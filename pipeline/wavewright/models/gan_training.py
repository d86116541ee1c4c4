"""Adversarial training: the steps that GAN vocoders share, with hooks for their losses."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from wavewright.models.base import Update
from wavewright.models.batch import Batch
from wavewright.models.vocoder import Vocoder

PLAYER = "discriminator"


@dataclass(frozen=True)
class Loss:
    """Loss of one kind.

    Attributes:
        terms: weighted scalars, which are added in their order.
        logs: unweighted values for the log, by name.
    """

    terms: Sequence[Tensor]
    logs: Mapping[str, Tensor] = field(default_factory=dict)


class TrainingPair(NamedTuple):
    """Generated and recorded waveforms, (B, samples) each.

    Attributes:
        fake: generated.
        real: recorded.
        bands: (B, bands, samples / bands), what `fake` was put together from; None without bands.
    """

    fake: Tensor
    real: Tensor
    bands: Tensor | None = None


class GANTraining(Vocoder):
    """Trains the generator by a reconstruction loss and, from a step on, against a discriminator.

    `build_discriminators` builds one player, "discriminator". Its outputs are whatever the hooks
    read. The config's `adversary_start` (default 0) is the step at which it joins.

    Attributes:
        generator_first: whether the generator steps before the discriminator.
        real_outputs: outputs for real waveforms that `adversarial_loss` gets: "fresh" ones of the
            discriminator after its step, those "before" its step, or "none".
    """

    generator_first: ClassVar[bool] = False
    real_outputs: ClassVar[Literal["fresh", "before", "none"]] = "fresh"

    @abstractmethod
    def reconstruction_loss(self, pair: TrainingPair) -> Loss:
        """Distance between generated and recorded waveforms."""

    @abstractmethod
    def discriminator_loss(self, real: Any, fake: Any) -> Tensor:
        """Loss of the discriminator, a scalar, of its outputs for real and fake waveforms."""

    @abstractmethod
    def adversarial_loss(self, real: Any, fake: Any) -> Loss:
        """Loss of the generator by the discriminator's outputs.

        Args:
            real: outputs for real waveforms, without a graph; None if `real_outputs` is "none".
            fake: outputs for fake ones.
        """

    def auxiliary_loss(self, batch: Batch) -> Loss:
        """Loss of parts of the generator that is not of its waveforms; none by default."""
        return Loss([])

    def training_pair(self, batch: Batch) -> TrainingPair:
        """Generate waveforms of a batch's mels."""
        return TrainingPair(self(batch.mel), batch.wav)

    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        """One step of the discriminator, from `adversary_start` on, and one of the generator."""
        adversarial = step >= getattr(self.config, "adversary_start", 0)
        real = None
        if adversarial and not self.generator_first:
            loss, real = self._discriminator_step(batch)
            yield Update(PLAYER, loss, {"critic": loss})
            del loss  # its graph
        loss, logs = self._generator_step(batch, real, adversarial=adversarial)
        yield Update("generator", loss, logs)
        if adversarial and self.generator_first:
            loss, _ = self._discriminator_step(batch)
            yield Update(PLAYER, loss, {"critic": loss})

    def _discriminator_step(self, batch: Batch) -> tuple[Tensor, Any]:
        """Loss, and the outputs for real waveforms where the generator's step uses these."""
        with torch.no_grad():
            fake, wav, _ = self.training_pair(batch)
        discriminator = self.discriminators[PLAYER]
        real = discriminator(wav)
        loss = self.discriminator_loss(real, discriminator(fake))
        return loss, _detached(real) if self.real_outputs == "before" else None

    def _generator_step(
        self, batch: Batch, real: Any, *, adversarial: bool
    ) -> tuple[Tensor, dict[str, float | Tensor]]:
        pair = self.training_pair(batch)
        losses = [self.reconstruction_loss(pair), self.auxiliary_loss(batch)]
        if adversarial:
            discriminator = self.discriminators[PLAYER]
            if self.real_outputs == "fresh":
                with torch.no_grad():  # constants of this step
                    real = discriminator(pair.real)
            losses.append(self.adversarial_loss(real, discriminator(pair.fake)))
        first, *others = [term for loss in losses for term in loss.terms]
        total = first
        for term in others:
            total = total + term
        return total, {name: value for loss in losses for name, value in loss.logs.items()}


def _detached(outputs: Any) -> Any:
    """Nested lists and tuples of tensors without graphs."""
    if isinstance(outputs, Tensor):
        return outputs.detach()
    return type(outputs)(_detached(one) for one in outputs)
