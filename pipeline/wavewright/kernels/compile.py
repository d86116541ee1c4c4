"""Compile a loop once and keep it: on this machine, for this version of the loops' source."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numba

from wavewright.io.files import cache_folder

#: Floating-point freedoms that let LLVM fuse and vectorise; infinities and NaN keep their meaning.
FAST = {"contract", "nsz", "arcp", "reassoc", "afn"}


def compiled(function: Callable[..., None]) -> Any:
    """`function` compiled by numba, without the interpreter's lock, kept in the user's cache.

    numba itself looks only at the file of the function; ours are made of several, so the folder is
    named after all of them.
    """
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(_folder())
    try:
        return numba.njit(nogil=True, cache=True, fastmath=FAST, boundscheck=False)(function)
    finally:
        settings.CACHE_DIR = before


def part(function: Callable[..., Any]) -> Any:
    """`function` as a part of compiled loops, which becomes a part of them."""
    return numba.njit(nogil=True, fastmath=FAST, boundscheck=False)(function)


@cache
def _folder() -> Path:
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return cache_folder() / "loops" / digest.hexdigest()[:16]


def together(loop: Callable[[int], None], threads: int) -> None:
    """Call a compiled loop once for every rank, side by side; an error of one is raised."""
    if threads == 1:
        loop(0)
        return
    with ThreadPoolExecutor(threads - 1) as pool:
        others = [pool.submit(loop, rank) for rank in range(1, threads)]
        loop(0)
        for other in others:
            other.result()
