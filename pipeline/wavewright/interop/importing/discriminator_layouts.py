"""Discriminators of each toolkit: key names, and our fields read from shapes and settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from wavewright.nn.spectral import RESOLUTIONS

State = dict[str, Tensor]
Settings = Mapping[str, Any]


class UnsupportedDiscriminators(Exception):
    """Discriminators that ours cannot represent; the message says why."""


@dataclass(frozen=True)
class DiscriminatorLayout:
    """Key names of a toolkit's discriminators.

    Attributes:
        stem: pattern of all their keys' beginnings, after whatever they lie in.
        names: patterns of their modules' paths, and ours for them.
        fields: our configuration, read off the renamed tensors and the configuration beside.
        left_out: pattern of ends of keys that are no weights.
    """

    stem: str
    names: tuple[tuple[str, str], ...]
    fields: Callable[[State, Settings], dict[str, Any]]
    left_out: str = r"(?!)"


_PERIODS = (2, 3, 5, 7, 11)


def _count(state: State, pattern: str) -> int:
    return len({match[1] for key in state if (match := re.match(pattern, key))})


def _rows(state: State, path: str) -> int:
    """Number of output channels of a module."""
    return state[f"{path}.bias"].shape[0]


def _kernel(state: State, path: str) -> torch.Size:
    names = ("weight", "weight_v", "weight_orig", "parametrizations.weight.original1")
    weight = next((state[f"{path}.{n}"] for n in names if f"{path}.{n}" in state), None)
    if weight is None:
        raise KeyError(f"{path}.weight")
    return weight.shape[2:]


def _periods(state: State, settings: Settings) -> dict[str, Any]:
    count = _count(state, r"multi_period\.discriminators\.(\d+)\.")
    periods = tuple(settings.get("periods", _PERIODS))
    if len(periods) != count:
        raise UnsupportedDiscriminators(
            f"it has discriminators of {count} periods, which no sidecar configuration lists"
        )
    width = _rows(state, "multi_period.discriminators.0.convs.0")
    return {"periods": periods, "width_divisor": 32 // max(width, 1)}


def _hifigan(state: State, settings: Settings) -> dict[str, Any]:
    first = "multi_scale.discriminators.0.convs.0."
    spectral = [f"{first}weight_orig", f"{first}parametrizations.weight.original"]
    return {
        **_periods(state, settings),
        "scales": _count(state, r"multi_scale\.discriminators\.(\d+)\."),
        "period_last_kernel": _kernel(state, "multi_period.discriminators.0.conv_post")[0],
        "spectral_first": any(key in state for key in spectral),
    }


def _hayashis_hifigan(state: State, settings: Settings) -> dict[str, Any]:
    if "scale_strides" not in settings:
        raise UnsupportedDiscriminators(
            "no configuration beside it has the strides of its discriminators"
        )
    return {**_hifigan(state, settings), "scale_strides": tuple(settings["scale_strides"])}


def _melgan(state: State, settings: Settings) -> dict[str, Any]:
    return {
        "scales": _count(state, r"discriminators\.(\d+)\."),
        "base_channels": _rows(state, "discriminators.0.convs.0"),
        "downsamplings": _count(state, r"discriminators\.0\.convs\.(\d+)\.") - 2,
    }


def _parallel_wavegan(state: State, settings: Settings) -> dict[str, Any]:
    layers = _count(state, r"convs\.(\d+)\.") + 1
    return {"layers": layers, "channels": _rows(state, "convs.0")}


def _bigvgan(state: State, settings: Settings) -> dict[str, Any]:
    resolutions = settings.get("resolutions", RESOLUTIONS)
    return {
        **_periods(state, settings),
        "resolutions": tuple(tuple(sizes) for sizes in resolutions),
    }


def _vocos(state: State, settings: Settings) -> dict[str, Any]:
    count = _count(state, r"multi_resolution\.discriminators\.(\d+)\.")
    sizes = tuple(settings.get("fft_sizes", (2048, 1024, 512)))
    if len(sizes) != count:
        raise UnsupportedDiscriminators(
            f"it has discriminators of {count} resolutions, whose sizes are unknown"
        )
    return {**_periods(state, settings), "fft_sizes": sizes}


_PERIOD_NAMES = (
    r"(?:mpd|multiperioddisc)\.discriminators\.(\d+)\.(convs\.\d+|conv_post)",
    r"multi_period.discriminators.\1.\2",
)
_HIFIGAN = DiscriminatorLayout(
    r"m[ps]d\.discriminators\.",
    (
        _PERIOD_NAMES,
        (
            r"msd\.discriminators\.(\d+)\.(convs\.\d+|conv_post)",
            r"multi_scale.discriminators.\1.\2",
        ),
    ),
    _hifigan,
)
_NUMBER = r"discriminators\.(\d+)"
_HAYASHIS_HIFIGAN = DiscriminatorLayout(
    r"m[ps]d\.discriminators\.",
    (
        (
            r"mpd\.discriminators\.(\d+)\.convs\.(\d+)\.0",
            r"multi_period.discriminators.\1.convs.\2",
        ),
        (r"mpd\.discriminators\.(\d+)\.output_conv", r"multi_period.discriminators.\1.conv_post"),
        (
            r"msd\.discriminators\.(\d+)\.layers\.(\d+)\.0",
            r"multi_scale.discriminators.\1.convs.\2",
        ),
        (r"msd\.discriminators\.(\d+)\.layers\.\d+", r"multi_scale.discriminators.\1.conv_post"),
    ),
    _hayashis_hifigan,
)
_HAYASHIS_MELGAN = DiscriminatorLayout(
    r"discriminators\.\d+\.layers\.",
    (
        (r"discriminators\.(\d+)\.layers\.0\.1", r"discriminators.\1.convs.0"),
        (r"discriminators\.(\d+)\.layers\.(\d+)\.0", r"discriminators.\1.convs.\2"),
        (r"discriminators\.(\d+)\.layers\.\d+", r"discriminators.\1.conv_post"),
    ),
    _melgan,
)
_PARKS_MELGAN = DiscriminatorLayout(
    r"discriminators\.\d+\.discriminator\.",
    (
        (r"discriminators\.(\d+)\.discriminator\.0\.1", r"discriminators.\1.convs.0"),
        (r"discriminators\.(\d+)\.discriminator\.(\d+)\.0", r"discriminators.\1.convs.\2"),
        (r"discriminators\.(\d+)\.discriminator\.\d+", r"discriminators.\1.conv_post"),
    ),
    _melgan,
)
_DESCRIPTS_MELGAN = DiscriminatorLayout(
    r"model\.disc_\d+\.",
    (
        (r"model\.disc_(\d+)\.model\.layer_0\.1", r"discriminators.\1.convs.0"),
        (r"model\.disc_(\d+)\.model\.layer_(\d+)\.0", r"discriminators.\1.convs.\2"),
        (r"model\.disc_(\d+)\.model\.layer_\d+", r"discriminators.\1.conv_post"),
    ),
    _melgan,
)
_PARALLEL_WAVEGAN = DiscriminatorLayout(
    r"conv_layers\.\d+\.(?:bias|weight|parametrizations)",
    ((r"(conv_layers\.\d+)", r"\1"),),
    _parallel_wavegan,
)
_BIGVGAN = DiscriminatorLayout(
    r"m[pr]d\.discriminators\.",
    (
        _PERIOD_NAMES,
        (
            r"mrd\.discriminators\.(\d+)\.(convs\.\d+|conv_post)",
            r"multi_resolution.discriminators.\1.\2",
        ),
    ),
    _bigvgan,
)
_VOCOS = DiscriminatorLayout(
    r"multi(?:period|resd)disc\.discriminators\.",
    (
        _PERIOD_NAMES,
        (
            r"multiresddisc\.discriminators\.(\d+)\.(band_convs\.\d+\.\d+|conv_post)",
            r"multi_resolution.discriminators.\1.\2",
        ),
    ),
    _vocos,
    left_out=r"\.spec_fn\.window$",
)
LAYOUTS: dict[str, tuple[DiscriminatorLayout, ...]] = {
    "hifigan": (_HIFIGAN,),
    "bigvgan": (_BIGVGAN,),
    "melgan": (_DESCRIPTS_MELGAN,),
    "melgan-seungwonpark": (_PARKS_MELGAN,),
    "pwg-hifigan": (_HAYASHIS_HIFIGAN,),
    "pwg-melgan": (_HAYASHIS_MELGAN,),
    "pwg-multiband-melgan": (_HAYASHIS_MELGAN,),
    "parallel-wavegan": (_PARALLEL_WAVEGAN,),
    "vocos": (_VOCOS,),
}
