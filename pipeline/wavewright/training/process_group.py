"""Processes of one machine that work together: started, watched and ended together."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wavewright.errors import Locked, Stale, WavewrightError
from wavewright.training.heartbeat import (
    LAUNCHER,
    RENDEZVOUS_FILE,
    Pulse,
    heartbeat_file,
    read_pulse,
)
from wavewright.training.signals import STOP_SIGNALS, exit_signal

USER_ERRORS = {error.exit_code for error in (WavewrightError, Locked, Stale)}  # already printed
TICK = 0.2  # seconds between two checks
_NORMAL_ENDS = {0, *(128 + exit_signal(number) for number in STOP_SIGNALS)}


@dataclass(frozen=True)
class Timeouts:
    """Timeouts of a watched group, in seconds.

    Attributes:
        quiet: longest time without a step or a heartbeat; None is 60 or three median steps.
        busy: longest start, validation or save.
        grace: time for the other processes to end after one has failed.
        pause: wait before the first restart; each further one waits twice as long.
    """

    quiet: float | None = None
    busy: float = 3600.0
    grace: float = 10.0
    pause: float = 5.0


@dataclass
class _Rank:
    """One process, with the times of its last heartbeat and its last progress."""

    process: subprocess.Popen[bytes]
    file: Path
    pulse: Pulse | None = None
    last_beat: float = 0.0
    last_progress: float = 0.0

    def read_heartbeat(self, now: float) -> None:
        """Update the times from the heartbeat file."""
        pulse = read_pulse(self.file)
        if pulse is None or pulse == self.pulse:
            return
        self.last_beat = now
        if self.pulse is None or pulse[1:3] != self.pulse[1:3]:
            self.last_progress = now
        self.pulse = pulse


@dataclass
class ProcessGroup:
    """Processes that work together; each writes a heartbeat.

    Attributes:
        timeouts: when a process counts as hanging.
        signals: signals received so far.
        ranks: processes of the last start.
    """

    timeouts: Timeouts
    signals: list[int] = field(default_factory=list)
    ranks: list[_Rank] = field(default_factory=list)

    def start(self, command: Sequence[str], size: int, logs: Path, rendezvous: Path) -> None:
        """Start `size` processes of one command."""
        self.ranks.clear()
        for rank in range(size):
            file = heartbeat_file(logs, rank)
            file.unlink(missing_ok=True)
            own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, LAUNCHER: os.getpid()}
            environment = {**os.environ, **{k: str(v) for k, v in own.items()}}
            environment[RENDEZVOUS_FILE] = str(rendezvous)
            # They inherit the runner's lock: while one of them runs no other run starts here.
            process = subprocess.Popen(command, env=environment, close_fds=False)
            self.ranks.append(_Rank(process, file))

    def watch(self) -> str:
        """Wait for the end; returns what went wrong, "" if nothing did."""
        clock, before = 0.0, time.monotonic()  # a clock that pauses with this process
        over = None
        while any(code is None for code in self.codes()):
            time.sleep(TICK)
            now = time.monotonic()
            clock, before = clock + min(now - before, 10 * TICK), now
            if over is None and self._over():
                over = clock
            trouble = self._killed() or ("" if over else self._hanging(clock))
            late = over is not None and clock - over > self.timeouts.grace
            if trouble or late:
                trouble = trouble or self._failure()
                self.kill()
                return trouble
        return self._killed() or self._failure()

    def codes(self) -> list[int | None]:
        """Exit codes; None for processes that still run."""
        return [rank.process.poll() for rank in self.ranks]

    def kill(self) -> None:
        """Kill all processes."""
        for rank in self.ranks:
            if rank.process.poll() is None:
                rank.process.kill()
        for rank in self.ranks:
            rank.process.wait()

    def forward(self, number: int, _frame: object = None) -> None:
        """Forward a signal, on which the processes save and end; a second SIGINT kills them."""
        self.signals.append(number)
        at_once = self.signals.count(signal.SIGINT) > 1
        for rank in self.ranks:
            rank.process.send_signal(signal.SIGKILL if at_once else signal.SIGTERM)

    def _over(self) -> bool:
        """True when the rest can only end: one failed, or the first has saved."""
        codes = self.codes()
        failed = any(code not in _NORMAL_ENDS for code in codes if code is not None)
        return failed or (bool(self.signals) and codes[0] is not None)

    def _killed(self) -> str:
        """Name the process that a signal ended, for which the others would wait."""
        dead = [(i, code) for i, code in enumerate(self.codes()) if code is not None and code < 0]
        return f"process {dead[0][0]} was ended by {_name(-dead[0][1])}" if dead else ""

    def _failure(self) -> str:
        """Name the process that failed, unless it printed a user error."""
        codes = [0 if code is None else code for code in self.codes()]
        if any(code in USER_ERRORS for code in codes):
            return ""
        failed = [(i, code) for i, code in enumerate(codes) if code not in _NORMAL_ENDS]
        return f"process {failed[0][0]} ended with exit code {failed[0][1]}" if failed else ""

    def _hanging(self, now: float) -> str:
        """Name the process without heartbeat, or without a step though none is busy."""
        running = [(i, rank) for i, rank in enumerate(self.ranks) if rank.process.poll() is None]
        for _, rank in running:
            rank.read_heartbeat(now)
        stepping = all(rank.pulse and rank.pulse.doing == "step" for _, rank in running)
        for number, rank in running:
            pulse = rank.pulse or Pulse(0, 0, "start", 0.0)
            quiet = pulse.quiet if self.timeouts.quiet is None else self.timeouts.quiet
            silent, idle = now - rank.last_beat, now - rank.last_progress
            if rank.pulse and pulse.doing != "end" and silent > quiet:
                return f"process {number} gave no sign of life for {silent:.0f} s"
            # Leaves the process time to log its own line first.
            if stepping and pulse.median and idle > quiet + 10 * TICK:
                return (
                    f"process {number} took no step for {idle:.0f} s after step {pulse.step} "
                    f"(one takes {pulse.median:.3g} s)"
                )
            if idle > self.timeouts.busy:
                return f"process {number} was at '{pulse.doing}' for {idle:.0f} s"
        return ""


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
