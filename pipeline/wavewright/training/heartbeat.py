"""Signs of life of a training process: written every second, read by whoever started it.

The file is small and written in place, so that a full disk does not look like a death.
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

LAUNCHER = "WAVEWRIGHT_LAUNCHER"  # process number of who started this one and watches it
MEETING = "WAVEWRIGHT_MEETING"  # file by which the processes of one machine find each other
QUIET = 60.0  # seconds without a step, or without a sign of life, that are nothing strange
_STEPS = 3  # so many median steps are nothing strange either
_KNOWN = 3  # steps after which the median means something
_WIDTH = 200  # bytes of the file
log = logging.getLogger("wavewright")


class Pulse(NamedTuple):
    """One sign of life.

    Attributes:
        beat: goes up every second while the process runs.
        step: the training step it is at.
        doing: `step`, or what keeps it from one: `start`, `validation`, `saving`, `profile`, `end`.
        median: seconds of a step; 0 while too few were taken.
    """

    beat: int
    step: int
    doing: str
    median: float

    @property
    def quiet(self) -> float:
        """Seconds for which no step, or no sign of life, is nothing strange."""
        return max(QUIET, _STEPS * self.median)


def heartbeat_file(logs: Path, rank: int) -> Path:
    """Where a process of a group leaves its signs of life."""
    return logs / f"heartbeat-{rank}.json"


def read_pulse(path: Path) -> Pulse | None:
    """The last sign of life; None if there is none, or it is just being written."""
    try:
        pulse = Pulse(**json.loads(path.read_bytes()))
        return pulse if pulse.median >= 0 else None
    except (OSError, ValueError, TypeError):
        return None


class Heart:
    """Writes signs of life while its block runs, and tells where a training hangs.

    A process whose launcher is gone ends itself: nobody would notice if it stood still, and
    another run may be about to start.

    Args:
        logs: folder of the file.
        rank: of this process.
        every: seconds between two signs.
        quiet: seconds without a step that are nothing strange; None is `Pulse.quiet`.
    """

    def __init__(
        self, logs: Path, rank: int = 0, *, every: float = 1.0, quiet: float | None = None
    ) -> None:
        self.path, self.rank, self.every, self.quiet = (
            heartbeat_file(logs, rank),
            rank,
            every,
            quiet,
        )
        self.launcher = int(os.environ.get(LAUNCHER, "0"))
        self.step, self.doing, self.beat = 0, "start", 0
        self.durations: deque[float] = deque(maxlen=101)
        self.moved = time.monotonic()
        self.still, self.told = 0.0, False
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._live, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()
        self.doing = "end"
        self._write()

    def took(self, step: int) -> None:
        """`step` steps were taken."""
        now = time.monotonic()
        if self.doing == "step":
            self.durations.append(now - self.moved)
        self.step, self.doing, self.moved = step, "step", now
        self._moves()

    @contextmanager
    def busy(self, doing: str) -> Iterator[None]:
        """Around what takes its time and is no step."""
        before, self.doing = self.doing, doing
        try:
            yield
        finally:
            self.doing, self.moved = before, time.monotonic()
            self._moves()

    def pulse(self) -> Pulse:
        """The sign of life to give now."""
        known = list(self.durations)
        median = max(0.001, statistics.median(known)) if len(known) >= _KNOWN else 0.0
        return Pulse(self.beat, self.step, self.doing, round(median, 3))

    def _moves(self) -> None:
        self.still, self.told = 0.0, False

    def _live(self) -> None:
        while True:
            began = time.monotonic()
            self.beat += 1
            self._write()
            if self.ended.wait(self.every):
                return
            if self.launcher and os.getppid() != self.launcher:
                log.warning("process %d: its launcher is gone; it ends too", os.getpid())
                os._exit(1)
            # A pause of the whole process is no standstill of the training.
            self.still += min(time.monotonic() - began, 2 * self.every)
            self._tell()

    def _write(self) -> None:
        words = json.dumps(self.pulse()._asdict()).ljust(_WIDTH - 1) + "\n"
        with suppress(OSError):
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.pwrite(descriptor, words.encode(), 0)
            finally:
                os.close(descriptor)

    def _tell(self) -> None:
        """Warn, once, that there was no step for long, and say at which line the training is."""
        pulse = self.pulse()
        limit = pulse.quiet if self.quiet is None else self.quiet
        if self.told or pulse.doing != "step" or not pulse.median or self.still < limit:
            return
        self.told = True
        log.warning(
            "process %d has taken no step for %.0f s after step %d (one takes %.3g s); it is at %s",
            self.rank,
            self.still,
            pulse.step,
            pulse.median,
            _place_of_main_thread(),
        )


def _place_of_main_thread() -> str:
    """`session.py:120 in _learn, graph.py:9 in _engine`: our innermost line, and the last."""
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
