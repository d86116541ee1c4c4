"""Checkpoints as other toolkits save them, for tests of importing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wavewright.checkpoints.checkpoint import load_model
from wavewright.interop.importing.convert import ImportedModel
from wavewright.models.vocoder import Vocoder
from wavewright.nn.weight_norm import fold_weight_norm
from wavewright.registry import create_vocoder

State = dict[str, Tensor]


def official_file(folder: Path, state: State, wrapped: Callable[[State], Any], name: str) -> Path:
    path = folder / name
    torch.save(wrapped(state), path)
    return path


def in_generator(state: State) -> dict[str, Any]:
    return {"generator": state}


def beside_a_larger_discriminator(state: State) -> dict[str, Any]:
    larger = {"discriminators.0.weight": torch.zeros(4_000_000)}
    return {
        "model": {"generator": state, "discriminator": larger},
        "optimizer": {"generator": {"state": {0: {"exp_avg": torch.zeros(3)}}}},
        "steps": 400_000,
    }


def of_park(state: State) -> dict[str, Any]:
    return {"model_g": state, "model_d": {"d.weight": torch.zeros(4_000_000)}, "step": 7}


def bare(state: State) -> State:
    return state


def loaded(made: ImportedModel) -> Any:
    assert made.out is not None
    return load_model(made.out)


def spelled(state: State, spelling: str) -> State:
    if spelling == "plain":
        return fold_weight_norm(state)
    new = {"weight_g": "original0", "weight_v": "original1"}
    respelled = {}
    for key, value in state.items():
        stem, _, attribute = key.rpartition(".")
        name = f"parametrizations.weight.{new[attribute]}" if attribute in new else attribute
        respelled[f"{stem}.{name}"] = value
    return respelled


def random_twin(name: str, **changes: Any) -> Vocoder:
    torch.manual_seed(0)
    return create_vocoder(name, **changes).eval()


def small_hifigan() -> State:
    """Weights of a HiFi-GAN, whose names are jik876's."""
    fields = {"upsample_rates": (16, 16), "upsample_kernel_sizes": (32, 32)}
    return random_twin("hifigan", **fields, upsample_initial_channel=8).inference_state()
