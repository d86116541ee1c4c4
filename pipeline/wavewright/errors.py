"""Errors that a user can mend: one or two sentences naming file, field, found and allowed.

The command line prints them without a traceback and exits with `exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class WavewrightError(ValueError):
    """An expected error; its text is the whole message to the user."""

    exit_code = 2


class MelMismatch(WavewrightError):
    """Two sides of a border do not mean the same thing by "mel"."""


class UnknownName(WavewrightError, LookupError):
    """A name that nothing answers to; the text lists what does."""


class MissingExtra(WavewrightError):
    """A feature whose optional packages are not installed."""


class Locked(WavewrightError):
    """Another run works on the same folder."""

    exit_code = 75


class Stale(WavewrightError):
    """A stage before the first one asked for is missing or out of date."""

    exit_code = 77


def few(names: Sequence[str], limit: int = 8) -> str:
    """Names for a message, by commas; of many the first ones, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def nearest(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'X'?` for the closest known name, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""
