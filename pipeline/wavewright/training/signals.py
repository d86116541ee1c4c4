"""Signals that ask to stop: noted at once, obeyed where nothing is lost."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("wavewright")
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT)


class StopRequest:
    """Request to stop, if one has come.

    Attributes:
        signal: SIGINT, or SIGTERM also for SIGUSR2 (a cluster that wants its machine back); 0
            while no signal has come.
        saved: True while an interruption loses nothing.
        interrupted: True after a SIGINT.
    """

    signal: int = 0
    saved: bool = False
    interrupted: bool = False

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a signal end the process at once; for work that can be done again later."""
        self._exit_if_asked()
        self.saved = True
        try:
            yield
        finally:
            self.saved = False

    def receive(self, number: int) -> None:
        """Note a signal; a second SIGINT raises KeyboardInterrupt."""
        if number == signal.SIGINT and self.interrupted:
            raise KeyboardInterrupt
        self.interrupted |= number == signal.SIGINT
        self.signal = exit_signal(number)
        if self.saved:
            self._exit_if_asked()

    def _exit_if_asked(self) -> None:
        if self.signal:
            log.warning("stopped by signal %d; all is saved", self.signal)
            raise SystemExit(128 + self.signal)


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn SIGTERM, SIGUSR2 and SIGINT into a request; a second SIGINT stops at once."""
    request = StopRequest()
    started = time.monotonic()

    def handle(number: int, _frame: object) -> None:
        if not request.signal and not request.saved:
            log.warning("signal %d after %.0f s: saving", number, time.monotonic() - started)
        request.receive(number)

    previous = {number: signal.signal(number, handle) for number in STOP_SIGNALS}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def exit_signal(number: int) -> int:
    """Signal whose exit code (128 + number) a stopped process ends with."""
    return signal.SIGINT if number == signal.SIGINT else signal.SIGTERM


def ignore_stop_signals(_worker: int = 0) -> None:
    """Ignore signals in a data-loading process: a cluster signals it too while its parent saves."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
