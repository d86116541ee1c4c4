"""State dicts of other toolkits' checkpoints, read without running any code."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from wavewright.checkpoints.pickle_reader import CheckpointContents, read_pickled_checkpoint
from wavewright.errors import WavewrightError
from wavewright.nn.weight_norm import fold_weight_norm

_IN_FOLDERS = ("model.safetensors", "pytorch_model.bin")
_DOUBLE = torch.float64
log = logging.getLogger("wavewright")
_WRAPPERS = ("module.", "tts.generator.vocoder.", "generator.vocoder.", "vocoder.")
_NORMAL = re.compile(r"(?:.*\.)?normalize\.(mean|std)")


class NetworkState(NamedTuple):
    """One state dict of a file, weight norm folded, values in float32.

    Attributes:
        place: location in the file and prefix of its keys.
        within: the model that it is a part of, by the prefix of its keys; "" where it is alone.
        state: the tensors.
        normal: `mean` and `std` by which the model that it is a part of normalises its mels.
    """

    place: str
    within: str
    state: dict[str, Tensor]
    normal: Mapping[str, Tensor] = {}


def checkpoint_file(path: Path) -> Path:
    """Path of the weights: the file itself, or the known name in a folder.

    Raises:
        WavewrightError: there is none.
    """
    if path.is_dir():
        for name in _IN_FOLDERS:
            if (path / name).is_file():
                return path / name
        raise WavewrightError(f"{path}: a folder without {' or '.join(_IN_FOLDERS)}; name the file")
    if not path.is_file():
        raise WavewrightError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise WavewrightError(f"{path}: the file is empty")
    return path


def open_checkpoint(path: Path) -> CheckpointContents:
    """Read a checkpoint of torch.save or safetensors.

    Raises:
        WavewrightError: it is neither, is damaged, or is ours already.
    """
    if path.suffix == ".safetensors":
        contents = CheckpointContents({"": _safetensors(path)}, 0)
    else:
        contents = read_pickled_checkpoint(path)
    size = path.stat().st_size
    for state in contents.states.values():
        for key, value in state.items():
            if max([value.numel() * value.element_size(), *value.shape]) > size:  # by strides of 0
                raise WavewrightError(
                    f"{path}: '{key}' claims {tuple(value.shape)} numbers, more than the file has"
                )
    _warn_if_rounded(path, contents.states.values())
    if not contents.step and (named := re.fullmatch(r"g_(\d+)", path.name)):
        contents = contents._replace(step=int(named[1]))
    return contents


def find_networks(contents: CheckpointContents) -> Iterator[NetworkState]:
    """Yield every state dict of a file, as it is and without its wrappers."""
    for place, state in contents.states.items():
        yield NetworkState(place, "", _fold(state))
        for prefix in _WRAPPERS:
            inner = {
                key.removeprefix(prefix): value
                for key, value in state.items()
                if key.startswith(prefix)
            }
            if inner:
                within = "" if prefix == "module." else prefix
                inner_place = f"{place}.{prefix}".strip(".")
                yield NetworkState(
                    inner_place, within, _fold(inner), _global_mvn(state) if within else {}
                )


def _global_mvn(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Statistics of ESPnet's global_mvn, stored beside its networks."""
    statistics = {match[1]: state[key] for key in state if (match := _NORMAL.fullmatch(key))}
    return {name: value.detach().double() for name, value in statistics.items()}


def _warn_if_rounded(path: Path, states: Iterable[dict[str, Tensor]]) -> None:
    double = [key for state in states for key, value in state.items() if value.dtype is _DOUBLE]
    if double:
        log.warning(
            "%s: '%s' and %d other tensors are float64; they are rounded to float32",
            path, double[0], len(double) - 1,
        )  # fmt: skip


def _fold(state: dict[str, Tensor]) -> dict[str, Tensor]:
    complete = {key: value for key, value in state.items() if _has_both_halves(key, state)}
    return fold_weight_norm(
        {k: v.detach().float() if v.is_floating_point() else v for k, v in complete.items()}
    )


_OTHER_HALF = {"weight_g": "weight_v", "original0": "original1", "original1": "original0"}


def _has_both_halves(key: str, state: dict[str, Tensor]) -> bool:
    """True unless the key is half of an incomplete weight norm."""
    stem, _, attribute = key.rpartition(".")
    return attribute not in _OTHER_HALF or f"{stem}.{_OTHER_HALF[attribute]}" in state


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            ours = "wavewright" in (file.metadata() or {})
            state: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WavewrightError(f"{path}: not a readable safetensors file ({error})") from error
    if ours:
        raise WavewrightError(f"{path}: is Wavewright's own already and needs no import")
    if not state:
        raise WavewrightError(f"{path}: holds no tensors")
    return state


def require_finite(path: Path, state: dict[str, Tensor]) -> None:
    """Raise a WavewrightError naming the first tensor with a NaN or an infinity."""
    for key, value in state.items():
        if not bool(torch.isfinite(value).all()):
            raise WavewrightError(f"{path}: the weights in '{key}' are not finite")
