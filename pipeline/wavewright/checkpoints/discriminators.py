"""Discriminators of a vocoder in one file: kept beside it, for trainings that start from it.

    hifigan.safetensors                what generate() needs
    hifigan.adversaries.safetensors    raw weights of its discriminators

The second names the first in its metadata, by its sha256. Checkpoints of our own
trainings have theirs in `training.pt` (checkpoint.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from wavewright.errors import WavewrightError
from wavewright.io.files import atomic_write, default_file_mode, sha256_of

_ABOUT = "wavewright-adversaries"
_FORMAT = 1
Players = dict[str, dict[str, Tensor]]


def discriminators_file(weights: Path) -> Path:
    """Path of the discriminators of a vocoder's file."""
    return weights.with_name(f"{weights.stem}.adversaries.safetensors")


def write_discriminators(
    weights: Path, players: Mapping[str, Mapping[str, Tensor]], digest: str
) -> Path:
    """Write discriminators beside a vocoder's file.

    Args:
        weights: the vocoder's file.
        players: state dicts by player.
        digest: sha256 of the vocoder's file, which may not have its final name yet.

    Returns:
        The file.
    """
    from safetensors.torch import save_file

    path = discriminators_file(weights)
    state = {
        f"{player}/{key}": value.detach().cpu().contiguous().clone()
        for player, tensors in players.items()
        for key, value in tensors.items()
    }
    about = {"format": _FORMAT, "sha256": digest}
    with atomic_write(path) as scratch, default_file_mode(scratch):
        save_file(state, scratch, metadata={_ABOUT: json.dumps(about, sort_keys=True)})
    return path


def read_discriminators(weights: Path) -> Players:
    """Read the discriminators beside a vocoder's file: state dicts by player, maybe none.

    Raises:
        WavewrightError: the file is damaged or belongs to another vocoder.
    """
    from safetensors import SafetensorError, safe_open

    path = discriminators_file(weights)
    if not path.is_file():
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get(_ABOUT, "null"))
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise WavewrightError(f"{path}: not a readable safetensors file ({error})") from error
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise WavewrightError(f"{path}: holds no adversaries that Wavewright wrote; remove it")
    if about.get("sha256") != sha256_of(weights):
        raise WavewrightError(
            f"{path}: belongs to another file than {weights.name} is now (by its sha256): import "
            "both again, or remove it to start with a fresh adversary"
        )
    players: Players = {}
    for key, value in state.items():
        if not torch.isfinite(value).all():
            raise WavewrightError(f"{path}: the weights in '{key}' are not finite")
        player, _, name = key.partition("/")
        players.setdefault(player, {})[name] = value
    return players
