"""The files inside a shard: WAV or FLAC for audio, .npy for mels."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wavewright.data.shards.layout import Array, IndexRow, ShardHeader, check_array
from wavewright.errors import WavewrightError

# libFLAC's level 7 of 8: 353 s of kathleen took 0.537 of their PCM size, encoded at 3,490 times
# real time; level 5 takes 0.543 at 4,760, level 8 0.536 at 2,570; all decode alike.
_FLAC_LEVEL = 7 / 8


class EncodedMember(NamedTuple):
    """File of a shard; the array's own bytes start at `skip`."""

    suffix: str
    data: bytes
    skip: int


def encode(array: Array, header: ShardHeader) -> EncodedMember:
    """Encode one array as a file: int16 (samples,) or float32 (n_mels, frames)."""
    check_array(array, header)
    buffer = io.BytesIO()
    if header.mel is not None:
        # Frames lie side by side in the file, so that a crop of frames is one range of bytes.
        np.save(buffer, np.asfortranarray(array), allow_pickle=False)
        data = buffer.getvalue()
        return EncodedMember(".npy", data, len(data) - array.nbytes)
    import soundfile

    if header.encoding == "flac":
        soundfile.write(
            buffer,
            array,
            header.sample_rate,
            subtype="PCM_16",
            format="FLAC",
            compression_level=_FLAC_LEVEL,
        )
        return EncodedMember(".flac", buffer.getvalue(), 0)
    soundfile.write(buffer, array, header.sample_rate, subtype="PCM_16", format="WAV")
    data = buffer.getvalue()
    return EncodedMember(".wav", data, len(data) - 2 * array.size)


def decode(
    read: Callable[[int, int], bytes],
    row: IndexRow,
    header: ShardHeader,
    start: int,
    stop: int,
    path: Path,
) -> Array:
    """Decode samples or frames `start` to `stop` of a member.

    Args:
        read: (offset, size) -> those bytes of the shard, fewer where it ends. Only the samples'
            bytes are read, or those of the FLAC frames around them.
        row: index row of the member.
        header: header of the folder.
        start: first sample or frame.
        stop: before this one.
        path: path of the shard, for errors.
    """
    if header.encoding == "flac":
        return _decode_flac(read, row, start, stop, path)
    kind: type[np.int16 | np.float32] = np.int16 if header.mel is None else np.float32
    step = row.rows * np.dtype(kind).itemsize
    data = read(row.offset + start * step, (stop - start) * step)
    if len(data) != (stop - start) * step:
        raise WavewrightError(f"{path}: ends before '{row.id}' does, so it was cut short")
    flat: Array = np.frombuffer(data, dtype=kind)
    return flat if header.mel is None else flat.reshape(stop - start, row.rows).T


def _decode_flac(
    read: Callable[[int, int], bytes], row: IndexRow, start: int, stop: int, path: Path
) -> Array:
    import soundfile

    if not read(row.offset + row.size - 1, 1):
        raise WavewrightError(f"{path}: ends before '{row.id}' does, so it was cut short")
    window = io.BufferedReader(_ByteRange(read, row.offset, row.size), 16384)
    try:
        with soundfile.SoundFile(window) as file:
            file.seek(start)
            samples: Array = file.read(stop - start, dtype="int16")
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise WavewrightError(f"{path}: '{row.id}' cannot be decoded ({error})") from error
    if samples.shape != (stop - start,):
        raise WavewrightError(f"{path}: '{row.id}' ends after {start + len(samples)} samples")
    return samples


class _ByteRange(io.RawIOBase):
    """Byte range of a shard as a file object."""

    def __init__(self, read: Callable[[int, int], bytes], start: int, size: int) -> None:
        self.bytes_at, self.start, self.size, self.place = read, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.size}[whence]
        self.place = max(0, base + offset)
        return self.place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        size = max(0, min(len(buffer), self.size - self.place))
        data = self.bytes_at(self.start + self.place, size)
        buffer[: len(data)] = data
        self.place += len(data)
        return len(data)
