"""Being asked to stop: a signal is noted, and work ends where nothing is lost."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("wavewright")


class StopRequest:
    """Signal that asked to stop, or 0."""

    signal: int = 0


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn SIGTERM, SIGUSR2 and SIGINT into a request; a second SIGINT stops at once."""
    request = StopRequest()
    started = time.monotonic()

    def note(number: int, _frame: object) -> None:
        if number == signal.SIGINT and request.signal:
            raise KeyboardInterrupt
        request.signal = number
        log.warning("signal %d after %.0f s: saving", number, time.monotonic() - started)

    handled = (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT)
    previous = {number: signal.signal(number, note) for number in handled}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
