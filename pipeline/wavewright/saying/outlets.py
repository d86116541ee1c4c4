"""Where speech goes while it is made: a WAV file that grows, or raw samples to a pipe."""

from __future__ import annotations

import os
import stat
import struct
import sys
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

import numpy as np

from wavewright.audio import Wav, to_pcm16
from wavewright.errors import WavewrightError

_UNKNOWN = 0xFFFFFFFF  # a size that readers of streams take for "until the end"


class Outlet(Protocol):
    """Takes pieces of a waveform; a context manager that tidies up."""

    name: str

    def write(self, wav: Wav) -> None:
        """Pass on (samples,) in [-1, 1] at once.

        Raises:
            WavewrightError: NaN or infinite samples, or nobody takes them any more.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class GrowingWav:
    """A 16-bit WAV file that can be played under its own name while it grows.

    Until its end is known its header says so as streams do, by the largest size; then it is set
    right. If the block does not end well the file is removed. Nothing is written before the first
    piece. A named pipe works as well.
    """

    def __init__(self, path: Path, sample_rate: int) -> None:
        self.name, self.path, self.sample_rate = f"{path}", path, sample_rate
        self._file: BinaryIO | None = None
        self._bytes = 0

    def write(self, wav: Wav) -> None:
        """Append a piece; it is in the file when this returns."""
        _require_finite(wav, self.name)
        data = to_pcm16(wav).astype("<i2").tobytes()
        try:
            if self._file is None:
                self._file = self.path.open("wb")
                self._file.write(_header(self.sample_rate, None))
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise WavewrightError(f"{self.path}: could not be written ({error})") from error
        self._bytes += len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is None:
            return
        with self._file as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            if kind is None and regular:
                file.seek(0)
                file.write(_header(self.sample_rate, self._bytes))
        if kind is not None and regular:
            self.path.unlink(missing_ok=True)


class RawSamples:
    """Signed 16-bit little-endian samples, one channel, without a header, to standard output."""

    name = "standard output"

    def __init__(self, sample_rate: int) -> None:
        if sys.stdout.isatty():
            raise WavewrightError(
                "--out - writes raw samples to standard output: send them to a player, such as "
                f"'| aplay -f S16_LE -r {sample_rate} -c 1', or to a file"
            )
        print(f"raw samples: s16le, {sample_rate} Hz, 1 channel", file=sys.stderr, flush=True)

    def write(self, wav: Wav) -> None:
        """Pass on a piece; it has left this process when this returns."""
        _require_finite(wav, self.name)
        try:
            sys.stdout.buffer.write(to_pcm16(wav).astype("<i2").tobytes())
            sys.stdout.buffer.flush()
        except BrokenPipeError as error:
            # What is left in the buffer would fail once more when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise WavewrightError("standard output was closed before the end") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


def outlet_to(path: Path | None, sample_rate: int) -> Outlet:
    """A growing WAV file, or with None raw samples to standard output."""
    return RawSamples(sample_rate) if path is None else GrowingWav(path, sample_rate)


def _require_finite(wav: Wav, where: str) -> None:
    if not np.isfinite(wav).all():
        raise WavewrightError(f"{where}: the waveform holds NaN or infinite samples")


def _header(sample_rate: int, size: int | None) -> bytes:
    """44 bytes of a WAV file with so many bytes of 16-bit samples; None: not known yet."""
    size = None if size is not None and size + 36 >= _UNKNOWN else size
    riff, data = (_UNKNOWN, _UNKNOWN) if size is None else (36 + size, size)
    form = struct.pack("<HHIIHH", 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    return struct.pack("<4sI4s4sI16s4sI", b"RIFF", riff, b"WAVE", b"fmt ", 16, form, b"data", data)
