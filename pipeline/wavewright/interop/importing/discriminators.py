"""Discriminators of other toolkits' checkpoints, in the same file or in one beside it.

Weight norms are kept unfolded, since training continues from them. Periods and strides, which
shapes do not show, are the published ones or come from a configuration.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from wavewright import registry
from wavewright.checkpoints.pickle_reader import CheckpointContents
from wavewright.errors import WavewrightError
from wavewright.interop.importing.discriminator_layouts import (
    LAYOUTS,
    DiscriminatorLayout,
    Settings,
    State,
    UnsupportedDiscriminators,
)
from wavewright.interop.importing.formats import CheckpointFormat
from wavewright.interop.importing.state_dicts import open_checkpoint, require_finite
from wavewright.models.config import ModelConfig

PLAYER = "discriminator"


class ImportedDiscriminators(NamedTuple):
    """Imported discriminators in our names.

    Attributes:
        source: the file's name.
        config: configuration of the vocoder, with an `adversary` that builds them.
        state: a state dict for what such a configuration builds.
    """

    source: str
    config: ModelConfig
    state: State


def find_discriminators(
    path: Path,
    contents: CheckpointContents,
    form: CheckpointFormat,
    fields: Mapping[str, Any],
    settings: Settings,
    named: Path | None,
) -> ImportedDiscriminators | None:
    """Find the discriminators that were trained against an imported generator.

    Args:
        path: the generator's file.
        contents: contents of that file.
        form: format of that file.
        fields: the generator's configuration.
        settings: discriminator settings of the sidecar configuration, in our names.
        named: the file that holds them; None looks into the generator's and for one beside it.

    Returns:
        None where there are none.

    Raises:
        UnsupportedDiscriminators: there are, but ours cannot represent them.
        WavewrightError: the named file holds none, or one is damaged.
    """
    for file, file_contents in _candidate_files(path, contents, named):
        for layout in LAYOUTS.get(form.name, ()):
            theirs = _their_tensors(file_contents, layout)
            if theirs:
                require_finite(file, theirs)
                return _convert(file.name, layout, theirs, form, fields, settings)
    if named is not None:
        raise WavewrightError(f"{named}: holds no discriminator of {form.system}")
    return None


_SIBLINGS = (
    (r"g_(\d+)", r"do_\1"),
    (r"(.*)netG(.*)", r"\1netD\2"),
    (r"(.*)bigvgan_generator(.*)", r"\1bigvgan_discriminator_optimizer\2"),
)


def _candidate_files(
    path: Path, contents: CheckpointContents, named: Path | None
) -> Iterator[tuple[Path, CheckpointContents]]:
    if named is not None:
        if not named.is_file():
            raise WavewrightError(f"{named}: no such file")
        yield named, open_checkpoint(named)
        return
    yield path, contents
    for pattern, name in _SIBLINGS:
        if match := re.fullmatch(pattern, path.name):
            file = path.with_name(match.expand(name))
            if file.is_file():
                yield file, open_checkpoint(file)


def _their_tensors(contents: CheckpointContents, layout: DiscriminatorLayout) -> State:
    """Discriminator tensors by full name, without the prefix of data-parallel training."""
    tensors: State = {}
    for place, state in contents.states.items():
        for key, value in state.items():
            name = re.sub(r"(^|\.)module\.", r"\1", f"{place}.{key}".lstrip("."))
            if match := re.match(rf"(?:.*\.)?({layout.stem}.*)", name):
                tensors.setdefault(match[1], value)
    return tensors


_ATTRIBUTE = r"(.+?)\.(bias|weight(?:_\w+)?|parametrizations\.weight\..+)"


def _convert(
    source: str,
    layout: DiscriminatorLayout,
    theirs: State,
    form: CheckpointFormat,
    fields: Mapping[str, Any],
    settings: Settings,
) -> ImportedDiscriminators:
    ours: State = {}
    unexpected = []
    windows = [len(value) for key, value in theirs.items() if key.endswith(".spec_fn.window")]
    if windows:
        settings = {**settings, "fft_sizes": windows}
    for key, value in theirs.items():
        if re.search(layout.left_out, key):
            continue
        match = re.fullmatch(_ATTRIBUTE, key)
        name = _rename_module(match[1], layout.names) if match else None
        if match is None or name is None:
            unexpected.append(key)
        else:
            ours[f"{name}.{match[2]}"] = value.detach().float()
    ours = _number_layers(ours)
    if unexpected:
        raise UnsupportedDiscriminators(
            f"{source}: unexpected {len(unexpected)} ({', '.join(unexpected[:5])})"
        )
    if "unlike" in settings:
        raise UnsupportedDiscriminators(f"{source}: {settings['unlike']}")
    try:
        discriminator_fields = layout.fields(ours, settings)
    except (KeyError, IndexError) as error:
        raise UnsupportedDiscriminators(f"{source}: missing {error.args[0]}") from error
    except UnsupportedDiscriminators as error:
        raise UnsupportedDiscriminators(f"{source}: {error}") from error
    try:
        with torch.device("meta"):
            shape_of = registry.create_model(
                form.kind, form.model, **{**fields, "adversary": discriminator_fields}
            )
            module = shape_of.build_discriminators()[PLAYER]
    except WavewrightError as error:
        raise UnsupportedDiscriminators(f"{source}: {error}") from error
    return ImportedDiscriminators(source, shape_of.config, _fit_to_module(source, module, ours))


def _rename_module(path: str, names: tuple[tuple[str, str], ...]) -> str | None:
    matches = ((re.fullmatch(pattern, path), ours) for pattern, ours in names)
    return next((match.expand(ours) for match, ours in matches if match), None)


def _number_layers(state: State) -> State:
    """Renumber ParallelWaveGAN's layers, which it counts with activations included."""
    numbers = [int(match[1]) for key in state if (match := re.match(r"conv_layers\.(\d+)\.", key))]
    if not numbers:
        return state

    def name(match: re.Match[str]) -> str:
        number = int(match[1])
        return "conv_post." if number == max(numbers) else f"convs.{number // 2}."

    return {re.sub(r"^conv_layers\.(\d+)\.", name, key): value for key, value in state.items()}


