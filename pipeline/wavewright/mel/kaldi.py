"""Kaldi's binary matrices, plain and compressed, out of an archive.

Read here because kaldiio comes under a licence for evaluation only. The format is that of Kaldi's
`matrix/kaldi-matrix.cc` and `compressed-matrix.cc`: little-endian, after the marker `\\0B`.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from wavewright.errors import WavewrightError

_PLAIN = {b"FM": "<f4", b"DM": "<f8"}
_COMPRESSED = {b"CM": "u1", b"CM2": "<u2", b"CM3": "u1"}
Array = npt.NDArray[Any]


def read_kaldi_matrix(path: Path, stream: IO[bytes], most_values: int) -> Array:
    """The (rows, columns) matrix that begins here; floats of the precision it was stored in.

    Args:
        path: archive, for messages and for its size.
        stream: at the matrix's first byte; left after its last.
        most_values: larger ones are refused before memory is taken.

    Raises:
        WavewrightError: no such matrix (vectors, text, audio and pickles are not read), one that
            is too large, or one that the file does not hold whole.
    """
    start = stream.tell()
    marker, kind = stream.read(2), b""
    while marker == b"\0B" and len(kind) < 4 and not kind.endswith(b" "):
        kind += stream.read(1)
    kind = kind.strip()
    if kind not in (*_PLAIN, *_COMPRESSED):
        raise WavewrightError(
            f"{path}: no binary Kaldi matrix at byte {start} (FM, DM and CM are read; vectors, "
            "text, audio and pickles are not)"
        )
    least = spread = 0.0
    if kind in _PLAIN:
        head = np.frombuffer(_exactly(path, stream, 10), np.uint8).tobytes()
        rows, columns = (int.from_bytes(head[i : i + 4], "little", signed=True) for i in (1, 6))
    else:
        head = _exactly(path, stream, 16)
        least, spread = (float(x) for x in np.frombuffer(head[:8], "<f4"))
        rows, columns = (int(x) for x in np.frombuffer(head[8:], "<i4"))
    if rows < 0 or columns < 0 or rows * columns > most_values:
        raise WavewrightError(
            f"{path}: declares the shape {(rows, columns)}, more than the {most_values:,} values "
            "that one mel may have"
        )
    dtype = np.dtype(_PLAIN.get(kind) or _COMPRESSED[kind])
    size = rows * columns * dtype.itemsize + (8 * columns if kind == b"CM" else 0)
    if size > path.stat().st_size - stream.tell():
        raise WavewrightError(f"{path}: truncated; a matrix of {rows} x {columns} does not fit in")
    data = _exactly(path, stream, size)
    if kind in _PLAIN:
        return np.frombuffer(data, dtype).reshape(rows, columns)
    if kind == b"CM":
        return _by_percentiles(data, rows, columns, least, spread)
    values = np.frombuffer(data, dtype).reshape(rows, columns).astype(np.float32)
    return np.float32(least) + values * np.float32(spread / np.iinfo(dtype).max)


def _exactly(path: Path, stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise WavewrightError(f"{path}: truncated in the middle of a Kaldi matrix")
    return data


def _by_percentiles(data: bytes, rows: int, columns: int, least: float, spread: float) -> Array:
    """One byte per value, column by column, linear between four percentiles of the column."""
    marks = np.frombuffer(data[: 8 * columns], "<u2").reshape(columns, 4).astype(np.float32)
    marks = np.float32(least) + marks * np.float32(spread / 65535)
    codes = np.frombuffer(data[8 * columns :], np.uint8).reshape(columns, rows).astype(np.float32)
    values = np.empty((columns, rows), np.float32)
    for column in range(columns):
        values[column] = np.interp(codes[column], (0, 64, 192, 255), marks[column])
    return values.T
