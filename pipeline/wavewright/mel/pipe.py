"""Mels read from a pipe as they arrive, with the same checks as for files.

The stream is either raw frames without a header (little-endian float32, n_mels numbers per frame,
the lowest band first), or arrays as `numpy.save` writes them, each a chunk of any number of frames.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from wavewright.errors import WavewrightError
from wavewright.mel.file_formats import Array, first_line, read_numpy_header
from wavewright.mel.files import Floats, Layout, check_mel_array, orient, replace_neginf
from wavewright.mel.spec import MelSpec

log = logging.getLogger("wavewright")

_NAME = Path("standard input")  # in messages
_AT_ONCE = 2**16  # bytes per read; the capacity of a pipe
_FRAME_VALUE = np.dtype("<f4")


def read_mel_chunks(
    stream: BinaryIO, spec: MelSpec, *, layout: Layout = "bands_first"
) -> Iterator[Floats]:
    """Yield chunks of a mel as they arrive, until the pipe ends.

    Args:
        stream: buffered, such as `sys.stdin.buffer`. A .npy magic at the start means arrays.
        spec: the mel's convention.
        layout: order of the axes of arrays; raw frames have a fixed order.

    Yields:
        (n_mels, frames) float32, finite; values of -inf are raised to silence, with a warning.

    Raises:
        WavewrightError: the stream ends within a frame or an array, is empty, or holds no mel of
            this convention; everything before the fault has been yielded.
    """
    beginning = stream.read(len(np.lib.format.MAGIC_PREFIX))
    if beginning == np.lib.format.MAGIC_PREFIX:
        arrays = _arrays(stream)
    else:
        arrays, layout = _frames(stream, beginning, spec.n_mels), "frames_first"
    warned, frames = False, 0
    for array in arrays:
        try:
            mel = orient(check_mel_array(_NAME, array), _NAME, spec, layout, option="--layout ")
        except WavewrightError as error:
            raise WavewrightError(f"{error} (after {frames} frames)") from None
        mel, lost = replace_neginf(mel, spec)
        if lost and not warned:
            log.warning("%s: values of -inf are raised to the convention's silence", _NAME)
            warned = True
        frames += mel.shape[1]
        yield mel
    if not frames:
        raise WavewrightError(f"{_NAME}: holds no frames")


def _frames(stream: BinaryIO, beginning: bytes, bands: int) -> Iterator[Array]:
    """Yield the frames that have arrived, (frames, bands)."""
    size, buffer = bands * _FRAME_VALUE.itemsize, beginning
    while arrived := _read_available(stream):
        buffer += arrived
        ready = len(buffer) // size * size
        if ready:
            yield np.frombuffer(buffer[:ready], dtype=_FRAME_VALUE).reshape(-1, bands)
            buffer = buffer[ready:]
    if buffer:
        raise WavewrightError(
            f"{_NAME}: ends within a frame, {len(buffer)} bytes after the last whole one; a frame "
            f"is {size} bytes, {bands} float32 numbers"
        )


def _read_available(stream: BinaryIO) -> bytes:
    """At least one byte; none at the end."""
    read1 = getattr(stream, "read1", stream.read)
    arrived: bytes = read1(_AT_ONCE)
    return arrived


def _arrays(stream: BinaryIO) -> Iterator[Array]:
    """Every array, after the first bytes of the first one."""
    magic = np.lib.format.MAGIC_PREFIX
    for number in count(1):
        where = Path(f"{_NAME}, array {number}")
        try:
            shape, order, dtype = read_numpy_header(
                where, cast(BinaryIO, _PrefixedStream(magic, stream))
            )
        except (ValueError, EOFError) as error:
            raise WavewrightError(
                f"{where}: not a readable .npy header ({first_line(error)})"
            ) from error
        size = math.prod(shape) * dtype.itemsize
        values = stream.read(size)
        if len(values) < size:
            raise WavewrightError(
                f"{where}: truncated; its header declares {shape} of {dtype}, {size} bytes, and "
                f"{len(values)} follow"
            )
        yield np.frombuffer(values, dtype=dtype).reshape(shape, order="F" if order == "F" else "C")
        following = stream.read(len(magic))
        if not following:
            return
        if following != magic:
            raise WavewrightError(f"{where}: what follows it is no .npy array")


class _PrefixedStream:
    """A stream with its first bytes, which were read already, before it."""

    def __init__(self, beginning: bytes, stream: BinaryIO) -> None:
        self.beginning, self.stream = beginning, stream

    def read(self, size: int) -> bytes:
        """Read `size` bytes; fewer at the end."""
        head, self.beginning = self.beginning[:size], self.beginning[size:]
        return head + self.stream.read(size - len(head))
