"""parallel_map: in order, on either engine, and a killed worker costs only what it was at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from wavewright.compute import engines
from wavewright.compute.parallel_map import parallel_map
from wavewright.errors import WavewrightError


def square(number: int) -> int:
    return number * number


def in_process(_: int) -> int:
    return os.getpid()


def threads(_: int) -> list[str]:
    return [os.environ[f"{name}_NUM_THREADS"] for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")]


def counted(number: int, folder: Path, poison: int = -1, once: bool = False) -> int:
    """Leaves a trace of every call; one number kills its worker, each time or the first only."""
    calls = len(list(folder.glob(f"{number}-*")))
    (folder / f"{number}-{calls}").touch()
    if number == poison and not (once and calls):
        time.sleep(0.2)  # others are at work by now
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def slow(number: int, folder: Path) -> int:
    (folder / f"{number}-{os.getpid()}").touch()
    time.sleep(0.3)
    return number * number


def refuse(number: int) -> int:
    if number == 3:
        raise WavewrightError("3: is not wanted")
    return number


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """Address of a cluster of two processes on this machine."""
    config = pytest.importorskip("dask.config")
    distributed = pytest.importorskip("distributed")
    with (
        config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
    ):
        yield cluster.scheduler_address


@pytest.fixture(params=["loky", "dask"])
def either(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each engine in turn."""
    name = str(request.param)
    address = request.getfixturevalue("scheduler") if name == "dask" else ""
    with engines.use_engine(name, address):
        yield name


@pytest.mark.parametrize("jobs", [1, 2, -1])
def test_results_are_in_order(jobs: int) -> None:
    assert parallel_map(square, range(20), jobs=jobs, what="test") == [n * n for n in range(20)]
    assert parallel_map(square, [], jobs=jobs, what="test") == []


def test_one_job_stays_in_this_process_and_two_do_not(either: str) -> None:
    assert set(parallel_map(in_process, range(4), jobs=1, what="test")) == {os.getpid()}
    assert os.getpid() not in parallel_map(in_process, range(4), jobs=2, what="test")


@pytest.mark.slow
def test_a_cluster_of_its_own_is_started_and_ended() -> None:
    distributed = pytest.importorskip("distributed")
    with engines.use_engine("dask", jobs=1):
        first = parallel_map(in_process, range(6), jobs=-1, what="test")
        assert parallel_map(threads, range(2), jobs=2, what="test") == [["1"] * 4] * 2
        address = distributed.default_client().scheduler.address
        assert address.startswith("tcp://127.0.0.1:")
    assert len(set(first)) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(first[0], 0)


def test_workers_stay_for_the_next_map() -> None:
    """Their imports take seconds."""
    first = set(parallel_map(in_process, range(30), jobs=2, what="test"))
    assert set(parallel_map(in_process, range(30), jobs=2, what="test")) <= first
    assert len(first) <= 2


def test_libraries_in_workers_have_one_thread() -> None:
    assert parallel_map(threads, range(2), jobs=2, what="test") == [["1"] * 4] * 2


@pytest.mark.slow
def test_an_error_reaches_the_caller(either: str) -> None:
    with pytest.raises(WavewrightError, match="3: is not wanted"):
        parallel_map(refuse, range(8), jobs=2, what="test")


@pytest.mark.slow
def test_items_are_fetched_as_they_are_handed_out(either: str, tmp_path: Path) -> None:
    fetched: list[int] = []

    class Items(list[int]):
        def __getitem__(self, place: Any) -> Any:
            fetched.append(place)
            if place == 30:
                raise WavewrightError("fetched the 30th")
            return place

    with pytest.raises(WavewrightError, match="fetched the 30th"):
        parallel_map(partial(counted, folder=tmp_path), Items(range(200)), jobs=2, what="test")
    assert max(fetched) == 30
    assert len(list(tmp_path.iterdir())) >= 20, "the earlier ones had been worked on by then"


@pytest.mark.slow
def test_an_item_that_kills_its_worker_is_handed_over(either: str, tmp_path: Path) -> None:
    work = partial(counted, folder=tmp_path, poison=5)
    found = parallel_map(work, range(12), jobs=2, what="test", on_crash=lambda item: -item)
    assert found == [n * n if n != 5 else -5 for n in range(12)]
    assert 3 <= len(list(tmp_path.glob("5-*"))) <= 4
    finished_before = [len(list(tmp_path.glob(f"{n}-*"))) for n in (0, 11)]
    assert finished_before == [1, 1], "only what was in hand is tried again"


@pytest.mark.slow
def test_a_single_item_that_kills_does_not_kill_us(either: str, tmp_path: Path) -> None:
    """One item needs no second worker, but may need another process than this."""
    work = partial(counted, folder=tmp_path, poison=5)
    assert parallel_map(work, [5], jobs=2, what="test", on_crash=lambda item: -item) == [-5]


@pytest.mark.slow
def test_without_help_such_an_item_is_named(tmp_path: Path) -> None:
    work = partial(counted, folder=tmp_path, poison=2)
    with pytest.raises(WavewrightError, match="test: 2 has killed its worker process 3 times"):
        parallel_map(work, range(4), jobs=2, what="test")


@pytest.mark.slow
def test_a_crash_that_does_not_come_again_costs_nothing(either: str, tmp_path: Path) -> None:
    work = partial(counted, folder=tmp_path, poison=4, once=True)
    assert parallel_map(work, range(10), jobs=2, what="test") == [n * n for n in range(10)]
    assert len(list(tmp_path.glob("4-*"))) == 2


@pytest.mark.slow
def test_a_worker_killed_from_outside_costs_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, time, signal, os, pathlib\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "while not (seen := list(folder.glob('*-*'))): time.sleep(0.02)\n"
        "os.kill(int(seen[0].name.split('-')[1]), signal.SIGKILL)\n"
    )
    killer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    found = parallel_map(partial(slow, folder=tmp_path), range(8), jobs=2, what="test")
    assert killer.wait() == 0
    assert found == [n * n for n in range(8)]


@pytest.mark.slow
def test_an_engine_that_is_not_there_is_refused() -> None:
    with pytest.raises(WavewrightError, match="--backend ray: allowed are loky, dask"):
        engines.require_engine("ray")
    with pytest.raises(WavewrightError, match="must be tcp://HOST:PORT or tls://"):
        engines.require_engine("dask", "localhost:8786")
    with pytest.raises(WavewrightError, match="belongs to --backend dask"):
        engines.require_engine("loky", "tcp://127.0.0.1:8786")
