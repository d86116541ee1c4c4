"""Training on several processes: each takes a share of every batch, and gradients are averaged.

`launch` or torchrun starts the processes. An adversarial step has several forward passes and
steps players in turn, which torch's DistributedDataParallel does not expect; so the gradients of
the player that steps are averaged here, in buckets, after its backward pass.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from wavewright.training.heartbeat import RENDEZVOUS_FILE

T = TypeVar("T")
_BUCKET = 2**23  # numbers reduced together
_TIMEOUT = timedelta(hours=1)  # others wait while the first process validates


class World:
    """Processes that train together, seen from this one.

    Attributes:
        rank: number of this process; 0 writes, validates and logs.
        size: number of processes.
    """

    def __init__(self, rank: int = 0, size: int = 1, device: torch.device | None = None) -> None:
        self.rank, self.size = rank, size
        self.device = device or torch.device("cpu")

    @property
    def is_main(self) -> bool:
        """True in the process that writes, validates and logs."""
        return self.rank == 0

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes."""
        if self.size == 1:
            return
        for bucket in _buckets([p.grad for p in parameters if p.grad is not None]):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            dist.all_reduce(flat)
            flat /= self.size
            means = torch.split(flat, [gradient.numel() for gradient in bucket])
            for gradient, mean in zip(bucket, means, strict=True):
                gradient.copy_(mean.view_as(gradient))

    def mean(self, logs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Mean of every scalar over the processes."""
        if self.size == 1 or not logs:
            return dict(logs)
        values = torch.stack([value.float().reshape(()) for value in logs.values()])
        values = values.to(self.device)
        dist.all_reduce(values)
        return dict(zip(logs, (values / self.size).cpu(), strict=True))

    def max(self, number: int) -> int:
        """Largest of the processes' numbers."""
        if self.size == 1:
            return number
        value = torch.tensor(number, device=self.device)
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return int(value)

    def gather(self, item: T) -> list[T]:
        """Items of all processes, by rank."""
        if self.size == 1:
            return [item]
        items: list[T] = [item] * self.size
        dist.all_gather_object(items, item)
        return items

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            self.max(0)


@contextmanager
def join_world(device: torch.device) -> Iterator[World]:
    """Join the processes that this one was started with; alone, a world of one.

    Args:
        device: device of this process's model; NCCL carries gradients of GPUs, gloo others.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    rendezvous = os.environ.get(RENDEZVOUS_FILE)
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=f"file://{rendezvous}" if rendezvous else "env://",
        rank=int(os.environ["RANK"]),
        world_size=size,
        timeout=_TIMEOUT,
    )
    try:
        yield World(dist.get_rank(), size, device)
    finally:
        dist.destroy_process_group()


def local_rank() -> int:
    """Number of this process; 0 where it is alone."""
    return int(os.environ.get("RANK", "0"))


def local_device(name: str) -> str:
    """Device of this process: `auto` and `cuda` mean the GPU of its local rank."""
    rank = os.environ.get("LOCAL_RANK")
    if rank is None or name not in ("auto", "cuda") or not torch.cuda.is_available():
        return name
    torch.cuda.set_device(int(rank))
    return f"cuda:{rank}"


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Group gradients into lists of one type, of about `_BUCKET` numbers each."""
    bucket: list[Tensor] = []
    count = 0
    for gradient in gradients:
        if bucket and (count + gradient.numel() > _BUCKET or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket, count = [], 0
        bucket.append(gradient)
        count += gradient.numel()
    if bucket:
        yield bucket
