"""Training on several processes: each takes a share of every batch, and gradients are averaged.

The processes are torchrun's. An adversarial step has several forward passes and steps players in
turn, which torch's DistributedDataParallel does not expect; so the gradients of the player that
steps are averaged here, in buckets, after its backward pass.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

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

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            self.largest(0)


@contextmanager
def group(device: torch.device) -> Iterator[Group]:
    """The group that torchrun started this process in, or a group of one.

    Args:
        device: of this process's model; gradients of a GPU travel by NCCL, others by gloo.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Group()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Group(dist.get_rank(), size, device)
    finally:
        dist.destroy_process_group()


def local_device(name: str) -> str:
    """The device of this process: of `auto` and `cuda` the GPU that has its local rank."""
    rank = os.environ.get("LOCAL_RANK")
    if rank is None or name not in ("auto", "cuda") or not torch.cuda.is_available():
        return name
    torch.cuda.set_device(int(rank))
    return f"cuda:{rank}"


def launch(module_and_arguments: Sequence[str], *, gpus: int, nodes: int, rendezvous: str) -> int:
    """Run `python -m MODULE ARGUMENTS` in `gpus` processes of this machine, by torchrun.

    Args:
        module_and_arguments: what every process runs.
        gpus: processes here.
        nodes: machines; each runs as many.
        rendezvous: HOST:PORT where the machines meet; empty for one machine.

    Returns:
        The exit code: 128 + signal number if one was passed on.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main

    meeting = ["--standalone"]
    if nodes > 1:
        meeting = [f"--nnodes={nodes}", "--rdzv-backend=c10d", f"--rdzv-endpoint={rendezvous}"]
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // gpus)))
    asked: list[int] = []

    def stop(number: int, _frame: object) -> None:  # torchrun knows no SIGUSR2
        asked.append(number)
        signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGUSR2, stop)
    try:
        main([*meeting, f"--nproc-per-node={gpus}", "-m", *module_and_arguments])
    except SignalException as stopped:
        return 128 + (asked[0] if asked else int(stopped.sigval))
    except ChildFailedError:
        return 1  # which one and why, torchrun and the child have said
    finally:
        signal.signal(signal.SIGUSR2, before)
    return 0


def join_command(job: str, *, gpus: int, nodes: int, rendezvous: str) -> str:
    """What the other machines run to take part; they see the same files."""
    return (
        f"torchrun --nnodes={nodes} --nproc-per-node={gpus} --rdzv-backend=c10d "
        f"--rdzv-endpoint={rendezvous} -m wavewright.worker {job}"
    )


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
