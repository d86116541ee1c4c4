"""Memory that a training needs, estimated before its first step."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from wavewright.errors import WavewrightError, is_out_of_memory

_GIB = 2**30
#: Peak over estimate; on a CPU it was 1.2 to 2 with V1, V3 and MelGAN.
_PEAK_RATIO = 1.5


class MemoryEstimate(NamedTuple):
    """Memory of a training step, in bytes.

    Attributes:
        fixed: weights, gradients, optimizer states, averages.
        activations: tensors that the largest update keeps for its backward pass.
        free: free memory of the device; None where that is unknown.
    """

    fixed: int
    activations: int
    free: int | None

    def __str__(self) -> str:
        total = (self.fixed + self.activations) / _GIB
        free = "" if self.free is None else f" of {self.free / _GIB:.1f} GiB free"
        return (
            f"at least {total:.2f} GiB{free}: {self.fixed / _GIB:.2f} for weights, gradients and "
            f"optimisers, {self.activations / _GIB:.2f} for one pass"
        )

    @property
    def fits(self) -> bool:
        """True if it leaves room for temporary tensors."""
        return self.free is None or _PEAK_RATIO * (self.fixed + self.activations) < self.free


def estimate_memory(
    players: Mapping[str, nn.Module],
    updates: Mapping[int, Callable[[], Iterator[Any]]],
    *,
    crops: int,
    device: torch.device,
    averaged: bool,
) -> MemoryEstimate:
    """Run the updates of small batches without stepping, and count what autograd would keep.

    That is a constant (normalised weights) and a part that grows with the batch; two sizes of
    batch separate them.

    Args:
        players: all networks; their buffers do not change.
        updates: functions that make the updates of a batch, by its number of crops; one or two.
        crops: crops in the batches to train on.
        device: device of the players.
        averaged: True if the generator's weights are averaged.
    """
    weights = {name: sum(map(_size, player.parameters())) for name, player in players.items()}
    fixed = 4 * sum(weights.values()) + (weights["generator"] if averaged else 0)
    owned = {
        tensor.untyped_storage().data_ptr()
        for player in players.values()
        for tensor in (*player.parameters(), *player.buffers())
    }
    with _unchanged_buffers(players.values()):
        sizes = {size: _bytes_kept(make, owned) for size, make in sorted(updates.items())}
    (first, small), (second, large) = min(sizes.items()), max(sizes.items())
    each = (large - small) / (second - first) if second > first else small / first
    return MemoryEstimate(
        fixed, int(max(small, small + each * (crops - first))), free_memory(device)
    )


def _bytes_kept(updates: Callable[[], Iterator[Any]], owned: set[int]) -> int:
    """Bytes that the largest update keeps for its backward pass, besides the `owned` storages."""
    largest = 0
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in owned:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        for update in updates():
            largest = max(largest, sum(storages.values()))
            storages.clear()
            del update
    return largest


def free_memory(device: torch.device) -> int | None:
    """Free memory of a device in bytes; None where that is unknown."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    with contextlib.suppress(OSError, ValueError), open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable"):
                return int(line.split()[1]) * 1024
    return None


@contextlib.contextmanager
def oom_hint(step: int, device: torch.device, remedy: str) -> Iterator[None]:
    """Turn a failed allocation into an error with its remedy."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise WavewrightError(
            f"out of memory on {device} at step {step}: {remedy}. The last checkpoint is intact."
        ) from error


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


@contextlib.contextmanager
def _unchanged_buffers(players: Iterable[nn.Module]) -> Iterator[None]:
    buffers = [(buffer, buffer.clone()) for player in players for buffer in player.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
