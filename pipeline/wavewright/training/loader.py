"""Batches for the training loop: this process's part of every step, loaded by other processes."""

from __future__ import annotations

import multiprocessing.queues
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from torch.utils.data import DataLoader, Dataset

from wavewright.compute.engines import require_shared_memory
from wavewright.errors import WavewrightError
from wavewright.training.distributed import World
from wavewright.training.options import TrainingOptions
from wavewright.training.signals import ignore_stop_signals

_NO_SHARED_MEMORY = ("shared memory", "unable to write to file", "unable to open shared")


class TrainingData(Protocol):
    """Batches by step.

    Attributes:
        batch_size: items of a step, over all processes.
    """

    batch_size: int

    def __len__(self) -> int:
        """Steps of an epoch."""

    def batch(self, step: int, share: int = 0, shares: int = 1) -> Any:
        """Every `shares`-th item of a step's batch, from number `share` on.

        A function of its arguments alone. The batch has `ids` and the methods `to(device)` and
        `seconds(spec)`.
        """


class _Shares(Dataset[Any]):
    """This process's part of whole steps, as DataLoader workers index it."""

    def __init__(self, data: TrainingData, world: World, accumulate: int) -> None:
        self.data, self.accumulate = data, accumulate
        self.first, self.all = world.rank * accumulate, world.size * accumulate

    def __getitem__(self, step: int) -> list[Any]:
        return [self.data.batch(step, self.first + i, self.all) for i in range(self.accumulate)]


def batches(
    data: TrainingData, start: int, options: TrainingOptions, world: World
) -> Iterator[list[Any]]:
    """This process's share of every step's batch from `start` on, in `options.accumulate` parts.

    Loaded by `options.workers` other processes.

    Raises:
        WavewrightError: /dev/shm has no room for what the workers load.
    """
    if options.workers:
        require_shared_memory("set workers to 0")
    with _shared_memory_hint(options.workers):
        source = iter(
            DataLoader(
                _Shares(data, world, options.accumulate),
                sampler=range(start, options.max_steps),
                batch_size=None,
                num_workers=options.workers,
                worker_init_fn=_start_worker,
            )
        )
    while True:
        with _shared_memory_hint(options.workers):
            shares = next(source, None)
        if shares is None:
            return
        yield shares


def _start_worker(number: int) -> None:
    """Set up a process that loads data, before its first batch."""
    ignore_stop_signals(number)
    queue: Any = multiprocessing.queues.Queue
    queue._on_queue_feeder_error = staticmethod(_end_as_by_sigbus)


def _end_as_by_sigbus(_error: Exception, _batch: object) -> None:
    """End the worker: a batch had no room in /dev/shm, and the training would wait for ever."""
    signal.raise_signal(signal.SIGBUS)


@contextmanager
def _shared_memory_hint(workers: int) -> Iterator[None]:
    """Turn a full /dev/shm, often too small in a container, into an error with its remedy."""
    try:
        yield
    except RuntimeError as error:
        message = f"{error} {error.__cause__ or error.__context__ or ''}"
        if not workers or not any(symptom in message for symptom in _NO_SHARED_MEMORY):
            raise
        raise WavewrightError(
            f"/dev/shm: no room for what {workers} processes load ({error}). Make it larger "
            "(docker run --shm-size) or set workers to 0, which needs none"
        ) from error
