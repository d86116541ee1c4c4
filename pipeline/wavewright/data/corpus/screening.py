"""Screening of utterances: is it usable, where is the speech, how loud is it?

A fault becomes a reason, an oddity a flag; neither stops the others. Reasons name no folder, so
that they are the same wherever the corpus lies.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np

from wavewright.audio.files import Channel, Wav, mix_down, read_channels
from wavewright.audio.loudness import SpeechLevel, decibels, measure_level
from wavewright.audio.wav_header import header_flags
from wavewright.compute.parallel_map import parallel_map
from wavewright.data.corpus.quality import Quality, measure_quality, quality_flags
from wavewright.data.corpus.utterances import CorpusUtterance
from wavewright.errors import MissingExtra, WavewrightError
from wavewright.text.symbols import describe_characters, normalize_text, unknown_symbols
from wavewright.text.textgrid import (
    Alignment,
    cut_alignment,
    read_alignment_with_warnings,
    speech_bounds,
)

PHONE_SEPARATOR = "\x1f"
Trim = Literal["none", "alignment", "energy"]
_RATES = (4_000, 768_000)  # Hz
_SILENT = -60.0  # dBFS of the loudest 50 ms
_DEAD = 1e-4  # of the loudest channel's power
_OPPOSITE = -0.9  # correlation of two channels
_SPELL_OUT = " (prepare.text_rules=english spells English numbers out)"
_SLACK = 0.05  # seconds that a segment may end after its recording
log = logging.getLogger("wavewright")


@dataclass(frozen=True)
class ScreeningRules:
    """Requirements on an utterance, and options for reading it.

    Attributes:
        sample_rate: Hz of the prepared audio.
        minimum_seconds, maximum_seconds: allowed duration, the minimum after trimming.
        channel: channel to keep, or their mean.
        remove_offset: whether the mean of the samples will be subtracted.
        trim: `none`; `alignment`: to the first and last phone, by energy where there is no
            TextGrid; `energy`: to the first and last 10 ms within `top_db` of the loudest.
        margin: seconds that trimming leaves on either side.
        top_db: see `trim`.
        unknown_symbols: treatment of texts with symbols outside `text.SYMBOLS`.
        require_text: whether an utterance without text is a fault.
        phones_tier, words_tier: names of the TextGrids' tiers.
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
    require_text: bool = True
    phones_tier: str = "phones"
    words_tier: str = "words"


_UNKNOWN = Quality()


def _no_seconds() -> np.ndarray:
    return np.zeros(0)


@dataclass(frozen=True, slots=True)
class ScreeningResult:
    """Outcome of screening one utterance.

    Attributes:
        id: id of the utterance.
        reason: reason for not using it; empty if it is usable.
        flags: names of its oddities.
        start, stop: samples of the utterance's part of the file, at its own rate, that are kept.
        level: level of the kept samples; None with a reason.
        quality: quality of the kept samples.
        alignment: whether its TextGrid can be used.
        note: fault or oddity of the TextGrid.
        phones: labels of what is kept, SEPARATOR between (a list would take ten times the memory).
        phone_seconds: duration of each phone.
    """

    id: str
    reason: str = ""
    flags: tuple[str, ...] = ()
    start: int = 0
    stop: int = 0
    level: SpeechLevel | None = None
    quality: Quality = _UNKNOWN
    alignment: bool = False
    note: str = ""
    phones: str = ""
    phone_seconds: np.ndarray = field(default_factory=_no_seconds, compare=False)


def screen(utterance: CorpusUtterance, rules: ScreeningRules) -> ScreeningResult:
    """Screen one utterance; its own faults become a reason, not an error."""
    if utterance.reason:
        return ScreeningResult(utterance.id, utterance.reason)
    try:
        return _screen(utterance, rules)
    except MissingExtra:
        raise
    except WavewrightError as error:
        reason = (
            str(error).replace(f"{utterance.audio}: ", "").replace(f"{utterance.audio.parent}/", "")
        )
        return ScreeningResult(utterance.id, f"{utterance.audio.name}: {reason}")


