"""Being asked to stop: a signal is noted, and work ends where nothing is lost."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("wavewright")
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT)


class StopRequest:
    """Whether to stop.

    Attributes:
        signal: SIGINT or SIGTERM, which SIGUSR2 (a cluster that wants its machine back) stands
            for too; 0 while nobody asked.
    """

    signal: int = 0
    saved: bool = False
    interrupted: bool = False

    @contextmanager
    def nothing_to_lose(self) -> Iterator[None]:
        """What the block does can be done again later: a signal ends it, and the process."""
        self._leave()
        self.saved = True
        try:
            yield
        finally:
            self.saved = False

    def note(self, number: int) -> None:
        """A signal came."""
        if number == signal.SIGINT and self.interrupted:
            raise KeyboardInterrupt
        self.interrupted |= number == signal.SIGINT
        self.signal = exit_signal(number)
        if self.saved:
            self._leave()

    def _leave(self) -> None:
        if self.signal:
            log.warning("stopped by signal %d; all is saved", self.signal)
            raise SystemExit(128 + self.signal)


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn SIGTERM, SIGUSR2 and SIGINT into a request; a second SIGINT stops at once."""
    request = StopRequest()
    started = time.monotonic()

    def note(number: int, _frame: object) -> None:
        if not request.signal and not request.saved:
            log.warning("signal %d after %.0f s: saving", number, time.monotonic() - started)
        request.note(number)

    previous = {number: signal.signal(number, note) for number in STOP_SIGNALS}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def exit_signal(number: int) -> int:
    """The signal whose exit code (128 + number) a stopped process ends with."""
    return signal.SIGINT if number == signal.SIGINT else signal.SIGTERM


def leave_signals_to_the_parent(_worker: int = 0) -> None:
    """For processes that load data: a cluster signals them too, and their parent still saves."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
