"""Engines of parallel work: joblib worker processes, or a dask cluster.

Both engines submit tasks as needed, yield results as they come, and raise `WorkersDied` when a
worker process was lost. joblib's dask backend only selects the engine: it waits forever for a task
whose worker was killed, so tasks are submitted to the dask client directly.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, TypeVar

from wavewright.errors import MissingExtra, WavewrightError, os_error_reason

Item = TypeVar("Item")
Result = TypeVar("Result")
BACKENDS = ("loky", "dask")
_LIBRARIES = ("librosa", "numpy", "scipy", "soundfile", "soxr", "tgt", "torch", "wavewright")
_SEMAPHORES = 64  # a page each, and more than a pool of processes has
_AHEAD = 2  # tasks per worker in flight: one running, one waiting
_SECONDS_FOR_A_WORKER = 60
log = logging.getLogger("wavewright")


class WorkersDied(Exception):
    """Worker processes died, possibly because of these items (indices)."""

    def __init__(self, suspects: Sequence[int]) -> None:
        super().__init__(f"a worker died at one of the items {list(suspects)}")
        self.suspects = list(suspects)


def require_engine(backend: str, scheduler: str = "") -> None:
    """Check the engine's options before any work."""
    if backend not in BACKENDS:
        raise WavewrightError(f"--backend {backend}: allowed are {', '.join(BACKENDS)}")
    if scheduler and backend != "dask":
        raise WavewrightError(f"--scheduler {scheduler}: belongs to --backend dask")
    if scheduler and not scheduler.startswith(("tcp://", "tls://")):
        raise WavewrightError(
            f"--scheduler {scheduler}: must be tcp://HOST:PORT or tls://HOST:PORT"
        )
    if backend == "dask" and find_spec("distributed") is None:
        raise MissingExtra("--backend dask needs dask.distributed: pip install 'wavewright[dask]'")


@contextmanager
def use_engine(backend: str, scheduler: str = "", jobs: int | None = None) -> Iterator[None]:
    """Run every `parallel_map` inside on this engine.

    Args:
        backend: `loky`: processes of this machine; `dask`: a dask.distributed cluster.
        scheduler: `tcp://HOST:PORT` or `tls://HOST:PORT` of a cluster that runs; without it one is
            started here for the time being, reachable from this machine only.
        jobs: processes of a cluster that is started here; default: one per processor.

    Raises:
        WavewrightError: an unknown backend, or a scheduler that does not answer.
        MissingExtra: dask.distributed is not installed.
    """
    require_engine(backend, scheduler)
    if backend == "loky":
        yield  # joblib's own default
        return
    import joblib

    with _client(scheduler, jobs) as client, joblib.parallel_config(backend="dask", client=client):
        yield


