"""Base of vocoders and acoustic models: a frozen config, variants and inference weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, ClassVar, Self

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from wavewright.errors import UnknownName, WavewrightError, did_you_mean
from wavewright.mel.spec import MelSpec
from wavewright.models.config import ModelConfig, explain_validation


@dataclass(frozen=True)
class Update:
    """One optimizer step, which the training loop takes before it asks for the next.

    Attributes:
        player: whose optimizer steps: "generator" is the model, others its discriminators.
        loss: scalar, with a graph; only that player's parameters receive gradients.
        logs: named scalars for TensorBoard and the progress bar.
    """

    player: str
    loss: Tensor
    logs: Mapping[str, float | Tensor] = field(default_factory=dict)


class Model(nn.Module):
    """Network with a frozen config.

    Attributes:
        Config: the class of its configuration.
        variants: changes to the default configuration, by variant name.
        discriminators: networks that only training needs, by player name. A plain dict, so they
            are no submodules: no parameter count and no checkpoint for inference includes them.
        in_training: whether `prepare_for_training` has been called.
    """

    Config: ClassVar[type[ModelConfig]] = ModelConfig
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __init__(self, config: ModelConfig, *, name: str = "") -> None:
        super().__init__()
        self.name = name or type(self).__name__.lower()
        self.config = config
        self.discriminators: dict[str, nn.Module] = {}
        self.in_training = False

    @classmethod
    def configure(cls, name: str, variant: str | None = None, **config: Any) -> ModelConfig:
        """Configuration of `name[:variant]` with changes.

        Raises:
            UnknownName: no such variant.
            WavewrightError: a field that is unknown or out of range.
        """
        if variant is not None and variant not in cls.variants:
            raise UnknownName(
                f"'{name}' has no variant '{variant}'.{did_you_mean(variant, cls.variants)} "
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
    def mel_spec(self) -> MelSpec:
        """Convention of the mel that the model takes (vocoder) or makes (acoustic model)."""
        return self.config.mel

    @property
    def device(self) -> torch.device:
        """Device of the parameters, or of the constants of a model that has none."""
        tensors = chain(self.parameters(), self.buffers())
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    def parameter_count(self) -> int:
        """Number of trainable values with weight norm folded, as papers count them."""
        return sum(
            value.numel()
            for key, value in self.inference_state().items()
            if value.is_floating_point() and "running_" not in key
        )

    def prepare_for_training(self) -> None:
        """Reparametrise weights, and build the discriminators."""
        self.discriminators = self.build_discriminators()
        self.in_training = True

    def build_discriminators(self) -> dict[str, nn.Module]:
        """Networks that are trained against this one, by player name; none by default."""
        return {}

    def inference_state(self) -> dict[str, Tensor]:
        """State dict of what inference needs, reparametrisations folded away."""
        from wavewright.nn.weight_norm import fold_weight_norm

        return fold_weight_norm(self.state_dict())

    def load_inference_state(self, state: Mapping[str, Tensor]) -> None:
        """Load the result of `inference_state`, before or after `prepare_for_training`."""
        from wavewright.nn.weight_norm import load_folded

        load_folded(self, state)
