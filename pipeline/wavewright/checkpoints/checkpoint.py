"""Checkpoints: written atomically, hashed, and safe to load.

A run folder holds `step-00010000/` folders, each published by one rename:

    vocoder.safetensors   what generate() needs; config and MelSpec in its metadata; shareable
    training.pt           raw weights, discriminators, optimizers (plain values, weights_only)
    checkpoint.json       sha256 of both

and `best.json`, which names the best step by a validation metric.

torch and safetensors do not notice a flipped bit, so the hash is checked here.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import torch

from wavewright import registry
from wavewright.errors import WavewrightError
from wavewright.io.files import (
    default_file_mode,
    fsync_path,
    os_error_context,
    sha256_of,
    write_text,
)
from wavewright.io.torch_files import open_torch_file
from wavewright.models.base import Model
from wavewright.models.vocoder import Vocoder

_FORMAT = 1
_SUMS = "checkpoint.json"
_BEST = "best.json"
log = logging.getLogger("wavewright")


def save_checkpoint(
    run: str | Path, step: int, model: Model, training: dict[str, Any] | None = None
) -> Path:
    """Write `run/step-N/` atomically.

    Args:
        run: the run's folder.
        step: number of training steps taken.
        model: whose inference weights are saved.
        training: state that only a resumed training needs; tensors and plain values.

    Returns:
        The step's folder.
    """
    run = Path(run)
    folder = run / f"step-{step:08d}"
    scratch = run / f".step-{step:08d}.partial"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    write_weights(scratch / f"{model.kind}.safetensors", model, step)
    if training is not None:
        with os_error_context(scratch / "training.pt"):
            torch.save(_canonical(training), scratch / "training.pt")
    digests = {path.name: sha256_of(path) for path in sorted(scratch.iterdir())}
    (scratch / _SUMS).write_text(
        json.dumps({"format": _FORMAT, "step": step, "sha256": digests}, indent=1)
    )
    for path in [*scratch.iterdir(), scratch]:
        fsync_path(path)
    if folder.exists():  # the same step, saved again after a resume
        shutil.rmtree(folder)
    os.rename(scratch, folder)
    fsync_path(run)
    return folder


def _canonical(value: Any) -> Any:
    """Value rebuilt so that it always pickles to the same bytes.

    pickle writes an object once and then refers to it; whether two equal strings or tuples are one
    object depends on whether the training was resumed.
    """
    if isinstance(value, str):
        return sys.intern(str(value))
    if isinstance(value, dict):
        return {_canonical(key): _canonical(inner) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_canonical, value))
    return value


def write_weights(path: Path, model: Model, step: int, *, dtype: torch.dtype | None = None) -> None:
    """Write a model's inference weights, with everything needed to load them again.

    Args:
        path: the .safetensors file.
        model: the model.
        step: recorded in the file.
        dtype: store floating-point weights in this type; None keeps theirs.
    """
    from safetensors.torch import save_file

    state = {
        key: (value.to(dtype) if dtype and value.is_floating_point() else value)
        .detach()
        .cpu()
        .contiguous()
        .clone()
        for key, value in model.inference_state().items()
    }
    about = {
        "format": _FORMAT,
        "kind": model.kind,
        "name": model.name,
        "config": model.config.model_dump(mode="json"),
        "step": step,
    }
    with default_file_mode(path), os_error_context(path):
        save_file(state, path, metadata={"wavewright": json.dumps(about, sort_keys=True)})


def load_model(path: str | Path, device: torch.device | str = "cpu") -> Model:
    """Load a vocoder or acoustic model for inference, in eval mode.

    Args:
        path: a `.safetensors` file of ours, a step folder, or a run folder (its best step, or
            its newest intact one where none is marked).
        device: where to put it.

    Raises:
        WavewrightError: missing, damaged or foreign file, with what to do.
    """
    path = weights_file(path)
    about, state = read_weights(path)
    try:
        model: Model = registry.create_model(about["kind"], about["name"], **about["config"])
        model.load_inference_state(state)
    except WavewrightError as error:
        raise WavewrightError(f"{path}: {error}") from error
    return model.to(device).eval()


def weights_file(path: str | Path) -> Path:
    """Path of the `.safetensors` file that `load_model` reads for a path.

    Raises:
        WavewrightError: there is none, or its hash does not hold.
    """
    path = Path(path)
    if path.is_dir():
        return _weights_in(path)
    if (path.parent / _SUMS).is_file() and (problem := find_damage(path.parent, only=path.name)):
        raise WavewrightError(f"{path.parent}: {problem}")
    return path


def load_vocoder(path: str | Path, device: torch.device | str = "cpu") -> Vocoder:
    """Load a vocoder for inference: `load_model`, refusing acoustic models."""
    model = load_model(path, device)
    if not isinstance(model, Vocoder):
        raise WavewrightError(f"{path}: holds the {model.kind} model '{model.name}', not a vocoder")
    return model


def read_weights(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read a weights file of ours: its metadata, and its tensors as float32."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise WavewrightError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("wavewright", "null"))
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise WavewrightError(f"{path}: not a readable safetensors file ({error})") from error
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise WavewrightError(
            f"{path}: a safetensors file, but not one that Wavewright wrote (no such metadata)"
        )
    for key, value in state.items():
        if not torch.isfinite(value).all():
            raise WavewrightError(f"{path}: the weights in '{key}' are not finite")
    return about, {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


def load_training(folder: Path) -> dict[str, Any]:
    """Load the training state that `save_checkpoint` wrote; runs no code from the file."""
    path = folder / "training.pt"
    try:
        with open_torch_file(path, "training state") as file:
            state: dict[str, Any] = torch.load(
                file, map_location="cpu", weights_only=True, mmap=False
            )
    except WavewrightError:
        raise
    except Exception as error:
        raise WavewrightError(f"{path}: not loadable ({error})") from error
    return state


def latest_checkpoint(run: str | Path) -> Path | None:
    """Find the newest step folder whose hashes hold; warn about damaged newer ones.

    Raises:
        WavewrightError: there are checkpoints but all are damaged. Training never restarts
            silently from step 0.
    """
    steps = sorted(Path(run).glob("step-*"), reverse=True)
    for folder in steps:
        problem = find_damage(folder)
        if problem is None:
            return folder
        log.warning("%s: %s; falling back to the checkpoint before it", folder, problem)
    if steps:
        raise WavewrightError(
            f"{run}: all {len(steps)} checkpoints are damaged. Remove them to train from the start."
        )
    return None


def find_damage(folder: Path, *, only: str | None = None) -> str | None:
    """Describe the damage to a step folder, or to one file of it; None if there is none."""
    try:
        sums = json.loads((folder / _SUMS).read_text())
        digests, label = dict(sums["sha256"]), (sums["format"], f"step-{sums['step']:08d}")
    except (OSError, ValueError, KeyError, TypeError):
        return f"{_SUMS} is missing or unreadable"
    if label != (_FORMAT, folder.name):
        return f"{_SUMS} is of format {label[0]} and {label[1]}"
    for name, digest in digests.items():
        if only not in (None, name):
            continue
        if not (folder / name).is_file():
            return f"{name} is missing"
        if sha256_of(folder / name) != digest:
            return f"{name} does not have the sha256 it was saved with"
    return None


def mark_best(run: Path, step: int, metric: str, value: float) -> None:
    """Record in `run/best.json` that a step's checkpoint is the best by a metric."""
    best_mark = {"step": step, "metric": metric, "value": value}
    write_text(run / _BEST, json.dumps(best_mark, indent=1) + "\n", durable=True)


