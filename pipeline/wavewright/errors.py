"""Errors that users can fix: one or two sentences naming file, field, found and allowed.

The command line prints them without a traceback and exits with `exit_code`.
"""

from __future__ import annotations

import difflib
import errno
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

_NO_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "failed to map segment",
    os.strerror(errno.ENOMEM),
)
_HINTS = {
    errno.ENOSPC: " (the disk is full)",
    errno.EDQUOT: " (your share of the disk is full)",
    errno.EMFILE: " (see `ulimit -n`)",
}


class WavewrightError(ValueError):
    """Expected error; its text is the complete message to the user."""

    exit_code = 2


class MelMismatch(WavewrightError):
    """Two mels that must agree follow different conventions."""


class UnknownName(WavewrightError, LookupError):
    """Unknown name; the message lists the known ones."""


class MissingExtra(WavewrightError):
    """Optional packages of a feature are not installed."""


class Locked(WavewrightError):
    """Another process works on the same folder."""

    exit_code = 75


class Stale(WavewrightError):
    """A stage before the first requested one is missing or out of date."""

    exit_code = 77


def os_error_reason(error: OSError) -> str:
    """Reason of a system error: `No space left on device (the disk is full)`."""
    message = error.strerror or str(error)
    standard = os.strerror(error.errno) if error.errno else message
    message = standard if standard in message else message  # libraries wrap the system's message
    return message + _HINTS.get(error.errno or 0, "")


def format_os_error(error: OSError, where: object = "a file") -> str:
    """Format a system error as `FILE: reason`; `where` stands in if the error names no file."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        _, target, why = error.args[0][0]  # the first of those that could not be copied
        full = os.strerror(errno.ENOSPC) in str(why)
        return f"{target}: {why}{_HINTS[errno.ENOSPC] if full else ''}"
    return f"{error.filename or where}: {os_error_reason(error)}"


def is_out_of_memory(error: BaseException) -> bool:
    """True if an allocation failed; torch and the dynamic loader say so in the message only."""
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, MemoryError):
            return True
        if isinstance(chain, RuntimeError | ImportError | OSError) and any(
            words in str(chain) for words in _NO_MEMORY
        ):
            return True
        chain = chain.__cause__ or chain.__context__
    return False


@contextmanager
def os_errors_as_user_errors(where: object) -> Iterator[None]:
    """Turn system errors inside into WavewrightErrors; `where` stands in for the file name."""
    try:
        yield
    except OSError as error:
        if error.errno is None and not isinstance(error, shutil.Error):  # a fault of ours
            raise
        raise WavewrightError(format_os_error(error, where)) from error


class StageFailed(WavewrightError):
    """A unit of a recipe ended with an error."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def shorten_list(names: Sequence[str], limit: int = 8) -> str:
    """Join names with commas; of many, only the first ones and the number of others."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Suggest the closest known name, ` Did you mean 'X'?`, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""
