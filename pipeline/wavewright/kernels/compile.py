"""Compilation of the sample loops with numba, cached per machine and per version of the source."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numba

from wavewright.io.files import cache_folder

#: Floating-point freedoms that let LLVM fuse and vectorize; infinities and NaN keep their meaning.
FASTMATH = {"contract", "nsz", "arcp", "reassoc", "afn"}


def compile_loop(function: Callable[..., None]) -> Any:
    """Compile a loop that releases the GIL and is cached in the user's cache folder.

    numba's cache checks only the file of the function itself. A loop is built from several files,
    so the folder name is a digest of all of them.
    """
    settings: Any = numba.config
    previous = settings.CACHE_DIR
    settings.CACHE_DIR = str(_loop_cache_folder())
    try:
        return numba.njit(nogil=True, cache=True, fastmath=FASTMATH, boundscheck=False)(function)
    finally:
        settings.CACHE_DIR = previous


def compile_inner(function: Callable[..., Any]) -> Any:
    """Compile a function that only compiled loops call; it is cached with them."""
    return numba.njit(nogil=True, fastmath=FASTMATH, boundscheck=False)(function)


@cache
def _loop_cache_folder() -> Path:
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return cache_folder() / "loops" / digest.hexdigest()[:16]


def run_on_threads(loop: Callable[[int], None], threads: int) -> None:
    """Call `loop(rank)` concurrently for every rank; re-raise the first error."""
    if threads == 1:
        loop(0)
        return
    with ThreadPoolExecutor(threads - 1) as pool:
        futures = [pool.submit(loop, rank) for rank in range(1, threads)]
        loop(0)
        for future in futures:
            future.result()
