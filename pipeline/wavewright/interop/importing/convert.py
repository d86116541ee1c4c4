"""Command `import`: from another toolkit's checkpoint to ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wavewright import registry
from wavewright.checkpoints.checkpoint import write_weights
from wavewright.checkpoints.discriminators import discriminators_file, write_discriminators
from wavewright.errors import UnknownName, WavewrightError, did_you_mean
from wavewright.interop.importing.discriminator_layouts import UnsupportedDiscriminators
from wavewright.interop.importing.discriminators import (
    PLAYER,
    ImportedDiscriminators,
    find_discriminators,
)
from wavewright.interop.importing.formats import FORMATS, NOT_MEL_DRIVEN, CheckpointFormat
from wavewright.interop.importing.mels import choose_mel_spec, describe_mel
from wavewright.interop.importing.sidecar_configs import SidecarConfig, espnet
from wavewright.interop.importing.sizes import NetworkSizes
from wavewright.interop.importing.state_dicts import (
    NetworkState,
    checkpoint_file,
    find_networks,
    open_checkpoint,
    require_finite,
)
from wavewright.io.files import atomic_write, sha256_of
from wavewright.mel.spec import MelSpec
from wavewright.models.base import Model
from wavewright.models.vocoder import Vocoder

_SHOWN = 5  # keys of a list in a message


@dataclass(frozen=True)
class ImportedModel:
    """Result of an import.

    Attributes:
        model: the model in eval mode.
        format: format that the file was recognised as.
        step: training step; 0 if the file has none.
        presets: presets of the mels that it may have, likeliest first.
        configuration: file beside the checkpoint that was read too; "" where none was.
        out: path of the written file; None if none was written.
        discriminators: its discriminators, as they were before the next step of its training; None
            where there are none, or none like ours.
        unsupported: reason for not importing its discriminators; empty if there is none.
    """

    model: Model
    format: CheckpointFormat
    step: int
    presets: tuple[str, ...]
    configuration: str
    out: Path | None
    discriminators: ImportedDiscriminators | None = None
    unsupported: str = ""

    def __str__(self) -> str:
        """Summary of the import, with commands to listen and to fine-tune."""
        words = describe_mel(self.model.mel_spec, self.presets)
        mel = "no mel drives it" if self._says_what_it_likes else f"mel {words}"
        facts = [
            f"{self.format.system}, as '{self.model.name}'",
            f"{self.model.parameter_count():,} parameters",
            mel,
        ]
        if self.step:
            facts.append(f"step {self.step:,}")
        if self.configuration:
            facts.append(f"with {self.configuration}")
        if self.discriminators:
            facts.append(f"with the discriminators of {self.discriminators.source}")
        if self.unsupported:
            facts.append(
                f"without its discriminators, which are not among ours ({self.unsupported})"
            )
        summary = f"{self.out or 'imported'}: {'; '.join(facts)}"
        summary += f"\n\nListen to it with:\n    {self._command}"
        if isinstance(self.model, Vocoder):
            summary += f"\n\nFine-tune it with:\n    {self._training}"
            if describe_mel(self.model.mel_spec, self.presets) not in [
                f"'{p}'" for p in self.presets
            ]:
                summary += f"\nin a recipe with its mel (wavewright config {self.out or 'MODEL'})"
        return summary

    @property
    def _says_what_it_likes(self) -> bool:
        return getattr(self.model.config, "conditioning", "mel") == "none"

    @property
    def _training(self) -> str:
        """Command to fine-tune: the closest variant with the fields that differ."""
        name, changes = _nearest_variant(self.model)
        settings = [f"train.init_from={self.out or 'MODEL'}"]
        settings += [f"'train.vocoders.{name}.config.{key}={changes[key]}'" for key in changes]
        options = " ".join(f"--set {setting}" for setting in settings)
        return f"wavewright run RECIPE --vocoder {name} {options}"

    @property
    def _command(self) -> str:
        out = self.out or "MODEL"
        if not isinstance(self.model, Vocoder):
            return (
                f'wavewright say "Good morning." --acoustic {out} --vocoder VOCODER '
                "--out morning.wav"
            )
        if self._says_what_it_likes:
            return f"wavewright sample --checkpoint {out} --out sounds"
        return f"wavewright copy --checkpoint {out} --wav speech.wav --out copy.wav"


def import_checkpoint(
    path: str | Path,
    format: str = "auto",
    mel: str | MelSpec = "",
    out: str | Path | None = None,
    *,
    statistics: str | Path | None = None,
    discriminators: str | Path | None = None,
) -> ImportedModel:
    """Convert another toolkit's checkpoint without running any code in it.

    Args:
        path: a file of torch.save's or of safetensors, or a folder with model.safetensors or
            pytorch_model.bin. Configurations and statistics beside it are read too.
        format: a name of `formats.FORMATS`; "auto" recognises it by its keys.
        mel: the convention of its mels, a preset's name; "" is the format's own, where it has one.
        out: the .safetensors file to write; None writes none.
        statistics: a file of means and scales that its mels are normalised by.
        discriminators: the file of its discriminators; None looks into the same file and beside it.
            They are written beside `out`, for trainings that start from it.

    Raises:
        UnknownName: no such format or preset.
        WavewrightError: no checkpoint, no known one, keys missing or unexpected, or an unknown
            mel convention.
    """
    source = Path(path)
    if out is not None and Path(out).suffix != ".safetensors":
        raise WavewrightError(f"{out}: an imported model is a .safetensors file; name it so")
    allowed = _candidate_formats(format)
    file = checkpoint_file(source)
    contents = open_checkpoint(file)
    try:
        candidates = list(find_networks(contents))
    except WavewrightError as error:
        raise WavewrightError(f"{file}: {error}") from error
    kind, network = _recognize(file, candidates, allowed)
    sidecar = (espnet if network.within else kind.sidecar)(file)
    state, sizes = _convert(file, kind, network, sidecar)
    if sizes.bands is not None:
        spec = choose_mel_spec(file, kind, network, sizes, sidecar, mel, statistics)
        sizes.fields["mel"] = spec
    model = _build(file, kind, sizes.fields, state, network)
    others = Path(discriminators) if discriminators is not None else None
    imported, unsupported = None, ""
    try:
        imported = find_discriminators(
            file, contents, kind, sizes.fields, sidecar.discriminators, others
        )
    except UnsupportedDiscriminators as error:
        if others is not None:
            raise WavewrightError(f"{others.parent / str(error)}") from error
        unsupported = str(error)
    if imported is not None:
        model.config = imported.config
    step = contents.step or int(next(iter(network.state.get("step", torch.zeros(1)).flatten()), 0))
    target = Path(out) if out is not None else None
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(target, model, step, imported)
    presets = (mel, *kind.mel.values()) if isinstance(mel, str) and mel else (*kind.mel.values(),)
    return ImportedModel(model, kind, step, presets, sidecar.source, target, imported, unsupported)


def _write(target: Path, model: Model, step: int, imported: ImportedDiscriminators | None) -> None:
    with atomic_write(target) as scratch:
        write_weights(scratch, model, step)
        if imported is not None:
            write_discriminators(target, {PLAYER: imported.state}, sha256_of(scratch))
    if imported is None:  # of an earlier import under this name
        discriminators_file(target).unlink(missing_ok=True)


def _nearest_variant(model: Model) -> tuple[str, dict[str, Any]]:
    """Closest variant of ours, and the fields in which the model differs from it."""
    system = model.name.partition(":")[0]
    kind = registry.find("vocoders", system)
    fields = model.config.model_dump(mode="json")
    differences = {}
    for variant in kind.variants or (None,):
        name = f"{system}:{variant}" if variant else system
        config = kind.configure(system, variant).model_dump(mode="json")
        network = [key for key in _network_fields(config) if key != "mel"]
        differences[name] = {key: fields[key] for key in network if config[key] != fields[key]}
    nearest_name = min(differences, key=lambda name: len(differences[name]))
    return nearest_name, differences[nearest_name]


def _network_fields(fields: Mapping[str, Any]) -> list[str]:
    """Configuration fields of the network, which precede those of training."""
    names = list(fields)
    return names[: names.index("adversary")] if "adversary" in names else names


def _candidate_formats(name: str) -> Sequence[CheckpointFormat]:
    if name == "auto":
        return FORMATS
    names = [form.name for form in FORMATS]
    if name not in names:
        raise UnknownName(
            f"--format {name}: no such format.{did_you_mean(name, names)} Formats: auto, "
            f"{', '.join(names)}."
        )
    return [form for form in FORMATS if form.name == name]


def _recognize(
    path: Path, networks: Sequence[NetworkState], allowed: Sequence[CheckpointFormat]
) -> tuple[CheckpointFormat, NetworkState]:
    """Find the first format all of whose marks a network of the file has.

    Raises:
        WavewrightError: there is none among the allowed ones, with the nearest.
    """
    driven = {key: value for network in networks for key, value in network.state.items()}
    for pattern, reason in NOT_MEL_DRIVEN.items():
        if key := next((key for key in driven if re.match(pattern, key)), ""):
            raise WavewrightError(f"{path}: {reason.format(driven[key].shape[1])}")
    for form in (*allowed, *FORMATS):
        for network in networks:
            if form.count_marks(network.state) == len(form.marks) and form.condition(network.state):
                if form not in allowed:
                    raise WavewrightError(
                        f"{path}: is of another format than {allowed[0].name}: it looks like "
                        f"{form.system} (--format {form.name})"
                    )
                return form, network
    pairs = [(form, network) for form in allowed for network in networks]
    form, network = max(
        pairs, key=lambda pair: pair[0].count_marks(pair[1].state) / len(pair[0].marks)
    )
    missing = [m for m in form.marks if not any(re.match(m, key) for key in network.state)]
    unexpected = network.state.keys() if len(missing) == len(form.marks) else ()
    marks = ", ".join(mark.replace("\\", "").removesuffix(".") for mark in missing)
    has = f"; it has {_shorten_keys(unexpected)}" if unexpected else ""
    raise WavewrightError(
        f"{path}: no checkpoint of a known format. The nearest is {form.system} ({form.name}), "
        f"of which {len(missing)} marks of {len(form.marks)} are missing: {marks}{has}"
    )


def _convert(
    path: Path, form: CheckpointFormat, network: NetworkState, sidecar: SidecarConfig
) -> tuple[dict[str, Tensor], NetworkSizes]:
    """Tensors in our names, and the configuration from their shapes and the sidecar."""
    require_finite(path, network.state)
    looks = f"{path}: looks like {form.system} ({form.name}), but"
    try:
        state = form.rename(network.state)
    except (KeyError, ValueError, IndexError) as error:
        raise WavewrightError(f"{looks} has unexpected parts ({error})") from error
    try:
        sizes = form.sizes(state)
    except KeyError as error:
        raise WavewrightError(
            f"{looks} does not fit: missing 1 ({error.args[0]}) at least, in Wavewright's names"
        ) from error
    except (ValueError, IndexError, ArithmeticError) as error:
        raise WavewrightError(f"{looks} a tensor has another number of axes ({error})") from error
    group = "vocoders" if form.kind == "vocoder" else "acoustic"
    model_fields = registry.find(group, form.model.partition(":")[0]).Config.model_fields
    settings = {name: value for name, value in sidecar.fields.items() if name in model_fields}
    fields = {**sizes.fields, **settings}
    unknown = [name for name, value in fields.items() if value is None]
    if unknown:
        raise WavewrightError(
            f"{path}: the weights of {form.system} do not tell {', '.join(unknown)}; put the "
            "toolkit's configuration beside the file"
        )
    rates = fields.get("upsample_rates")
    hop = sizes.hop if rates is None or sizes.bands is None else prod(rates) * sizes.at_once
    return state, NetworkSizes(fields, sizes.bands, hop)


def _build(
    path: Path,
    form: CheckpointFormat,
    fields: dict[str, Any],
    state: dict[str, Tensor],
    network: NetworkState,
) -> Model:
    try:
        with torch.device("meta"):  # so that nothing is allocated that the file does not fill
            shape_of: Model = registry.create_model(form.kind, form.model, **fields)
        _require_fit(path, form, shape_of, state, network)
        model: Model = registry.create_model(form.kind, form.model, **fields)
        model.load_inference_state(state)
    except WavewrightError as error:
        if str(error).startswith(f"{path}: "):
            raise
        raise WavewrightError(f"{path}: as {form.system}: {error}") from error
    except (RuntimeError, ValueError, TypeError, ArithmeticError) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise WavewrightError(f"{path}: no {form.system} can be built of it ({reason})") from error
    return model.eval()


def _require_fit(
    path: Path,
    form: CheckpointFormat,
    model: Model,
    state: dict[str, Tensor],
    network: NetworkState,
) -> None:
    """Raise if weights are missing, unexpected or of another shape."""
    own = model.inference_state()
    used = {value.data_ptr() for value in state.values()}
    ignored = [
        key
        for key, value in network.state.items()
        if value.data_ptr() not in used and not re.match(form.left_out, key)
    ]
    missing = sorted(own.keys() - state.keys())
    unexpected = sorted(state.keys() - own.keys()) + ignored
    if missing or unexpected:
        raise WavewrightError(
            f"{path}: looks like {form.system} ({form.name}), but does not fit: missing "
            f"{_shorten_keys(missing)}; unexpected {_shorten_keys(unexpected)}. Names of missing "
            "weights are Wavewright's own"
        )
    for key, value in own.items():
        if value.is_floating_point() != state[key].is_floating_point():
            raise WavewrightError(
                f"{path}: {key} is of {state[key].dtype}, where weights are floating-point numbers"
            )
        if value.shape != state[key].shape:
            raise WavewrightError(
                f"{path}: looks like {form.system} ({form.name}), but {key} is "
                f"{tuple(state[key].shape)}, expected {tuple(value.shape)}"
            )


def _shorten_keys(keys: Any) -> str:
    keys = list(keys)
    more = ", ..." if len(keys) > _SHOWN else ""
    return f"{len(keys)} ({', '.join(keys[:_SHOWN])}{more})" if keys else "none"
