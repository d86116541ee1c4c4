"""Child process of a unit: start, log, forward signals, clean up."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from wavewright.errors import format_os_error
from wavewright.io.progress import on_terminal

_PATIENCE = 10.0  # seconds to read its last output
_TAIL = 15  # lines of a failing log that are shown
_CONTROL = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


class StageLog:
    """Log of a unit; a full disk costs the log, not the stage.

    Attributes:
        path: path of the log.
        tail: the last lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tail: deque[str] = deque(maxlen=_TAIL)
        self.file: IO[bytes] | None = None
        with self._spared():
            self.file = path.open("ab", buffering=0)

    def add(self, line: bytes) -> None:
        """Add a line of output as a terminal would finally show it, without control codes."""
        text = _CONTROL.sub(b"", line).rpartition(b"\r")[2].rstrip()
        if not text:
            return
        self.tail.append(text.decode(errors="replace"))
        with self._spared():
            if self.file is not None:
                self.file.write(text + b"\n")

    def close(self) -> None:
        if self.file is not None:
            self.file.close()

    @contextmanager
    def _spared(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.close()
            self.file = None
            reason = format_os_error(error, self.path)
            warning = f"warning: {reason}; the stage continues without a log\n"
            _show(warning.encode())


def run_worker(job: Path, log: StageLog, lock: int) -> int:
    """Run the worker in its own session, forward signals to it, and clean up after it."""
    terminal = "1" if on_terminal() else "0"
    roots = os.pathsep.join(filter(None, sys.path))
    child = subprocess.Popen(
        [sys.executable, "-m", "wavewright.runner.worker", str(job)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=(lock,),
        env={**os.environ, "PYTHONPATH": roots, "WAVEWRIGHT_TERMINAL": terminal},
    )
    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
    before = {n: signal.signal(n, lambda number, _: child.send_signal(number)) for n in handled}
    assert child.stdout is not None
    listener = threading.Thread(target=_tee, args=(child.stdout, log), daemon=True)
    try:
        listener.start()
        code = child.wait()  # not for the end of its output: workers that it leaves keep it open
    finally:
        _kill_group(child.pid)
        listener.join(_PATIENCE)
        log.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def _tee(source: IO[bytes], log: StageLog) -> None:
    """Pass output through to the terminal and line by line to the log."""
    line = b""
    while chunk := source.read1(65536):  # type: ignore[attr-defined]
        _show(chunk)
        line += chunk
        *complete, line = line.split(b"\n")
        for text in complete:
            log.add(text)
    log.add(line)


def _show(text: bytes) -> None:
    """Write to stderr, which may be a file on a full disk or closed."""
    with suppress(OSError):
        sys.stderr.buffer.write(text)
        sys.stderr.buffer.flush()


def _kill_group(group: int) -> None:
    """Kill what a worker left running."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