def _screen(utterance: CorpusUtterance, rules: ScreeningRules) -> ScreeningResult:
    flags = list(_text_flags(utterance, rules))
    flags += header_flags(utterance.audio)
    rate, oddities = _check_header(utterance, rules)
    flags += oddities
    channels, _ = read_channels(utterance.audio, start=utterance.start, end=utterance.end)
    wav = mix_down(channels, rules.channel)
    _require_length(len(wav), rate, rules)
    flags += _channel_flags(channels)
    level = measure_level(wav, rate)
    if decibels(level.loudest) < _SILENT:
        raise WavewrightError(f"silent (loudest 50 ms: {decibels(level.loudest):.0f} dBFS)")
    alignment, note = _read_alignment(utterance, len(wav) / rate, rules)
    flags += ["bad_alignment"] if note and alignment is None else []
    start, stop, by_energy = _bounds(wav, rate, alignment, rules)
    flags += ["trimmed_by_energy"] if by_energy and rules.trim == "alignment" else []
    _require_length(stop - start, rate, rules)
    part = wav[start:stop]
    if len(part) < len(wav):
        level = measure_level(part, rate)
    quality = measure_quality(part, rate, level)
    flags += quality_flags(part, len(part) / rate, level, quality)
    if rules.remove_offset:
        level = replace(level, peak=_peak_without_offset(part))
    phones = cut_alignment(alignment, start / rate, stop / rate).phones if alignment else ()
    return ScreeningResult(
        id=utterance.id,
        flags=tuple(sorted(flags)),
        start=start,
        stop=stop,
        level=level,
        quality=quality,
        alignment=alignment is not None,
        note=note,
        phones=PHONE_SEPARATOR.join(phone.label or "sil" for phone in phones),
        phone_seconds=np.array([phone.end - phone.start for phone in phones], dtype=np.float32),
    )


def _peak_without_offset(wav: Wav) -> float:
    mean = float(wav.mean(dtype=np.float64))
    return max(float(wav.max()) - mean, mean - float(wav.min()))


def _channel_flags(data: np.ndarray) -> Iterator[str]:
    """Oddities of (samples, channels)."""
    count = data.shape[1]
    if count > 2:
        yield f"{count}_channels"
    if count < 2:
        return
    powers = np.square(data[:, :2], dtype=np.float64).mean(axis=0)
    if powers.min() < _DEAD * powers.max():
        yield "dead_channel"
    elif float((data[:, 0] * data[:, 1]).mean(dtype=np.float64)) < _OPPOSITE * np.sqrt(
        powers.prod()
    ):
        yield "antiphase"


def _text_flags(utterance: CorpusUtterance, rules: ScreeningRules) -> Iterator[str]:
    text = normalize_text(utterance.normalised)
    unknown = unknown_symbols(text)
    if not text and (rules.require_text or utterance.normalised):
        raise WavewrightError("nothing to read in its text")
    if unknown and rules.unknown_symbols == "quarantine":
        hint = _SPELL_OUT if any(symbol.isdigit() for symbol in unknown) else ""
        raise WavewrightError(
            f"its text has symbols that no model reads: {describe_characters(unknown)}{hint}"
        )
    if unknown:
        yield "unknown_symbols"


