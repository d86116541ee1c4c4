"""Outcome of a command as a user sees it."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass

from wavewright.cli import app as cli


@dataclass
class Outcome:
    """Outcome of one case of bad input.

    Attributes:
        code: exit code.
        said: everything said: errors, warnings, reasons and flags of the item.
        used: whether something was made of the item.
        warned: whether something was said of it although it was used.
    """

    code: int = 0
    said: str = ""
    used: bool = False
    warned: bool = False


def run_command(arguments: list[str]) -> tuple[int, str]:
    """`wavewright ARGUMENTS` in this process: its exit code and what it says on stderr."""
    err = io.StringIO()
    before, sys.argv = sys.argv, ["wavewright", *arguments]
    try:
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            cli.main()
    except SystemExit as stop:
        return int(stop.code or 0), err.getvalue()
    finally:
        sys.argv = before
    return 0, err.getvalue()
