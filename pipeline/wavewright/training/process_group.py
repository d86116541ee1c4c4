"""Processes of one machine that work together: started, watched over, and ended together."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wavewright.errors import Locked, Stale, WavewrightError
from wavewright.training.heartbeat import LAUNCHER, MEETING, Pulse, heartbeat_file, read_pulse
from wavewright.training.signals import STOP_SIGNALS, exit_signal

FOUND_WRONG = {error.exit_code for error in (WavewrightError, Locked, Stale)}  # and said so
TICK = 0.2  # seconds between two looks
_IN_ORDER = {0, *(128 + exit_signal(number) for number in STOP_SIGNALS)}


@dataclass(frozen=True)
class Patience:
    """How long is waited for what, in seconds.

    Attributes:
        quiet: without a step or a sign of life; None is 60 or three median steps.
        busy: for a start, a validation or a save.
        grace: for the others to end by themselves after one that failed did.
        pause: before the first new start; each further one waits twice as long.
    """

    quiet: float | None = None
    busy: float = 3600.0
    grace: float = 10.0
    pause: float = 5.0


@dataclass
class _Rank:
    """One process, and when it last gave a sign of life and moved on."""

    process: subprocess.Popen[bytes]
    file: Path
    pulse: Pulse | None = None
    beaten: float = 0.0
    moved: float = 0.0

    def look(self, now: float) -> None:
        """Read its heartbeat."""
        pulse = read_pulse(self.file)
        if pulse is None or pulse == self.pulse:
            return
        self.beaten = now
        if self.pulse is None or pulse[1:3] != self.pulse[1:3]:
            self.moved = now
        self.pulse = pulse


@dataclass
class ProcessGroup:
    """Processes that work together; each leaves signs of life (`heartbeat`).

    Attributes:
        patience: how long is waited for what.
        asked: signals that came.
        ranks: the processes that were started last.
    """

    patience: Patience
    asked: list[int] = field(default_factory=list)
    ranks: list[_Rank] = field(default_factory=list)

    def start(self, command: Sequence[str], size: int, logs: Path, meeting: Path) -> None:
        """Start `size` processes of one command."""
        self.ranks.clear()
        for rank in range(size):
            file = heartbeat_file(logs, rank)
            file.unlink(missing_ok=True)
            own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, LAUNCHER: os.getpid()}
            environment = {**os.environ, **{k: str(v) for k, v in own.items()}}
            environment[MEETING] = str(meeting)
            # The runner's lock goes along: while one of them lives no other run starts here.
            process = subprocess.Popen(command, env=environment, close_fds=False)
            self.ranks.append(_Rank(process, file))

    def watch(self) -> str:
        """Wait for the end; what went wrong, in words, or nothing."""
        clock, before = 0.0, time.monotonic()  # a clock that stands still where this process does
        over = None
        while any(code is None for code in self.codes()):
            time.sleep(TICK)
            now = time.monotonic()
            clock, before = clock + min(now - before, 10 * TICK), now
            if over is None and self._over():
                over = clock
            trouble = self._killed() or ("" if over else self._standstill(clock))
            late = over is not None and clock - over > self.patience.grace
            if trouble or late:
                trouble = trouble or self._failure()
                self.kill()
                return trouble
        return self._killed() or self._failure()

    def codes(self) -> list[int | None]:
        """Exit codes; None of those that run."""
        return [rank.process.poll() for rank in self.ranks]

    def kill(self) -> None:
        """End all of them at once."""
        for rank in self.ranks:
            if rank.process.poll() is None:
                rank.process.kill()
        for rank in self.ranks:
            rank.process.wait()

    def note(self, number: int, _frame: object = None) -> None:
        """A signal came: pass it on, so that they save and end; a second SIGINT kills."""
        self.asked.append(number)
        at_once = self.asked.count(signal.SIGINT) > 1
        for rank in self.ranks:
            rank.process.send_signal(signal.SIGKILL if at_once else signal.SIGTERM)

    def _over(self) -> bool:
        """Whether the rest has nothing to do but to end: one failed, or the first has saved."""
        codes = self.codes()
        failed = any(code not in _IN_ORDER for code in codes if code is not None)
        return failed or (bool(self.asked) and codes[0] is not None)

    def _killed(self) -> str:
        """Which process a signal ended: it had no time to say why, and the others wait for it."""
        dead = [(i, code) for i, code in enumerate(self.codes()) if code is not None and code < 0]
        return f"process {dead[0][0]} was ended by {_name(-dead[0][1])}" if dead else ""

    def _failure(self) -> str:
        """Which process failed without saying what it found wrong."""
        codes = [0 if code is None else code for code in self.codes()]
        if any(code in FOUND_WRONG for code in codes):
            return ""
        failed = [(i, code) for i, code in enumerate(codes) if code not in _IN_ORDER]
        return f"process {failed[0][0]} ended with exit code {failed[0][1]}" if failed else ""

    def _standstill(self, now: float) -> str:
        """Which process gives no sign of life, or takes no step though none is busy."""
        running = [(i, rank) for i, rank in enumerate(self.ranks) if rank.process.poll() is None]
        for _, rank in running:
            rank.look(now)
        stepping = all(rank.pulse and rank.pulse.doing == "step" for _, rank in running)
        for number, rank in running:
            pulse = rank.pulse or Pulse(0, 0, "start", 0.0)
            quiet = pulse.quiet if self.patience.quiet is None else self.patience.quiet
            silent, still = now - rank.beaten, now - rank.moved
            if rank.pulse and pulse.doing != "end" and silent > quiet:
                return f"process {number} gave no sign of life for {silent:.0f} s"
            # Its own word on where it stands comes first.
            if stepping and pulse.median and still > quiet + 10 * TICK:
                return (
                    f"process {number} took no step for {still:.0f} s after step {pulse.step} "
                    f"(one takes {pulse.median:.3g} s)"
                )
            if still > self.patience.busy:
                return f"process {number} was at '{pulse.doing}' for {still:.0f} s"
        return ""


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
