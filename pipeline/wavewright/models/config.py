"""Configurations of models and optimizers: frozen, typed, and strict about unknown fields."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from wavewright.errors import did_you_mean
from wavewright.mel.spec import MelSpec


class FrozenModel(BaseModel):
    """Base of every configuration: immutable, and unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelConfig(FrozenModel):
    """Base of model configurations; the defaults of a subclass are the published ones.

    Whatever layout the given MelSpec has, a model takes and gives (B, n_mels, frames).
    """

    model_config = ConfigDict(validate_default=True)

    #: Changes that let a generator train before its discriminator starts, for a configuration
    #: that is published without a reconstruction loss.
    generator_only_overrides: ClassVar[Mapping[str, Any]] = {}

    mel: MelSpec

    @classmethod
    def fit_to_mel(cls, mel: MelSpec, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Changes that make a configuration fit a mel, such as rates for its hop length.

        Args:
            mel: the convention.
            fields: the configuration's fields so far, without `mel`.

        Raises:
            ValueError: nothing makes it fit.
        """
        return {}

    @field_validator("mel")
    @classmethod
    def _bands_first(cls, mel: MelSpec) -> MelSpec:
        return mel.bands_first


class OptimizerConfig(FrozenModel):
    """Optimizer settings of one player.

    Attributes:
        optimizer: RAdam rectifies Adam's first steps (Liu et al. 2020, arXiv:1908.03265).
        learning_rate: highest learning rate.
        decay_per_epoch: factor on the rate at the end of every epoch.
        amsgrad: Adam divides by the largest second moment so far (Reddi et al. 2018,
            arXiv:1904.09237); not for RAdam.
        decay_every: steps after which the rate is multiplied by `decay`, again and again.
        decays: number of such decays; None: no limit.
        warmup_steps: steps over which the rate rises linearly from zero.
        cosine_steps: step at which half a cosine has brought the rate to zero.
        starts_at: step of the training before which the schedule does not begin.
        clip_norm: largest norm of the player's gradients together.
        ema_decay: of the running average of the weights that inference uses (the generator only).
    """

    optimizer: Literal["adam", "adamw", "radam"] = "adam"
    learning_rate: float = Field(ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    amsgrad: bool = False
    weight_decay: float = 0.0
    decay_per_epoch: float = Field(default=1.0, gt=0)
    decay_every: int | None = Field(default=None, gt=0)
    decay: float = Field(default=0.5, gt=0)
    decays: int | None = Field(default=None, ge=0)
    warmup_steps: int = Field(default=0, ge=0)
    cosine_steps: int | None = Field(default=None, gt=0)
    starts_at: int = Field(default=0, ge=0)
    clip_norm: float | None = Field(default=None, gt=0)
    ema_decay: float | None = Field(default=None, gt=0, lt=1)

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of a step of the schedule, of which alone it is a function."""
        rate = self.learning_rate * self.decay_per_epoch ** (step // steps_per_epoch)
        if self.decay_every is not None:
            done = step // self.decay_every
            rate *= self.decay ** (done if self.decays is None else min(done, self.decays))
        if step < self.warmup_steps:
            return rate * step / self.warmup_steps
        if self.cosine_steps is not None:
            span = max(self.cosine_steps - self.warmup_steps, 1)
            share = min((step - self.warmup_steps) / span, 1.0)
            rate *= (1 + math.cos(math.pi * share)) / 2
        return rate


def explain_validation(
    error: ValidationError, where: str, model: type[BaseModel] | None = None
) -> str:
    """A pydantic error in one or two sentences: field, found, allowed, nearest name."""
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = list(model.model_fields) if model and len(first["loc"]) == 1 else []
        allowed = f" Allowed: {', '.join(known)}." if known else ""
        return (
            f"{where}: unknown field '{path}'.{did_you_mean(str(first['loc'][-1]), known)}{allowed}"
        )
    message = first["msg"].removeprefix("Value error, ")
    found = first["input"]
    shown = "" if isinstance(found, dict | list) else f", found {found!r}"
    return f"{where}: {path + ': ' if path else ''}{message}{shown}"
