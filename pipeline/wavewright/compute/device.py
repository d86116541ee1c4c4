"""Device selection and deterministic arithmetic."""

from __future__ import annotations

import os

import torch

from wavewright.errors import WavewrightError


def pick_device(name: str) -> torch.device:
    """Resolve a device name; `auto` is the first GPU, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch built without CUDA
        raise WavewrightError(
            f"device '{name}' is unknown or not there; use auto, cpu or cuda"
        ) from error


def pick_devices(first: torch.device, count: int) -> list[torch.device]:
    """List `count` GPUs from the first on, or the CPU `count` times."""
    if first.type == "cpu":
        return [first] * count
    start, there = first.index or 0, torch.cuda.device_count()
    if start + count > there:
        raise WavewrightError(
            f"{count} GPUs are asked for, from number {start} on, but there are {there}"
        )
    return [torch.device("cuda", start + number) for number in range(count)]


def set_deterministic(enabled: bool) -> None:
    """Ask torch for algorithms that give the same bits at every run.

    An operation that has none warns and goes on: some padding has none on a GPU.
    """
    if enabled:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(enabled, warn_only=True)
