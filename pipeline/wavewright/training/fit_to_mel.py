"""Changes that fit a published configuration to another mel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from wavewright import registry
from wavewright.errors import WavewrightError
from wavewright.io.strict_yaml import parse_yaml
from wavewright.mel.spec import MelSpec
from wavewright.models.config import ModelConfig, explain_validation
from wavewright.models.vocoder import Vocoder

_SEGMENT = 8192  # samples of a training crop, as most published configurations have them


class Fitted(NamedTuple):
    """Configuration that fits a mel.

    Attributes:
        config: complete configuration.
        changes: its differences from the published one, besides `mel`.
        segment_length: samples of a training crop, a multiple of the hop length.
    """

    config: ModelConfig
    changes: dict[str, Any]
    segment_length: int


def fit(name: str, mel: MelSpec) -> Fitted:
    """Propose upsampling rates, kernels and the like for `system[:variant]` and a mel.

    Raises:
        WavewrightError: nothing makes it fit.
    """
    changes = changes_for(name, mel, {})
    system, _, variant = name.partition(":")
    kind: type[Vocoder] = registry.find("vocoders", system)
    config = kind.configure(system, variant or None, **changes, mel=mel)
    hop = mel.hop_length
    return Fitted(config, changes, max(1, round(_SEGMENT / hop)) * hop)


def changes_for(name: str, mel: MelSpec, config: Mapping[str, Any]) -> dict[str, Any]:
    """Changes that make `system[:variant]`, already changed by `config`, fit a mel.

    Raises:
        WavewrightError: nothing makes it fit.
    """
    system, _, variant = name.partition(":")
    kind: type[Vocoder] = registry.find("vocoders", system)
    published = kind.configure(system, variant or None).model_dump()
    try:
        return kind.fitted_to(mel, {**published, **config})
    except ValueError as error:
        raise WavewrightError(f"{name}: {error}") from error


def read_mel(name: str) -> MelSpec:
    """Mel preset by name, or the mel of a YAML file as `wavewright config mel:` prints it."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        return MelSpec.preset(name)
    if not path.is_file():
        raise WavewrightError(f"{path}: no such file")
    values, _ = parse_yaml(path.read_text(), path)
    if "preset" in values:
        preset = MelSpec.preset(str(values.pop("preset")))
        values = {**preset.model_dump(), **values}
    try:
        return MelSpec.model_validate(values)
    except ValidationError as error:
        raise WavewrightError(explain_validation(error, str(path), MelSpec)) from error
