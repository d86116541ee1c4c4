"""Inputs and outputs of the official implementations, for conformance tests.

A folder of `shared/fixtures` holds one run of somebody else's published code: its configuration,
inputs and outputs, how far a float32 reimplementation may stray, and its weights, either stored or
as a rule that makes them again bit by bit.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor


@dataclass(frozen=True)
class OfficialRun:
    """One folder of official inputs, outputs and weights."""

    folder: Path
    meta: dict[str, Any]
    config: dict[str, Any]
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]

    @property
    def tolerance(self) -> dict[str, float]:
        """The largest absolute difference allowed per output in float32, on any device."""
        return dict(self.meta["tolerance_float32_max_abs"])

    @cached_property
    def state_dict(self) -> dict[str, Tensor]:
        """The official weights under the official keys."""
        return official_weights(self.folder)


#: What the `fixture_folder` pytest fixture is: a folder's name -> its contents.
FixtureFolder = Callable[[str], OfficialRun]


def load_official(folder: Path) -> OfficialRun:
    """Read one folder; weights are made or read when they are asked for."""
    with np.load(folder / "io.npz") as arrays:
        values = {name: arrays[name] for name in arrays.files}
    config = folder / "config.json"
    return OfficialRun(
        folder=folder,
        meta=json.loads((folder / "meta.json").read_text()),
        config=json.loads(config.read_text()) if config.exists() else {},
        inputs={k.removeprefix("in_"): v for k, v in values.items() if k.startswith("in_")},
        outputs={k.removeprefix("out_"): v for k, v in values.items() if k.startswith("out_")},
    )


def official_weights(folder: Path) -> dict[str, Tensor]:
    """The state dict of a folder: made from weights_spec.json, stored tensors taken as they are."""
    specification = json.loads((folder / "weights_spec.json").read_text())
    stored: dict[str, Tensor] = {}
    for name in ("weights.safetensors", "explicit.safetensors"):
        if (folder / name).exists():
            stored |= load_file(folder / name)
    made: dict[str, Tensor] = {}
    # A weight-norm gain is made from its direction, wherever the file lists it.
    for key, rule in sorted(specification["keys"].items(), key=lambda item: item[1]["kind"] == "g"):
        made[key] = stored[key] if key in stored else _made(key, rule, specification["seed"], made)
    return {key: made[key] for key in specification["keys"]}


def _made(key: str, rule: dict[str, Any], seed: int, made: dict[str, Tensor]) -> Tensor:
    """One tensor by the rule that shared/fixtures/README.json states as `weights_rule`."""
    random = np.random.RandomState((zlib.crc32(key.encode()) ^ seed) & 0xFFFFFFFF)
    shape = rule["shape"]
    match rule["kind"]:
        case "n":
            values = rule["scale"] * random.standard_normal(shape)
        case "bn":
            values = 1 + 0.2 * random.standard_normal(shape)
        case "var":
            values = 1 + 0.5 * random.random_sample(shape)
        case "int0":
            return torch.zeros(shape, dtype=torch.int64)
        case "g":
            direction = made[key.removesuffix("_g") + "_v"].double()
            norm = direction.flatten(1).norm(dim=1).reshape(shape)
            values = rule["scale"] * norm.numpy()
        case kind:
            raise ValueError(f"weights_spec.json: {key} has kind {kind!r}, and nothing stores it")
    return torch.from_numpy(np.asarray(values, dtype=np.float32))
