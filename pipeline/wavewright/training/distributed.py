"""Training on several processes: each takes a share of every batch, and gradients are averaged.

`launching` or torchrun starts the processes. An adversarial step has several forward passes and
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

from wavewright.training.heartbeat import MEETING

T = TypeVar("T")
_BUCKET = 2**23  # numbers that travel together
_PATIENCE = timedelta(hours=1)  # others wait while the first process validates


class Group:
    """This process among those that train together.

    Attributes:
        rank: its number; 0 writes, validates and reports.
        size: how many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1, device: torch.device | None = None) -> None:
        self.rank, self.size = rank, size
        self.device = device or torch.device("cpu")

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
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
        """The mean of every scalar over the processes."""
        if self.size == 1 or not logs:
            return dict(logs)
        values = torch.stack([value.float().reshape(()) for value in logs.values()])
        values = values.to(self.device)
        dist.all_reduce(values)
        return dict(zip(logs, (values / self.size).cpu(), strict=True))

    def largest(self, number: int) -> int:
        """The largest of the processes' numbers."""
        if self.size == 1:
            return number
        value = torch.tensor(number, device=self.device)
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return int(value)

    def gather(self, item: T) -> list[T]:
        """Every process's item, by rank."""
        if self.size == 1:
            return [item]
        items: list[T] = [item] * self.size
        dist.all_gather_object(items, item)
        return items

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            self.largest(0)


@contextmanager
def group(device: torch.device) -> Iterator[Group]:
    """The group that this process was started in, or a group of one.

    Args:
        device: of this process's model; gradients of a GPU travel by NCCL, others by gloo.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Group()
        return
    meeting = os.environ.get(MEETING)
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=f"file://{meeting}" if meeting else "env://",
        rank=int(os.environ["RANK"]),
        world_size=size,
        timeout=_PATIENCE,
    )
    try:
        yield Group(dist.get_rank(), size, device)
    finally:
        dist.destroy_process_group()


def local_rank() -> int:
    """This process's number in its group; 0 where it is alone."""
    return int(os.environ.get("RANK", "0"))


def local_device(name: str) -> str:
    """The device of this process: of `auto` and `cuda` the GPU that has its local rank."""
    rank = os.environ.get("LOCAL_RANK")
    if rank is None or name not in ("auto", "cuda") or not torch.cuda.is_available():
        return name
    torch.cuda.set_device(int(rank))
    return f"cuda:{rank}"


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Lists of one type, of about `_BUCKET` numbers each."""
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
