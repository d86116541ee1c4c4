"""Launcher of the processes that train together: start, watch, restart after failures.

A process that dies ends its group at once; one that hangs does after a timeout. The group is then
restarted, and its training resumes from the newest intact checkpoint. torchrun's own restart
recovered in two of six tries, so on one machine the processes are started here; torchrun only
connects those of several machines.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from wavewright.training.process_group import TICK, USER_ERRORS, ProcessGroup, Timeouts
from wavewright.training.signals import STOP_SIGNALS, exit_signal

MAX_RESTARTS = 3  # without a new checkpoint in between
_LONGEST_PAUSE = 300.0
log = logging.getLogger("wavewright")


def launch(
    module_and_arguments: Sequence[str],
    *,
    gpus: int,
    logs: Path,
    max_restarts: int = MAX_RESTARTS,
    timeouts: Timeouts | None = None,
) -> int:
    """Run `python -m MODULE ARGUMENTS` in `gpus` processes of this machine until all end well.

    Args:
        module_and_arguments: module and arguments of every process.
        gpus: number of processes.
        logs: folder of their heartbeats; checkpoints lie beside it.
        max_restarts: restarts after failures, without a new checkpoint in between.
        timeouts: None is the default ones.

    Returns:
        Exit code: 143 or 130 if a signal was forwarded, that of a process that ended with a user
        error, else 1 when restarting did not help.
    """
    timeouts = timeouts or Timeouts()
    command = [sys.executable, "-m", *module_and_arguments]
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // gpus)))
    group, starts, failures = ProcessGroup(timeouts), 0, 0
    with _forwarded_signals(group), tempfile.TemporaryDirectory(prefix="wavewright-") as folder:
        while True:
            newest = _newest_step(logs.parent)
            group.start(command, gpus, logs, Path(folder) / f"meeting-{starts}")
            starts += 1
            trouble = group.watch()
            if group.signals or not trouble:
                return _exit_code(group)
            failures = 1 if _newest_step(logs.parent) > newest else failures + 1
            if failures > max_restarts:
                log.error(
                    "%s; %s. The last checkpoint is intact.",
                    trouble,
                    _reason_to_give_up(max_restarts),
                )
                return 1
            seconds = min(_LONGEST_PAUSE, timeouts.pause * 2 ** (failures - 1))
            log.warning(
                "%s; its group was ended and starts again from the last checkpoint in %.3g s "
                "(%d of %d)", trouble, seconds, failures, max_restarts,
            )  # fmt: skip
            if _interrupted(seconds, group):
                return _exit_code(group)


def launch_on_machines(
    module_and_arguments: Sequence[str], *, gpus: int, nodes: int, rendezvous: str
) -> int:
    """Run `python -m MODULE ARGUMENTS` on several machines by torchrun, which never restarts it.

    Args:
        module_and_arguments: module and arguments of every process.
        gpus: processes on this machine.
        nodes: machines; each runs as many.
        rendezvous: HOST:PORT where they connect.

    Returns:
        Exit code: 143 or 130 if a signal was forwarded.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main

    meeting = [f"--nnodes={nodes}", "--rdzv-backend=c10d", f"--rdzv-endpoint={rendezvous}"]
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // gpus)))

    def stop(_number: int, _frame: object) -> None:  # torchrun knows no SIGUSR2
        signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGUSR2, stop)
    try:
        main([*meeting, f"--nproc-per-node={gpus}", "-m", *module_and_arguments])
    except SignalException as stopped:
        return 128 + exit_signal(int(stopped.sigval))
    except ChildFailedError:
        return 1  # which one and why, torchrun and the child have said
    finally:
        signal.signal(signal.SIGUSR2, before)
    return 0


def join_command(job: str, *, gpus: int, nodes: int, rendezvous: str) -> str:
    """Command for the other machines, which see the same files."""
    return (
        f"torchrun --nnodes={nodes} --nproc-per-node={gpus} --rdzv-backend=c10d "
        f"--rdzv-endpoint={rendezvous} -m wavewright.runner.worker {job}"
    )


@contextmanager
def _forwarded_signals(group: ProcessGroup) -> Iterator[None]:
    """Forward signals to the group; end all of it with the block."""
    before = {number: signal.signal(number, group.forward) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        group.kill()
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit_code(group: ProcessGroup) -> int:
    """Exit code of a group that ended by itself or by a signal."""
    codes = [code for code in group.codes() if code]
    user_errors = [code for code in codes if code in USER_ERRORS]
    if user_errors:
        return user_errors[0]
    if group.signals and (codes or not group.ranks):
        return 128 + exit_signal(group.signals[0])
    return codes[0] if codes else 0


def _interrupted(seconds: float, group: ProcessGroup) -> bool:
    """Wait; True if a signal asked to stop meanwhile."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not group.signals:
        time.sleep(min(TICK, seconds))
    return bool(group.signals)


def _newest_step(run: Path) -> str:
    return max((folder.name for folder in run.glob("step-*")), default="")


def _reason_to_give_up(max_restarts: int) -> str:
    times = "once" if max_restarts == 1 else f"{max_restarts} times"
    return (
        f"starting again {times} brought no new checkpoint" if max_restarts else "its group ended"
    )