def _check_header(utterance: CorpusUtterance, rules: ScreeningRules) -> tuple[int, list[str]]:
    """Sample rate and flags, from the header alone: nothing is decoded before it is plausible."""
    import soundfile

    path = utterance.audio
    if path.stat().st_size == 0:
        raise WavewrightError("the file is empty")
    try:
        header = soundfile.info(path)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise WavewrightError(f"not readable as audio ({error})") from error
    rate, frames = int(header.samplerate), int(header.frames)
    if not _RATES[0] <= rate <= _RATES[1]:
        raise WavewrightError(f"sample rate {rate} Hz is outside {_RATES[0]} to {_RATES[1]}")
    end = frames / rate if utterance.end is None else min(utterance.end, frames / rate)
    if utterance.end is not None and utterance.end > frames / rate + _SLACK:
        raise WavewrightError(
            f"ends at {utterance.end:.2f} s, but the recording has {frames / rate:.2f} s"
        )
    if end - utterance.start > rules.maximum_seconds:
        raise WavewrightError(
            f"too long: {end - utterance.start:.1f} s, the maximum is {rules.maximum_seconds:g} s"
        )
    return rate, ["band_limited"] if rate < rules.sample_rate else []


def _require_length(samples: int, rate: int, rules: ScreeningRules) -> None:
    least = rules.minimum_seconds
    if samples / rate < least:
        raise WavewrightError(f"too short: {samples / rate:.3f} s, the minimum is {least:.3f} s")


def _read_alignment(
    utterance: CorpusUtterance, seconds: float, rules: ScreeningRules
) -> tuple[Alignment | None, str]:
    if utterance.alignment is None:
        return None, ""
    try:
        alignment, odd = read_alignment_with_warnings(
            utterance.alignment, seconds, phones=rules.phones_tier, words=rules.words_tier
        )
        speech_bounds(alignment)
        return alignment, odd
    except MissingExtra:
        if rules.trim == "alignment":
            raise
        return None, "tgt is not installed"
    except WavewrightError as error:
        return None, str(error).replace(str(utterance.alignment), utterance.alignment.name)


def _bounds(
    wav: Wav, rate: int, alignment: Alignment | None, rules: ScreeningRules
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


_CHUNK = 64  # utterances that a worker screens at a time


def screen_all(
    utterances: Sequence[CorpusUtterance], rules: ScreeningRules, jobs: int
) -> dict[str, ScreeningResult]:
    """Screen all utterances in `jobs` worker processes; results by id."""
    chunks = [utterances[i : i + _CHUNK] for i in range(0, len(utterances), _CHUNK)]
    batches = parallel_map(
        partial(_screen_batch, rules=rules),
        chunks,
        jobs=jobs,
        what="check",
        unit="batches",
        on_crash=partial(_screen_one_by_one, rules),
    )
    return {item.id: item for items in batches for item in items}


def log_alignment_faults(results: Mapping[str, ScreeningResult]) -> None:
    """Warn of TextGrids that cannot be used or are odd."""
    notes = [result.note for result in results.values() if result.note and not result.alignment]
    if notes:
        log.warning("%d TextGrids cannot be used, such as %s", len(notes), notes[0])
    odd = [f"{r.id}: {r.note}" for r in results.values() if r.note and r.alignment]
    if odd:
        log.warning("%d TextGrids are odd, such as that of %s", len(odd), odd[0])


def _screen_one_by_one(
    rules: ScreeningRules, utterances: Sequence[CorpusUtterance]
) -> list[ScreeningResult]:
    """Screen a batch that killed its worker one by one, and leave the culprit out."""
    # Two workers at least: alone, the work would be done in this process, and kill it.
    return parallel_map(
        partial(_screen_one, rules=rules),
        [*utterances],
        jobs=2,
        what="check one by one",
        unit="utterances",
        on_crash=_crash_result,
    )


def _screen_one(utterance: CorpusUtterance, rules: ScreeningRules) -> ScreeningResult:
    return _screen_batch([utterance], rules)[0]


def _crash_result(utterance: CorpusUtterance) -> ScreeningResult:
    return ScreeningResult(
        utterance.id, f"{utterance.audio.name}: reading it kills the process (tried 3 times)"
    )


def _screen_batch(
    utterances: Sequence[CorpusUtterance], rules: ScreeningRules
) -> list[ScreeningResult]:
    return [screen(utterance, rules) for utterance in utterances]
