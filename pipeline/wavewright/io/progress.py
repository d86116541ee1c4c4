"""Progress display: a bar on a terminal, occasional lines in a log."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_SECONDS_BETWEEN_LINES = 15.0
log = logging.getLogger("wavewright")


class Progress(Protocol):
    """Handle of a progress display."""

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Report `amount` more units done, with a few words beside the bar."""


class _Silent:
    """Progress that prints nothing."""

    def advance(self, amount: int = 1, note: str = "") -> None:
        pass


class _Lines:
    """Progress as occasional lines, for logs and pipes."""

    def __init__(self, what: str, total: int, done: int, unit: str) -> None:
        self.what, self.total, self.done, self.unit = what, total, done, unit
        self.started = self.printed = time.monotonic()
        self.start_at = done

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.done += amount
        now = time.monotonic()
        if now - self.printed < _SECONDS_BETWEEN_LINES and self.done < self.total:
            return
        self.printed = now
        rate = (self.done - self.start_at) / max(now - self.started, 1e-9)
        left = (self.total - self.done) / rate if rate else 0.0
        text = f"{self.what}: {self.done}/{self.total} {self.unit}, {rate:.3g}/s"
        text += f", {left / 60:.1f} min left" if self.done < self.total else ", done"
        print(f"{text}, {note}" if note else text, file=sys.stderr, flush=True)


class _Bar:
    """Progress as a rich progress bar."""

    def __init__(self, what: str, total: int, done: int, unit: str) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.rich = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn(unit),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True, force_terminal=True),
        )
        self.task = self.rich.add_task(what, total=total, completed=done, note="", rate="")
        self.started, self.start_at, self.done = time.monotonic(), done, done

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.done += amount
        rate = (self.done - self.start_at) / max(time.monotonic() - self.started, 1e-9)
        self.rich.update(self.task, advance=amount, note=note, rate=f"{rate:.3g}/s")


def on_terminal() -> bool:
    """True where a bar can be drawn: on a terminal, or under a runner that has one."""
    return sys.stderr.isatty() or os.environ.get("WAVEWRIGHT_TERMINAL") == "1"


@contextmanager
def progress(
    what: str, *, total: int, done: int = 0, unit: str = "utterances", enabled: bool = True
) -> Iterator[Progress]:
    """Show progress of `total` units, `done` of which are done already; silent unless `enabled`."""
    if not enabled:
        yield _Silent()
        return
    if not on_terminal():
        yield _Lines(what, total, done, unit)
        return
    bar = _Bar(what, total, done, unit)
    with bar.rich:
        yield bar