@contextmanager
def _client(scheduler: str, jobs: int | None) -> Iterator[Any]:
    distributed = _distributed()
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is raised
    if not scheduler:
        with (
            distributed.LocalCluster(
                n_workers=jobs if jobs and jobs > 0 else os.cpu_count() or 1,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                memory_limit=0,
                silence_logs=logging.CRITICAL,
                env={f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")},
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client
        return
    if scheduler.startswith("tcp://") and not scheduler.startswith("tcp://127.0.0.1:"):
        log.warning(
            "%s: whoever reaches this port can run code as you; tls:// closes it (docs/scale.md)",
            scheduler,
        )
    try:
        client = distributed.Client(scheduler, set_as_default=False)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        raise WavewrightError(f"--scheduler {scheduler}: does not answer ({error})") from error
    with client:
        _require_same_versions(client)
        yield client


def _require_same_versions(client: Any) -> None:
    """Refuse workers with other library versions, which might write other bytes."""
    _wait_for_worker(client)
    try:
        versions = {"the scheduler": client.run_on_scheduler(_versions), **client.run(_versions)}
    except ImportError as error:
        raise WavewrightError(
            f"the dask scheduler {_address(client)} or a worker of it cannot import Wavewright "
            f"({error}); they need the same installation and the same paths as this machine"
        ) from error
    local = _versions()
    for where, theirs in versions.items():
        for name in local:
            if theirs.get(name) != local[name]:
                raise WavewrightError(
                    f"dask, {where}: has {name} {theirs.get(name)}, this machine has "
                    f"{local[name]}; results are only the same with the same versions"
                )


def _versions() -> dict[str, str]:
    """Versions of the libraries that can change a result."""
    versions = {}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def require_shared_memory(instead: str) -> None:
    """Raise unless /dev/shm has room for the semaphores of worker processes.

    Args:
        instead: an alternative without worker processes, for the message.

    Raises:
        WavewrightError: /dev/shm has no room for their semaphores.
    """
    import multiprocessing

    try:
        [multiprocessing.Lock() for _ in range(_SEMAPHORES)]
    except OSError as error:
        raise WavewrightError(
            f"/dev/shm: {os_error_reason(error)}. Processes that work together need room there: "
            f"make it larger (docker run --shm-size), or {instead}"
        ) from error


def worker_count(jobs: int) -> int:
    """Number of worker processes for `jobs` (negative: all processors); 1 stays in this process."""
    if jobs == 1 or (jobs <= 0 and _dask_client() is None and (os.cpu_count() or 1) == 1):
        return 1
    return jobs if jobs > 0 else max(2, os.cpu_count() or 1)


def run_tasks(
    function: Callable[[Item], Result], items: Sequence[Item], indices: Sequence[int], workers: int
) -> Iterator[tuple[int, Result]]:
    """Yield index and result of `function(items[i])` for the wanted indices, as they finish.

    Raises:
        WorkersDied: worker processes died; results yielded before stay valid.
    """
    client = _dask_client()
    if client is not None:
        return _run_dask(client, function, items, indices)
    return _run_joblib(function, items, indices, workers)


def _dask_client() -> Any | None:
    """Client of the active dask engine, or None."""
    from joblib.parallel import get_active_backend

    return getattr(get_active_backend()[0], "client", None)


def _run_numbered(
    function: Callable[[Item], Result], number: int, item: Item
) -> tuple[int, Result]:
    return number, function(item)


def _run_joblib(
    function: Callable[[Item], Result], items: Sequence[Item], indices: Sequence[int], workers: int
) -> Iterator[tuple[int, Result]]:
    import joblib

    pending: set[int] = set()

    def tasks() -> Iterator[Any]:
        for number in indices:
            pending.add(number)
            yield joblib.delayed(_run_numbered)(function, number, items[number])

    require_shared_memory("use --jobs 1")
    pool = _joblib_pool(workers)
    try:
        for number, result in pool(tasks()):
            pending.discard(number)
            yield number, result
    except BrokenProcessPool as error:
        raise WorkersDied(sorted(pending)) from error


def _joblib_pool(workers: int) -> Any:
    """joblib pool: one task at a time per worker, one thread per library."""
    import joblib
    from joblib.parallel import get_active_backend

    options: dict[str, Any] = {
        "n_jobs": max(2, workers),  # joblib runs a single job in this process
        "return_as": "generator_unordered",
        "batch_size": 1,
        "pre_dispatch": f"{_AHEAD}*n_jobs",
    }
    active = get_active_backend()[0]
    if type(active).__name__ != "LokyBackend" or active.inner_max_num_threads is not None:
        return joblib.Parallel(**options)
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        return joblib.Parallel(**options)


def _run_dask(
    client: Any, function: Callable[[Item], Result], items: Sequence[Item], indices: Sequence[int]
) -> Iterator[tuple[int, Result]]:
    _wait_for_worker(client)
    waiting = iter(indices)
    running: dict[Any, int] = {}
    ready = _distributed().as_completed(loop=client.loop)
    killed: list[int] = []

    def hand_out() -> None:
        room = _AHEAD * max(1, sum(client.ncores().values())) - len(running)
        for number in (n for _, n in zip(range(room), waiting, strict=False)):
            future = client.submit(function, items[number], pure=False)
            running[future] = number
            ready.add(future)

    try:
        hand_out()
        while running:
            future = next(ready)
            number = running.pop(future)
            if future.status == "cancelled":
                raise _scheduler_lost(client)
            if isinstance(future.exception(), _distributed().KilledWorker):
                killed.append(number)
            else:
                yield number, future.result()
            hand_out()
    except OSError as error:  # distributed's CommClosedError and TimeoutError are such
        raise _scheduler_lost(client) from error
    finally:
        client.cancel(list(running)) if client.status == "running" else None
    if killed:
        raise WorkersDied(killed)


def _wait_for_worker(client: Any) -> None:
    try:
        client.wait_for_workers(1, timeout=_SECONDS_FOR_A_WORKER)
    except (TimeoutError, OSError) as error:
        raise WavewrightError(f"the dask scheduler {_address(client)} has no worker") from error


def _distributed() -> Any:
    """Import dask.distributed, which is optional and only partly typed."""
    return import_module("distributed")


def _address(client: Any) -> str:
    return str(getattr(client.scheduler, "address", "that was used"))


def _scheduler_lost(client: Any) -> WavewrightError:
    return WavewrightError(
        f"the dask scheduler {_address(client)} is gone; what is finished is kept, and the same "
        "command goes on with a scheduler that answers"
    )
