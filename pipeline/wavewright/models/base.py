"""What vocoders and acoustic models share: a frozen config, players, and `updates()`.

The training loop (training.py) drives anything that keeps this contract.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from torch import Tensor, nn

from wavewright.errors import UnknownName, WavewrightError, nearest
from wavewright.mel.spec import MelSpec


class FrozenModel(BaseModel):
    """Base of every configuration: immutable, and unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelConfig(FrozenModel):
    """Base of model configurations; the defaults of a subclass are the published ones.

    Whatever layout the given MelSpec has, a model takes and gives (B, n_mels, frames).
    """

    model_config = ConfigDict(validate_default=True)

    mel: MelSpec

    @field_validator("mel")
    @classmethod
    def _bands_first(cls, mel: MelSpec) -> MelSpec:
        return mel.bands_first


class Optimisation(FrozenModel):
    """How one player is optimised.

    Attributes:
        optimiser: RAdam rectifies Adam's first steps (Liu et al. 2020, arXiv:1908.03265).
        learning_rate: at its highest.
        decay_per_epoch: factor on the rate at every epoch's end.
        amsgrad: Adam divides by the largest second moment so far (Reddi et al. 2018,
            arXiv:1904.09237); not for RAdam.
        decay_every: steps after which the rate is multiplied by `decay`, again and again.
        decays: how often it is; None for ever.
        warmup_steps: over which the rate rises linearly from zero.
        cosine_steps: step at which half a cosine has brought the rate to zero.
        starts_at: step of the training before which the schedule does not begin.
        clip_norm: largest norm of the player's gradients together.
        ema_decay: of the running average of the weights that inference uses (the generator only).
    """

    optimiser: Literal["adam", "adamw", "radam"] = "adam"
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


@dataclass(frozen=True)
class Update:
    """One optimiser step that the loop takes before it asks for the next.

    Attributes:
        player: whose optimiser steps: "generator" is the model, others its adversaries.
        loss: scalar, with a graph; only that player's parameters receive gradients.
        logs: named scalars for TensorBoard and the progress bar.
    """

    player: str
    loss: Tensor
    logs: Mapping[str, float | Tensor] = field(default_factory=dict)


class Model(nn.Module):
    """A network with a frozen config that knows how it is trained.

    Attributes:
        Config: the class of its configuration.
        kind: "vocoder" or "acoustic"; names its files.
        variants: changes to the default configuration, by variant name.
        adversaries: networks that only training needs, by player name. A plain dict, so they
            are no submodules: they count in no parameter figure and ship in no checkpoint.
        in_training: whether `start_training` has been called.
    """

    Config: ClassVar[type[ModelConfig]] = ModelConfig
    kind: ClassVar[Literal["vocoder", "acoustic"]]
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __init__(self, config: ModelConfig, *, name: str = "") -> None:
        super().__init__()
        self.name = name or type(self).__name__.lower()
        self.config = config
        self.adversaries: dict[str, nn.Module] = {}
        self.in_training = False

    @classmethod
    def configure(cls, name: str, variant: str | None = None, **config: Any) -> ModelConfig:
        """The configuration of `name[:variant]` with changes.

        Raises:
            UnknownName: no such variant.
            WavewrightError: a field that is unknown or out of range.
        """
        if variant is not None and variant not in cls.variants:
            raise UnknownName(
                f"'{name}' has no variant '{variant}'.{nearest(variant, cls.variants)} "
                f"Variants: {', '.join(cls.variants) or 'none'}."
            )
        try:
            return cls.Config.model_validate({**cls.variants.get(variant or "", {}), **config})
        except ValidationError as error:
            full = f"{name}:{variant}" if variant else name
            raise WavewrightError(explain_validation(error, full, cls.Config)) from error

    @classmethod
    def create(cls, name: str, variant: str | None = None, **config: Any) -> Self:
        """Build the model `name[:variant]`; see `configure`."""
        full = f"{name}:{variant}" if variant else name
        return cls(cls.configure(name, variant, **config), name=full)

    @property
    def mel(self) -> MelSpec:
        """The mel this model eats (vocoder) or speaks (acoustic model)."""
        return self.config.mel

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    def parameter_count(self) -> int:
        """Trainable numbers with weight norm folded, as papers count them."""
        return sum(
            value.numel()
            for key, value in self.inference_state().items()
            if value.is_floating_point() and "running_" not in key
        )

    def start_training(self) -> None:
        """Make ready for the loop: reparametrise weights, build the adversaries."""
        self.adversaries = self.build_adversaries()
        self.in_training = True

    def build_adversaries(self) -> dict[str, nn.Module]:
        """Networks that are trained against this one, by player name."""
        return {}

    def optimisation(self, player: str) -> Optimisation:
        """The published optimiser settings of a player."""
        raise WavewrightError(f"'{self.name}' has nothing to train")

    def updates(self, batch: Any, step: int) -> Iterator[Update]:
        """The optimiser steps of one training step, in order.

        No graph may survive a `yield`, and no `yield` may stand inside a `with`.
        """
        raise WavewrightError(f"'{self.name}' has nothing to train")

    def inference_state(self) -> dict[str, Tensor]:
        """State dict of what inference needs, reparametrisations folded away."""
        from wavewright.nn.weight_norm import fold_weight_norm

        return fold_weight_norm(self.state_dict())

    def load_inference_state(self, state: Mapping[str, Tensor]) -> None:
        """Load what `inference_state` gave, before or after `start_training`."""
        from wavewright.nn.weight_norm import load_folded

        load_folded(self, state)


def explain_validation(
    error: ValidationError, where: str, model: type[BaseModel] | None = None
) -> str:
    """A pydantic error in one or two sentences: field, found, allowed, nearest name."""
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = list(model.model_fields) if model and len(first["loc"]) == 1 else []
        allowed = f" Allowed: {', '.join(known)}." if known else ""
        return f"{where}: unknown field '{path}'.{nearest(str(first['loc'][-1]), known)}{allowed}"
    message = first["msg"].removeprefix("Value error, ")
    found = first["input"]
    shown = "" if isinstance(found, dict | list) else f", found {found!r}"
    return f"{where}: {path + ': ' if path else ''}{message}{shown}"