def best_value(run: Path, metric: str, step: int) -> float:
    """Value of the best checkpoint up to a step; infinity if none is marked."""
    best_mark = _read_best(run)
    if best_mark is None or best_mark["metric"] != metric or best_mark["step"] > step:
        return math.inf
    return float(best_mark["value"]) if best_checkpoint(run) else math.inf


def best_checkpoint(run: str | Path) -> Path | None:
    """Step folder that `mark_best` named, if it exists."""
    best_mark = _read_best(Path(run))
    folder = Path(run) / f"step-{best_mark['step']:08d}" if best_mark else None
    return folder if folder is not None and folder.is_dir() else None


def prune(run: Path, *, keep: int) -> None:
    """Remove all but the newest `keep` steps and the best, and what a killed save left."""
    for left in run.glob(".step-*.partial"):
        shutil.rmtree(left)
    best = best_checkpoint(run)
    for folder in sorted(run.glob("step-*"))[:-keep]:
        if folder != best:
            shutil.rmtree(folder)


def _read_best(run: Path) -> dict[str, Any] | None:
    try:
        best_mark = json.loads((run / _BEST).read_text())
        return {
            "step": int(best_mark["step"]),
            "metric": str(best_mark["metric"]),
            "value": float(best_mark["value"]),
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None


def inference_checkpoint(run: Path) -> Path | None:
    """Step folder for inference: the best if one is marked and intact, else the newest."""
    best = best_checkpoint(run)
    if best is not None:
        problem = find_damage(best)
        if problem is None:
            return best
        log.warning("%s: %s; using the newest checkpoint instead of this best one", best, problem)
    return latest_checkpoint(run)


def _weights_in(folder: Path) -> Path:
    if not folder.name.startswith("step-"):
        chosen = inference_checkpoint(folder)
        if chosen is None:
            raise WavewrightError(f"{folder}: holds no checkpoint (no step-* folder)")
        folder = chosen
    elif (problem := find_damage(folder)) is not None:
        raise WavewrightError(f"{folder}: {problem}")
    files = sorted(folder.glob("*.safetensors"))
    if len(files) != 1:
        raise WavewrightError(f"{folder}: expected one .safetensors file, found {len(files)}")
    return files[0]
