"""Heartbeat of a training process: a file written every second, read by its launcher.

The file is small and written in place, so that a full disk does not look like a dead process.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self

LAUNCHER = "WAVEWRIGHT_LAUNCHER"  # process id of the launcher that watches this one
RENDEZVOUS_FILE = "WAVEWRIGHT_MEETING"  # file by which processes of one machine connect
QUIET = 60.0  # seconds without a step or a heartbeat that are still normal
_STEPS = 3  # median steps that are still normal
_MINIMUM = 3  # steps that make a median
_WIDTH = 200  # bytes of the file
log = logging.getLogger("wavewright")


class Pulse(NamedTuple):
    """Content of a heartbeat file.

    Attributes:
        beat: counter, one up every second while the process runs.
        step: training steps taken.
        doing: activity: `step`, `start`, `validation`, `saving`, `profile` or `end`.
        median: median seconds of a step; 0 while too few were taken.
    """

    beat: int
    step: int
    doing: str
    median: float

    @property
    def quiet(self) -> float:
        """Seconds without a step or a heartbeat that are still normal."""
        return max(QUIET, _STEPS * self.median)


def heartbeat_file(logs: Path, rank: int) -> Path:
    """Path of a process's heartbeat."""
    return logs / f"heartbeat-{rank}.json"


def read_pulse(path: Path) -> Pulse | None:
    """Read a heartbeat; None if there is none, or it is just being written."""
    try:
        pulse = Pulse(**json.loads(path.read_bytes()))
        return pulse if pulse.median >= 0 else None
    except (OSError, ValueError, TypeError):
        return None


class Heartbeat:
    """Writer of a process's heartbeat file, which also logs the line at which a training hangs.

    A process whose launcher is gone exits: nothing would notice if it hung, and another run may be
    about to start.

    Args:
        logs: folder of the file.
        rank: number of this process.
        every: seconds between two beats.
        quiet: seconds without a step that are still normal; None is `Pulse.quiet`.
    """

    def __init__(
        self, logs: Path, rank: int = 0, *, every: float = 1.0, quiet: float | None = None
    ) -> None:
        self.path, self.rank = heartbeat_file(logs, rank), rank
        self.every, self.quiet = every, quiet
        self.launcher = int(os.environ.get(LAUNCHER, "0"))
        self.step, self.doing, self.beat = 0, "start", 0
        self.durations: deque[float] = deque(maxlen=101)
        self.moved = time.monotonic()
        self.idle, self.warned = 0.0, False
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._beat_until_ended, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()
        self.doing = "end"
        self._write()

    def record_step(self, step: int) -> None:
        """Record that `step` steps have been taken."""
        now = time.monotonic()
        if self.doing == "step":
            self.durations.append(now - self.moved)
        self.step, self.doing, self.moved = step, "step", now
        self._reset_idle()

    @contextmanager
    def busy(self, doing: str) -> Iterator[None]:
        """Name the activity of a block that is no step and may take long."""
        before, self.doing = self.doing, doing
        try:
            yield
        finally:
            self.doing, self.moved = before, time.monotonic()
            self._reset_idle()

    def pulse(self) -> Pulse:
        """Content of the file at this moment."""
        durations = list(self.durations)
        median = max(0.001, statistics.median(durations)) if len(durations) >= _MINIMUM else 0.0
        return Pulse(self.beat, self.step, self.doing, round(median, 3))

    def _reset_idle(self) -> None:
        self.idle, self.warned = 0.0, False

    def _beat_until_ended(self) -> None:
        while True:
            began = time.monotonic()
            self.beat += 1
            self._write()
            if self.ended.wait(self.every):
                return
            if self.launcher and os.getppid() != self.launcher:
                log.warning("process %d: its launcher is gone; exiting", os.getpid())
                os._exit(1)
            # A pause of the whole process does not mean that the training hangs.
            self.idle += min(time.monotonic() - began, 2 * self.every)
            self._warn_if_hanging()

    def _write(self) -> None:
        text = json.dumps(self.pulse()._asdict()).ljust(_WIDTH - 1) + "\n"
        with suppress(OSError):
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.pwrite(descriptor, text.encode(), 0)
            finally:
                os.close(descriptor)

    def _warn_if_hanging(self) -> None:
        """Warn once if no step was taken for long; name the line at which the training is."""
        pulse = self.pulse()
        limit = pulse.quiet if self.quiet is None else self.quiet
        if self.warned or pulse.doing != "step" or not pulse.median or self.idle < limit:
            return
        self.warned = True
        log.warning(
            "process %d has taken no step for %.0f s after step %d (one takes %.3g s); it is at %s",
            self.rank,
            self.idle,
            pulse.step,
            pulse.median,
            _line_of_main_thread(),
        )


def _line_of_main_thread() -> str:
    """Innermost line of ours and of all: `state.py:120 in _learn, graph.py:9 in _engine`."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    if frame is None:
        return "an unknown place"
    stack = traceback.extract_stack(frame)
    ours = [line for line in stack if "wavewright" in Path(line.filename).parts]
    places = [
        f"{Path(line.filename).name}:{line.lineno} in {line.name}"
        for line in [*ours[-1:], stack[-1]]
    ]
    return ", ".join(dict.fromkeys(places))
