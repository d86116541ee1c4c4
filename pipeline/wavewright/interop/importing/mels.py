"""Mel convention of an imported network: the format's preset plus sidecar settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from wavewright.data.mel_statistics import with_statistics
from wavewright.errors import WavewrightError
from wavewright.interop.importing.formats import CheckpointFormat
from wavewright.interop.importing.sidecar_configs import SidecarConfig
from wavewright.interop.importing.sizes import NetworkSizes
from wavewright.interop.importing.state_dicts import NetworkState
from wavewright.mel.spec import MelSpec, StatisticsNormalisation
from wavewright.models.config import explain_validation


def choose_mel_spec(
    path: Path,
    form: CheckpointFormat,
    network: NetworkState,
    sizes: NetworkSizes,
    sidecar: SidecarConfig,
    named: str | MelSpec,
    statistics: str | Path | None,
) -> MelSpec:
    """Choose the convention of a network's mels.

    Raises:
        WavewrightError: it is not known and not named, or does not fit the weights.
    """
    preset = sidecar.mel.get("preset", "")
    if not network.within:
        preset = preset or form.mel.get(sizes.bands or 0, "")
    if isinstance(named, MelSpec):
        spec = named
    elif named:
        spec = MelSpec.preset(named)
    elif not preset:
        raise WavewrightError(f"{path}: {form.system}: which mels it takes {_preset_hint(sizes)}")
    else:
        spec = _preset_with_sidecar(path, preset, sidecar)
    if spec.n_mels != sizes.bands or sizes.hop not in (None, spec.hop_length):
        have = f"{sizes.bands} bands" + (f" and {sizes.hop} samples a frame" if sizes.hop else "")
        which = "the mel that was named" if named else f"its usual mel, '{preset}',"
        raise WavewrightError(
            f"{path}: the weights of {form.system} are for {have}, and {which} has {spec.n_mels} "
            f"and {spec.hop_length}. Which it is {_preset_hint(sizes)}"
        )
    return _add_normalisation(path, form, network, sidecar, spec, bool(named), statistics)


def _preset_hint(sizes: NetworkSizes) -> str:
    fitting = [
        name
        for name in MelSpec.presets()
        if (spec := MelSpec.preset(name)).n_mels == sizes.bands
        and sizes.hop in (None, spec.hop_length)
    ]
    fit = f"presets of its size: {', '.join(fitting)}" if fitting else "no preset is of its size"
    return f"must be given by --mel PRESET ({fit})"


def _preset_with_sidecar(path: Path, preset: str, sidecar: SidecarConfig) -> MelSpec:
    try:
        return MelSpec.model_validate({"preset": preset, **sidecar.mel})
    except ValidationError as error:
        where = str(path.parent / sidecar.source)
        raise WavewrightError(explain_validation(error, where, MelSpec)) from error


def _add_normalisation(
    path: Path,
    form: CheckpointFormat,
    network: NetworkState,
    sidecar: SidecarConfig,
    spec: MelSpec,
    named: bool,
    statistics: str | Path | None,
) -> MelSpec:
    """Add statistics: given ones, those in the checkpoint, or those of a sidecar file."""
    if statistics is not None:
        return with_statistics(spec, Path(statistics))
    if spec.normalisation is not None or not form.statistics or not sidecar.normalises:
        return spec
    mean, scale = (network.state.get(name) for name in ("mean", "scale"))
    if network.normal:
        mean, scale = _joint_model_statistics(path, network, sidecar)
    if mean is not None and scale is not None:
        if bool((mean == 0).all()) and bool((scale == 1).all()):
            return spec
        if not mean.shape == scale.shape == torch.Size([spec.n_mels]) or bool((scale <= 0).any()):
            raise WavewrightError(f"{path}: 'mean' and 'scale' are no statistics of its mels")
        how = StatisticsNormalisation(mean=tuple(mean.tolist()), scale=tuple(scale.tolist()))
        return spec.model_copy(update={"normalisation": how})
    if sidecar.statistics is not None:
        return with_statistics(spec, sidecar.statistics)
    if named:
        return spec
    raise WavewrightError(
        f"{path}: mels of {form.system} are normalised by statistics, and neither stats.h5 nor "
        "stats.npy is beside it. Say where they are (--statistics FILE), or name the mel as it "
        "is, without them (--mel PRESET)"
    )


def _joint_model_statistics(
    path: Path, network: NetworkState, sidecar: SidecarConfig
) -> tuple[Tensor, Tensor]:
    """Mean and scale by which the joint model around the network normalises."""
    try:
        mean, scale = network.normal["mean"], network.normal["std"]
    except KeyError as error:
        raise WavewrightError(f"{path}: normalize.{error.args[0]} is missing") from error
    mean = mean if sidecar.centres else torch.zeros_like(mean)
    return mean, scale if sidecar.scales else torch.ones_like(scale)


def describe_mel(spec: MelSpec, likely: Sequence[str] = ()) -> str:
    """Describe a convention by its preset's name, preferring the likely ones."""
    for name in (*likely, *MelSpec.presets()):
        differing = MelSpec.preset(name).bands_first.differences(spec.bands_first)
        if differing.keys() <= {"normalisation"}:
            return f"'{name}' with statistics" if differing else f"'{name}'"
    return (
        f"of its own ({spec.n_mels} bands, {spec.sample_rate} Hz, hop {spec.hop_length}, "
        f"{spec.fmin:g}-{spec.fmax:g} Hz)"
    )
