"""Atomic file writing, and file digests."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PROBE = 2**18  # bytes of a trial write


@contextmanager
def atomic_write(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Write a file atomically: yields a hidden path that replaces `path` if the block succeeds.

    Args:
        path: the final name; an existing file is replaced in one step.
        durable: flush contents and folder to the disk, for files that must survive a power cut.
    """
    scratch = path.with_name(f".{path.name}.partial")
    try:
        yield scratch
        if durable:
            fsync_path(scratch)
        os.replace(scratch, path)
        if durable:
            fsync_path(path.parent)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


@contextmanager
def os_error_context(path: Path) -> Iterator[None]:
    """Turn a library's vague write error into an OSError with the system's reason.

    On a full disk libsndfile reports "System error.", torch.save an unexpected position, and
    safetensors the system's message as text.

    Raises:
        OSError: the file cannot be written; with errno, the system's message and the file name.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        number = errno.ENOSPC if f"os error {errno.ENOSPC})" in str(error) else _refusal(path)
        if number:
            raise OSError(number, os.strerror(number), str(path)) from error
        raise


def _refusal(path: Path) -> int:
    """errno of a trial write in the same folder; 0 if it succeeds."""
    try:
        with tempfile.TemporaryFile(dir=path.parent) as file:
            file.write(bytes(_PROBE))
            file.flush()
    except OSError as error:
        return error.errno or 0
    return 0


@contextmanager
def default_file_mode(path: Path) -> Iterator[None]:
    """Give a file that a library writes the permissions of any other new file.

    Some libraries write through a temporary file that only its owner may read.
    """
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    try:
        yield
    except BaseException:
        if not path.stat().st_size:
            path.unlink()
        raise
    path.chmod(mode)


def cache_folder() -> Path:
    """Folder of this user's cache: in XDG_CACHE_HOME, or ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "wavewright"


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write UTF-8 text atomically; line ends stay as they are."""
    with atomic_write(path, durable=durable) as scratch:
        scratch.write_text(text, encoding="utf-8", newline="\n")


def walk_files(folder: str | Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every file at any depth: relative name and stat, sorted by name.

    Meant for folders of very many files: pathlib takes five times as long.
    """

    def walk(folder: str, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from walk(entry.path, f"{prefix}{entry.name}/")
                elif entry.is_file():
                    yield prefix + entry.name, entry.stat()

    return iter(sorted(walk(str(folder), "")))


def fsync_path(path: Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: str | Path) -> str:
    """sha256 of a file's contents, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
