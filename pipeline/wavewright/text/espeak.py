"""Speech synthesis with exact timings by espeak-ng: the corpus of recipes without a download.

The library of the extra `phonemes` is called through ctypes; `symbols.espeak_library` finds it.
espeak-ng keeps the state of its oscillators, breath noise and random numbers in global variables,
from one text to the next. Each text is therefore synthesized by a fresh copy of the library, which
is loaded, used once and unloaded: equal texts give equal samples in any order (5 ms per text).
"""

from __future__ import annotations

import ctypes
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wavewright.errors import WavewrightError
from wavewright.text.symbols import espeak_library, shorten
from wavewright.text.textgrid import Alignment, Interval

SILENCE = "sil"

# Values of espeak-ng's speak_lib.h.
_SYNCHRONOUS = 2
_PHONEME_EVENTS_IN_IPA = 0x0001 | 0x0002
_POSITION_CHARACTER = 1
_UTF8 = 1
_RATE = 1
_WORD, _END, _PHONEME = 1, 5, 7


class _Identifier(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """Event of espeak-ng (`espeak_EVENT`); `sample` is its position in the output."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identifier),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True)
class EspeakSpeech:
    """One utterance: wav (samples,) int16, sample rate, and times of words and phones (IPA)."""

    wav: npt.NDArray[np.int16]
    sample_rate: int
    alignment: Alignment


@dataclass(frozen=True)
class _Mark:
    """Word, phone or end of a clause, at a sample of the output.

    `position` is the index of a word's first character in the text, `phone` the IPA of a phone.
    """

    kind: int
    sample: int
    position: int
    phone: str


def synthesize(
    text: str, *, voice: str = "en-us", words_per_minute: int = 160, padding: float = 0.1
) -> EspeakSpeech:
    """Synthesize a text, deterministically.

    A phone lasts from its event to the next, the first phone of a word from the word's event. The
    closure of a stop within a word thus belongs to the phone before it, as espeak-ng counts.

    Args:
        text: plain text.
        voice: name of an espeak-ng voice, such as `en-us`, `en-gb-scotland`, `de`.
        words_per_minute: nominal rate, 80 to 450.
        padding: silence before and after, in seconds.

    Raises:
        MissingExtra: the extra `phonemes` is not installed.
        WavewrightError: unknown voice, rate out of range, or nothing to pronounce.
    """
    if not 80 <= words_per_minute <= 450:
        raise WavewrightError(f"words_per_minute is {words_per_minute}; allowed: 80 to 450")
    wav, marks, rate = _synthesise(text, voice, words_per_minute)
    if not any(mark.kind == _WORD for mark in marks):
        raise WavewrightError(f"espeak-ng finds nothing to speak in {shorten(text)}")
    silence = round(padding * rate)
    alignment = _alignment(marks, text, len(wav), silence, rate)
    return EspeakSpeech(np.pad(wav, silence), rate, alignment)


def _synthesise(
    text: str, voice: str, words_per_minute: int
) -> tuple[npt.NDArray[np.int16], list[_Mark], int]:
    blocks: list[npt.NDArray[np.int16]] = []
    marks: list[_Mark] = []

    def receive(samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        for event in iter(events):
            if event.type == 0:  # the end of the list
                break
            if event.type in (_WORD, _PHONEME, _END):
                marks.append(_mark(event))
        return 0

    callback = _Callback(receive)
    with _fresh_library() as (espeak, rate):
        espeak.espeak_SetSynthCallback(callback)
        if espeak.espeak_SetVoiceByName(voice.encode()) != 0:
            raise WavewrightError(f"espeak-ng has no voice '{voice}'")
        espeak.espeak_SetParameter(_RATE, words_per_minute, 0)
        data = text.encode() + b"\0"
        size = ctypes.c_size_t(len(data))
        status = espeak.espeak_Synth(data, size, 0, _POSITION_CHARACTER, 0, _UTF8, None, None)
    if status != 0:
        raise WavewrightError(f"espeak-ng could not speak {shorten(text)} (status {status})")
    wav = np.concatenate(blocks) if blocks else np.zeros(0, np.int16)
    return wav, marks, rate


def _mark(event: _Event) -> _Mark:
    raw = b""
    if event.type == _PHONEME:  # eight bytes; the last is zero only if the name is shorter
        raw = ctypes.string_at(ctypes.addressof(event.id), 8).split(b"\0")[0]
    phone = raw.decode("utf-8", errors="replace")
    return _Mark(event.type, event.sample, event.text_position - 1, phone)


@contextmanager
def _fresh_library() -> Iterator[tuple[Any, int]]:
    """Load a fresh copy of the library; yield it and its sample rate."""
    import _ctypes

    library, data = espeak_library()
    with tempfile.TemporaryDirectory(prefix="wavewright-espeak-") as scratch:
        copy = Path(shutil.copy(library, scratch))
        try:
            espeak = ctypes.CDLL(str(copy))
        except OSError as error:
            raise WavewrightError(f"espeak-ng's library could not be loaded: {error}") from error
        ctypes.CDLL(None).srand(1)  # its breath noise comes from the C library's rand()
        rate = espeak.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _PHONEME_EVENTS_IN_IPA)
        if rate <= 0:
            raise WavewrightError(f"espeak-ng could not read its data in {data}")
        try:
            yield espeak, rate
        finally:
            espeak.espeak_Terminate()
            _ctypes.dlclose(espeak._handle)


def _alignment(marks: list[_Mark], text: str, samples: int, silence: int, rate: int) -> Alignment:
    labels = iter(_word_labels(marks, text))
    words: list[tuple[int, str]] = [(0, "")]
    phones: list[tuple[int, str]] = [(0, SILENCE)]
    word_start: int | None = None
    for mark in marks:
        at = silence + mark.sample
        if mark.kind == _WORD:
            words.append((at, next(labels)))
            word_start = at
        elif mark.kind == _END or mark.phone.strip("_:") == "":
            words.append((at, ""))
            phones.append((at, SILENCE))
        else:
            phones.append((at if word_start is None else word_start, mark.phone))
            word_start = None
    end = silence + samples
    total = end + silence
    return Alignment(
        words=_intervals([*words, (end, "")], total, rate),
        phones=_intervals([*phones, (end, SILENCE)], total, rate),
        duration=total / rate,
    )


def _word_labels(marks: list[_Mark], text: str) -> list[str]:
    """Text from each word's start to the next one's, without surrounding punctuation.

    espeak-ng reports a group pronounced as one word ("of the") once, at its start.
    """
    starts = [mark.position for mark in marks if mark.kind == _WORD]
    ends = [*starts[1:], len(text)]
    return [text[a:b].strip(" .,;:!?()\"'-") for a, b in zip(starts, ends, strict=True)]


def _intervals(starts: list[tuple[int, str]], total: int, rate: int) -> tuple[Interval, ...]:
    """Intervals from each label to the next; adjacent silences are merged, empty ones dropped."""
    merged: list[tuple[int, str]] = []
    for index, (start, label) in enumerate(starts):
        following = starts[index + 1][0] if index + 1 < len(starts) else total
        repeated = bool(merged) and label in ("", SILENCE) and merged[-1][1] == label
        if following > start and not repeated:
            merged.append((start, label))
    ends = [start for start, _ in merged[1:]] + [total]
    return tuple(
        Interval(start / rate, end / rate, label)
        for (start, label), end in zip(merged, ends, strict=True)
    )
