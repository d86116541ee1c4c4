"""Fixtures of the fault tests: the toy recipe, and disks that are small, full or read-only."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.recipes.conftest import Toy, toy

__all__ = ["toy"]
MakeDisk = Callable[[Path, str], None]
_DROP_FROM_BOUNDING_SET, _OVERRIDE_MODES, _READ_ANYTHING = 24, 1, 2  # prctl(2), capabilities(7)


def mount(*arguments: str) -> None:
    """Mount, or skip the test where that is not allowed."""
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def small_disk() -> Iterator[MakeDisk]:
    """`small_disk(FOLDER, "4m")` puts a disk of that size there; again, it gives it that size."""
    made: list[Path] = []

    def make(folder: Path, size: str) -> None:
        if folder in made:
            mount("-o", f"remount,size={size}", str(folder))
            return
        folder.mkdir(parents=True, exist_ok=True)
        mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
        made.append(folder)

    yield make
    for folder in reversed(made):
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def read_only() -> Iterator[Callable[[Path], None]]:
    """`read_only(FOLDER)` lets nobody write there any more, root included."""
    made: list[Path] = []

    def make(folder: Path) -> None:
        mount("--bind", str(folder), str(folder))
        made.append(folder)
        mount("-o", "remount,ro,bind", str(folder))

    yield make
    for folder in reversed(made):
        subprocess.run(["umount", "-l", str(folder)], check=True)


def obey_modes() -> None:
    """Drop root's privilege to ignore file modes; runs in a child before its program."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (_OVERRIDE_MODES, _READ_ANYTHING):
            if libc.prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "the capability cannot be dropped")


def call(
    toy: Toy, *arguments: str, before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """`wavewright ARGUMENTS` in the toy's folder; `before` runs in the child first."""
    if before is None:
        return toy.call(*arguments)
    return subprocess.run(
        toy.command(*arguments),
        cwd=toy.folder,
        env=toy.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=before,
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    """All that a command said, in which no traceback may be."""
    words = done.stdout + done.stderr
    assert "Traceback" not in words, words
    return words
