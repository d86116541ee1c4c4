"""Start the processes that train together, watch over them, and start them again if they fail.

A process that dies ends its group at once; one that stands still does after a while. The group is
then started anew, and its training resumes from the newest whole checkpoint. torchrun's own restart
recovered in two of six tries, so on one machine the processes are started here; torchrun only makes
those of several machines meet.
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

from wavewright.training.process_group import FOUND_WRONG, TICK, Patience, ProcessGroup
from wavewright.training.signals import STOP_SIGNALS, exit_signal

RELAUNCHES = 3  # without a new checkpoint in between
_LONGEST_PAUSE = 300.0
log = logging.getLogger("wavewright")


def launch(
    module_and_arguments: Sequence[str],
    *,
    gpus: int,
    logs: Path,
    relaunches: int = RELAUNCHES,
    patience: Patience | None = None,
) -> int:
    """Run `python -m MODULE ARGUMENTS` in `gpus` processes of this machine until all end well.

    Args:
        module_and_arguments: what every process runs.
        gpus: processes.
        logs: folder of their heartbeats; checkpoints lie beside it.
        relaunches: new starts after failures, without a new checkpoint in between.
        patience: how long is waited for what.

    Returns:
        The exit code: 143 or 130 if a signal was passed on, that of a process that said what it
        found wrong, else 1 when starting again did not help.
    """
    patience = patience or Patience()
    command = [sys.executable, "-m", *module_and_arguments]
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // gpus)))
    group, starts, failures = ProcessGroup(patience), 0, 0
    with _stopped_together(group), tempfile.TemporaryDirectory(prefix="wavewright-") as folder:
        while True:
            newest = _newest_step(logs.parent)
            group.start(command, gpus, logs, Path(folder) / f"meeting-{starts}")
            starts += 1
            trouble = group.watch()
            if group.asked or not trouble:
                return _exit_code(group)
            failures = 1 if _newest_step(logs.parent) > newest else failures + 1
            if failures > relaunches:
                log.error("%s; %s. The last checkpoint is intact.", trouble, _gave_up(relaunches))
                return 1
            seconds = min(_LONGEST_PAUSE, patience.pause * 2 ** (failures - 1))
            log.warning(
                "%s; its group was ended and starts again from the last checkpoint in %.3g s "
                "(%d of %d)", trouble, seconds, failures, relaunches,
            )  # fmt: skip
            if _interrupted(seconds, group):
                return _exit_code(group)


def launch_on_machines(
    module_and_arguments: Sequence[str], *, gpus: int, nodes: int, rendezvous: str
) -> int:
    """The same on several machines, by torchrun, which ends a group but starts none again.

    Args:
        module_and_arguments: what every process runs.
        gpus: processes here.
        nodes: machines; each runs as many.
        rendezvous: HOST:PORT where they meet.

    Returns:
        The exit code: 143 or 130 if a signal was passed on.
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
    """What the other machines run to take part; they see the same files."""
    return (
        f"torchrun --nnodes={nodes} --nproc-per-node={gpus} --rdzv-backend=c10d "
        f"--rdzv-endpoint={rendezvous} -m wavewright.runner.worker {job}"
    )


@contextmanager
def _stopped_together(group: ProcessGroup) -> Iterator[None]:
    """Signals go on to the group; none of it outlives the block."""
    before = {number: signal.signal(number, group.note) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        group.kill()
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit_code(group: ProcessGroup) -> int:
    """Of a group that ended by itself or was asked to."""
    codes = [code for code in group.codes() if code]
    said = [code for code in codes if code in FOUND_WRONG]
    if said:
        return said[0]
    if group.asked and (codes or not group.ranks):
        return 128 + exit_signal(group.asked[0])
    return codes[0] if codes else 0


def _interrupted(seconds: float, group: ProcessGroup) -> bool:
    """Wait; whether a signal asked to stop meanwhile."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not group.asked:
        time.sleep(min(TICK, seconds))
    return bool(group.asked)


def _newest_step(run: Path) -> str:
    return max((folder.name for folder in run.glob("step-*")), default="")


def _gave_up(relaunches: int) -> str:
    times = "once" if relaunches == 1 else f"{relaunches} times"
    return f"starting again {times} brought no new checkpoint" if relaunches else "its group ended"
