"""Faults of a WAV file that libsndfile does not report, such as truncation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from wavewright.errors import WavewrightError

_UNKNOWN_SIZE = 0xFFFFFFFF  # written by programs that do not know the length yet


def header_flags(path: Path) -> Iterator[str]:
    """Yield flags of a WAV file's oddities, by its header and size.

    Raises:
        WavewrightError: no regular file, not readable, a Git LFS pointer, or a header that
            declares other samples than the file has.
    """
    if not path.is_file():
        raise WavewrightError("not a regular file")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(12)
            if start.startswith(b"version http"):
                raise WavewrightError("a Git LFS pointer, not audio: fetch it with 'git lfs pull'")
            if start[:4] not in (b"RIFF", b"RIFX") or start[8:] != b"WAVE":
                return
            data_chunk = _find_samples(file, size, "little" if start[:4] == b"RIFF" else "big")
    except OSError as error:
        raise WavewrightError(f"not readable ({error.strerror})") from error
    if data_chunk is None:
        raise WavewrightError("a WAV file without samples")
    declared, there, chunk_follows = data_chunk
    if declared == _UNKNOWN_SIZE:
        yield "unknown_size"
    elif declared > there:
        raise WavewrightError(f"cut short: the header promises {declared} bytes, {there} are there")
    elif declared == 0 and there > 0:
        raise WavewrightError(f"the header promises no samples, though {there} bytes follow")
    elif there > declared + 1 and not chunk_follows:
        yield "trailing_bytes"


def _find_samples(
    file: Any, size: int, order: Literal["little", "big"]
) -> tuple[int, int, bool] | None:
    """Bytes that the data chunk declares, bytes from there on, and whether a chunk follows it."""
    place = 12
    while place + 8 <= size:
        file.seek(place)
        name, length = file.read(4), int.from_bytes(file.read(4), order)
        after = place + 8 + length + length % 2
        if name == b"data":
            file.seek(min(after, size))
            following = file.read(4)
            is_chunk = len(following) == 4 and all(32 <= byte < 127 for byte in following)
            return length, size - place - 8, is_chunk
        place = after
    return None