def _channel_norms(weight: Tensor) -> Tensor:
    """Norm of every output channel's weights, summed as torch's weight norm does."""
    ones = weight.new_ones(len(weight), *[1] * (weight.ndim - 1))
    length: Tensor = torch._weight_norm_interface(weight, ones, 0)[1]
    return length


_SPELLINGS = {
    "weight_g": "parametrizations.weight.original0",
    "weight_orig": "parametrizations.weight.original",
    "weight_u": "parametrizations.weight.0._u",
}


def _fit_to_module(source: str, module: nn.Module, state: State) -> State:
    """Rename keys to the spelling of the module's state dict.

    Raises:
        UnsupportedDiscriminators: keys are missing or unexpected, or a shape differs.
    """
    spelled: State = {}
    own = module.state_dict()
    for key, value in state.items():
        path, _, attribute = key.rpartition(".")
        if attribute == "weight_v":
            normed = f"{path}.weight_g" in state
            ours = f"parametrizations.weight.{'original1' if normed else '0._v'}"
        else:
            ours = _SPELLINGS.get(attribute, attribute)
        length = f"{path}.{_SPELLINGS['weight_g']}"
        if attribute == "weight" and length in own:  # its norm was removed
            spelled[length] = _channel_norms(value)
            ours = "parametrizations.weight.original1"
        spelled[f"{path}.{ours}"] = value
    missing, unexpected = sorted(own.keys() - spelled.keys()), sorted(spelled.keys() - own.keys())
    if missing or unexpected:
        raise UnsupportedDiscriminators(
            f"{source}: missing {len(missing)} ({', '.join(missing[:3])}), unexpected "
            f"{len(unexpected)} ({', '.join(unexpected[:3])})"
        )
    for key, value in own.items():
        if spelled[key].shape != value.shape:
            raise UnsupportedDiscriminators(
                f"{source}: {key} is {tuple(spelled[key].shape)}, expected {tuple(value.shape)}"
            )
    return {key: spelled[key] for key in own}
