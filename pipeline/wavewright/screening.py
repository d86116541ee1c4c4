"""Look at one utterance before anything is made of it: is it usable, where is the speech, how loud?

A fault becomes a reason, an oddity a flag; neither stops the others. Reasons name no folder, so
that they are the same wherever the corpus lies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from wavewright.alignment import Alignment, read_alignment, speech_bounds
from wavewright.audio import Channel, Wav, load_wav
from wavewright.corpus import Entry
from wavewright.errors import MissingExtra, WavewrightError
from wavewright.level import Level, decibels, measure_level
from wavewright.text import describe, normalise_text, unknown_symbols

Trim = Literal["none", "alignment", "energy"]
_RATES = (4_000, 768_000)  # Hz
_SILENT = -60.0  # dBFS of the loudest 50 ms
_CLIPPED = 0.9999
_CLIPPED_SHARE = 1e-3
_OFFSET = 0.02
_UNKNOWN_SIZE = 0xFFFFFFFF  # as programs write that do not know yet how long it will be


@dataclass(frozen=True)
class Rules:
    """What is asked of an utterance, and how it will be read.

    Attributes:
        sample_rate: Hz of the prepared audio.
        minimum_seconds, maximum_seconds: allowed duration, the minimum after trimming.
        channel: which channel is taken.
        remove_offset: whether the mean of the samples will be subtracted.
        trim: `none`; `alignment`: to the first and last phone, by energy where there is no
            TextGrid; `energy`: to the first and last 10 ms within `top_db` of the loudest.
        margin: seconds that trimming leaves on either side.
        top_db: see `trim`.
        unknown_symbols: what to do with texts that `text.SYMBOLS` cannot spell.
    """

    sample_rate: int
    minimum_seconds: float
    maximum_seconds: float
    channel: Channel
    remove_offset: bool
    trim: Trim
    margin: float
    top_db: float
    unknown_symbols: Literal["quarantine", "flag"]


@dataclass(frozen=True)
class Screened:
    """What was found.

    Attributes:
        id: of the utterance.
        reason: why it cannot be used; empty if it can.
        flags: what is odd about it.
        start, stop: samples of the file, at its own rate, that are kept.
        level: of those; None with a reason.
        alignment: whether its TextGrid can be used.
        note: why the TextGrid cannot be used.
    """

    id: str
    reason: str = ""
    flags: tuple[str, ...] = ()
    start: int = 0
    stop: int = 0
    level: Level | None = None
    alignment: bool = False
    note: str = ""


def screen(entry: Entry, rules: Rules) -> Screened:
    """Judge one utterance; never raises for a fault of its own."""
    if entry.reason:
        return Screened(entry.id, entry.reason)
    try:
        return _screen(entry, rules)
    except MissingExtra:
        raise
    except WavewrightError as error:
        reason = str(error).replace(f"{entry.audio}: ", "").replace(f"{entry.audio.parent}/", "")
        return Screened(entry.id, f"{entry.audio.name}: {reason}")


def _screen(entry: Entry, rules: Rules) -> Screened:
    flags = list(_text_flags(entry, rules))
    flags += _check_file(entry.audio)
    rate, flagged = _check_header(entry.audio, rules)
    flags += flagged
    wav, _ = load_wav(entry.audio, channel=rules.channel)
    _require_length(len(wav), rate, rules)
    level = measure_level(wav, rate)
    if decibels(level.loudest) < _SILENT:
        raise WavewrightError(f"silent (loudest 50 ms: {decibels(level.loudest):.0f} dBFS)")
    flags += _sample_flags(wav, level)
    alignment, note = _alignment_of(entry, len(wav) / rate, rules)
    flags += ["bad_alignment"] if note else []
    start, stop, by_energy = _bounds(wav, rate, alignment, rules)
    flags += ["trimmed_by_energy"] if by_energy and rules.trim == "alignment" else []
    _require_length(stop - start, rate, rules)
    kept = wav[start:stop]
    if rules.remove_offset:
        kept = kept - kept.mean(dtype=np.float64).astype(np.float32)
    return Screened(
        id=entry.id,
        flags=tuple(sorted(flags)),
        start=start,
        stop=stop,
        level=measure_level(kept, rate),
        alignment=alignment is not None,
        note=note,
    )


def _text_flags(entry: Entry, rules: Rules) -> Iterator[str]:
    text = normalise_text(entry.normalised)
    unknown = unknown_symbols(text)
    if not text:
        raise WavewrightError("nothing to read in its text")
    if unknown and rules.unknown_symbols == "quarantine":
        raise WavewrightError(f"its text has symbols that no model reads: {describe(unknown)}")
    if unknown:
        yield "unknown_symbols"


def _check_file(path: Path) -> Iterator[str]:
    """Faults that libsndfile does not see: it reads a file that was cut short without a word."""
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
            found = _find_samples(file, size, "little" if start[:4] == b"RIFF" else "big")
    except OSError as error:
        raise WavewrightError(f"not readable ({error.strerror})") from error
    if found is None:
        raise WavewrightError("a WAV file without samples")
    declared, there, chunk_follows = found
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


def _check_header(path: Path, rules: Rules) -> tuple[int, list[str]]:
    """Sample rate and flags, from the header alone: nothing is decoded before it is plausible."""
    import soundfile

    if path.stat().st_size == 0:
        raise WavewrightError("the file is empty")
    try:
        header = soundfile.info(path)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise WavewrightError(f"not readable as audio ({error})") from error
    rate, frames, channels = int(header.samplerate), int(header.frames), int(header.channels)
    if not _RATES[0] <= rate <= _RATES[1]:
        raise WavewrightError(f"sample rate {rate} Hz is outside {_RATES[0]} to {_RATES[1]}")
    if frames > rules.maximum_seconds * rate:
        raise WavewrightError(
            f"too long: {frames / rate:.1f} s, the maximum is {rules.maximum_seconds:g} s"
        )
    flags = ["band_limited"] if rate < rules.sample_rate else []
    flags += [f"{channels}_channels"] if channels > 2 else []
    return rate, flags


def _require_length(samples: int, rate: int, rules: Rules) -> None:
    least = rules.minimum_seconds
    if samples / rate < least:
        raise WavewrightError(f"too short: {samples / rate:.3f} s, the minimum is {least:.3f} s")


def _sample_flags(wav: Wav, level: Level) -> Iterator[str]:
    if level.peak > 1.0:
        yield "over_full_scale"
    elif float((np.abs(wav) >= _CLIPPED).mean()) > _CLIPPED_SHARE:
        yield "clipped"
    if abs(float(wav.mean(dtype=np.float64))) > _OFFSET:
        yield "offset"


def _alignment_of(entry: Entry, seconds: float, rules: Rules) -> tuple[Alignment | None, str]:
    if entry.alignment is None:
        return None, ""
    try:
        alignment = read_alignment(entry.alignment, seconds)
        speech_bounds(alignment)
        return alignment, ""
    except MissingExtra:
        if rules.trim == "alignment":
            raise
        return None, "tgt is not installed"
    except WavewrightError as error:
        return None, str(error).replace(str(entry.alignment), entry.alignment.name)


def _bounds(
    wav: Wav, rate: int, alignment: Alignment | None, rules: Rules
) -> tuple[int, int, bool]:
    """First and last sample to keep, and whether energy decided."""
    if rules.trim == "none":
        return 0, len(wav), False
    if rules.trim == "alignment" and alignment is not None:
        start, end = speech_bounds(alignment, rules.margin)
        return math.floor(start * rate), min(math.ceil(end * rate), len(wav)), False
    start, end = energy_bounds(wav, rate, rules.top_db)
    margin = round(rules.margin * rate)
    return max(0, start - margin), min(len(wav), end + margin), True


def energy_bounds(wav: Wav, sample_rate: int, top_db: float) -> tuple[int, int]:
    """Samples from the first to after the last 10 ms that are within `top_db` of the loudest.

    The mean is taken off first: an offset is no energy.
    """
    block = min(max(1, round(0.01 * sample_rate)), len(wav))
    centred = wav.astype(np.float64) - float(wav.mean(dtype=np.float64))
    padded = np.pad(centred, (0, -len(wav) % block))
    power = (padded.reshape(-1, block) ** 2).mean(axis=1)
    loud = np.flatnonzero(power >= power.max() * 10 ** (-top_db / 10))
    return int(loud[0]) * block, min(len(wav), (int(loud[-1]) + 1) * block)
