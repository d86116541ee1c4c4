"""Read, check, resample and write audio. Waveforms are float32, mono, in [-1, 1]."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

import numpy as np
import numpy.typing as npt

from wavewright.errors import WavewrightError, os_error_reason
from wavewright.io.files import atomic_write, os_error_context

Wav = npt.NDArray[np.float32]
Pcm = npt.NDArray[np.int16]
Channel = Literal["left", "right", "mean"]


def load_wav(
    path: str | Path,
    sample_rate: int | None = None,
    *,
    channel: Channel = "left",
    start: float = 0.0,
    end: float | None = None,
) -> tuple[Wav, int]:
    """Read any file that libsndfile reads, as mono.

    Args:
        path: the file.
        sample_rate: resample to this rate; None keeps the file's.
        channel: channel to keep: the first (`left`), the second (`right`), or the `mean`.
        start, end: seconds; only this part is decoded. None means to the end.

    Returns:
        (samples,) float32 and its sample rate in Hz.

    Raises:
        WavewrightError: the file is missing, unreadable, empty, or holds NaN or infinite samples.
    """
    data, rate = read_channels(path, start=start, end=end)
    wav = mix_down(data, channel)
    if sample_rate is not None and rate != sample_rate:
        return resample(wav, rate, sample_rate), sample_rate
    return wav, rate


def mix_down(data: npt.NDArray[np.float32], channel: Channel) -> Wav:
    """Mix (samples, channels) down to (samples,) float32 by the policy `channel`."""
    if data.shape[1] == 1:
        return np.ascontiguousarray(data[:, 0])
    if channel == "mean":
        return np.ascontiguousarray(data.mean(axis=1, dtype=np.float32))
    return np.ascontiguousarray(data[:, 0 if channel == "left" else 1])


def read_channels(
    path: str | Path, *, start: float = 0.0, end: float | None = None
) -> tuple[npt.NDArray[np.float32], int]:
    """Read all channels: (samples, channels) float32 and the sample rate; see `load_wav`."""
    import soundfile

    path = Path(path)
    if not path.is_file():
        raise WavewrightError(f"{path}: no such audio file")
    if path.stat().st_size == 0:
        raise WavewrightError(f"{path}: the file is empty")
    try:
        with soundfile.SoundFile(path) as file:
            rate = int(file.samplerate)
            first = round(start * rate)
            if first:
                file.seek(min(first, file.frames))
            frames = -1 if end is None else max(0, round(end * rate) - first)
            data: npt.NDArray[np.float32] = file.read(frames, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise WavewrightError(f"{path}: not readable as audio ({error})") from error
    if data.size == 0:
        part = "" if start == 0 and end is None else f" from {start:g} s on"
        raise WavewrightError(f"{path}: the file has a header but no samples{part}")
    # Only NaN and infinities make the sum of squares non-finite; this is the fastest test.
    flat = data.reshape(-1)
    if not np.isfinite(np.dot(flat, flat)) and not np.isfinite(data).all():
        raise WavewrightError(f"{path}: contains NaN or infinite samples")
    return data, rate


def resample(wav: Wav, source: int, target: int) -> Wav:
    """Resample (samples,) from `source` to `target` Hz with soxr, quality VHQ."""
    if source == target:
        return wav
    import soxr

    resampled: Wav = soxr.resample(wav, source, target, quality="VHQ").astype(np.float32)
    return resampled


def to_pcm16(wav: npt.NDArray[np.floating]) -> Pcm:
    """Round to 16 bits. Values beyond [-1, 1] are clipped; they never wrap around."""
    return np.clip(np.round(wav * 32768.0), -32768, 32767).astype(np.int16)


def from_pcm16(pcm: Pcm) -> Wav:
    """Convert int16 to float32 in [-1, 1)."""
    return pcm.astype(np.float32) / np.float32(32768)


def save_wav(path: str | Path, wav: npt.NDArray[np.floating], sample_rate: int) -> None:
    """Write (samples,) as 16-bit WAV, clipped; the file appears whole or not at all.

    Raises:
        WavewrightError: samples are NaN or infinite, or the file cannot be written.
    """
    import soundfile

    path = Path(path)
    if not np.isfinite(wav).all():
        raise WavewrightError(f"{path}: not written, the waveform holds NaN or infinite samples")
    try:
        with atomic_write(path) as scratch, os_error_context(scratch):
            soundfile.write(scratch, to_pcm16(wav), sample_rate, subtype="PCM_16", format="WAV")
    except OSError as error:
        raise WavewrightError(f"{path}: could not be written ({os_error_reason(error)})") from error
    except soundfile.LibsndfileError as error:
        raise WavewrightError(f"{path}: could not be written ({error})") from error


@contextmanager
def wav_writer(
    out: Path | IO[bytes], sample_rate: int
) -> Iterator[Callable[[npt.NDArray[np.floating]], None]]:
    """Write 16-bit WAV in chunks: yields a function that takes the next (samples,).

    Args:
        out: a file, which is written atomically; or a pipe, a device or an open stream, to which
            every chunk is flushed at once, after a header that declares no length.
        sample_rate: Hz.

    Raises:
        WavewrightError: samples are NaN or infinite, or the file cannot be written.
        BrokenPipeError: the reader has closed the pipe.
    """
    name = out if isinstance(out, Path) else "the output"
    try:
        with _pcm_writer(out, sample_rate) as write:

            def write_checked(wav: npt.NDArray[np.floating]) -> None:
                if not np.isfinite(wav).all():
                    raise WavewrightError(f"{name}: the waveform holds NaN or infinite samples")
                write(to_pcm16(wav))

            yield write_checked
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WavewrightError(f"{name}: could not be written ({os_error_reason(error)})") from error


@contextmanager
def _pcm_writer(out: Path | IO[bytes], sample_rate: int) -> Iterator[Callable[[Pcm], None]]:
    if isinstance(out, Path) and (out.is_file() or not out.exists()):
        import soundfile

        kind = {"channels": 1, "subtype": "PCM_16", "format": "WAV"}
        with atomic_write(out) as scratch:
            try:
                with (
                    os_error_context(scratch),
                    soundfile.SoundFile(scratch, "w", sample_rate, **kind) as file,
                ):
                    yield file.write
            except soundfile.LibsndfileError as error:
                raise OSError(str(error)) from error
        return
    if isinstance(out, Path):
        with out.open("wb") as stream, _pcm_writer(stream, sample_rate) as write:
            yield write
        return
    out.write(streaming_wav_header(sample_rate))
    out.flush()

    def write_now(pcm: Pcm) -> None:
        out.write(pcm.astype("<i2").tobytes())
        out.flush()

    yield write_now


def streaming_wav_header(sample_rate: int) -> bytes:
    """Header of a 16-bit mono WAV stream of unknown length."""
    unknown, rate = 0xFFFFFFFF, sample_rate
    riff, data = (b"RIFF", unknown, b"WAVE"), (b"data", unknown)
    form = (b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    return struct.pack("<4sI4s4sIHHIIHH4sI", *riff, *form, *data)
