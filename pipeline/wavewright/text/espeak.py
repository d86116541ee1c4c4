"""Speech from espeak-ng with exact timings: the corpus of recipes that download nothing.

The library of the extra `phonemes` is driven through ctypes; `text.espeak_library` finds it, so
that `text` stays the only module that imports that package. espeak-ng keeps the state of its
oscillators, its breath noise and its random numbers in global variables, from one text to the
next. Every text is therefore spoken by a copy of the library that is loaded, used once and
unloaded: equal texts give equal samples, whatever was spoken before (5 ms per text).
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
    """`espeak_EVENT`: `sample` is where in the output the event lies."""

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
class Spoken:
    """One utterance: (samples,) int16, Hz, and where its words and phones (IPA) lie."""

    wav: npt.NDArray[np.int16]
    sample_rate: int
    alignment: Alignment


@dataclass(frozen=True)
class _Mark:
    """A word, a phone or the end of a clause, at a sample of the output.

    `position` is the character of the text that a word starts at, `phone` the IPA of a phone.
    """

    kind: int
    sample: int
    position: int
    phone: str


def speak(
    text: str, *, voice: str = "en-us", words_per_minute: int = 160, padding: float = 0.1
) -> Spoken:
    """Speak a text, deterministically.

    A phone runs from its event to the next one, the first phone of a word from the word's event.
    The closed part of a stop inside a word so belongs to the phone before it, as espeak-ng counts.

    Args:
        text: ordinary text.
        voice: name of an espeak-ng voice, such as `en-us`, `en-gb-scotland`, `de`.
        words_per_minute: nominal rate, 80 to 450.
        padding: seconds of silence before and after.

    Raises:
        MissingExtra: the extra `phonemes` is not installed.
        WavewrightError: unknown voice, rate out of range, or nothing to speak.
    """
    if not 80 <= words_per_minute <= 450:
        raise WavewrightError(f"words_per_minute is {words_per_minute}; allowed: 80 to 450")
    wav, marks, rate = _synthesise(text, voice, words_per_minute)
    if not any(mark.kind == _WORD for mark in marks):
        raise WavewrightError(f"espeak-ng finds nothing to speak in {shorten(text)}")
    silence = round(padding * rate)
    alignment = _alignment(marks, text, len(wav), silence, rate)
    return Spoken(np.pad(wav, silence), rate, alignment)


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
    """The library in its initial state, and its sample rate."""
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
    """The text from each word's start to the next one's, without the punctuation around it.

    espeak-ng reports a group that it speaks as one word ("of the") once, at its start.
    """
    starts = [mark.position for mark in marks if mark.kind == _WORD]
    ends = [*starts[1:], len(text)]
    return [text[a:b].strip(" .,;:!?()\"'-") for a, b in zip(starts, ends, strict=True)]


def _intervals(starts: list[tuple[int, str]], total: int, rate: int) -> tuple[Interval, ...]:
    """Each label until the next one; equal silences that touch are joined, empty ones dropped."""
    kept: list[tuple[int, str]] = []
    for index, (start, label) in enumerate(starts):
        following = starts[index + 1][0] if index + 1 < len(starts) else total
        repeated = bool(kept) and label in ("", SILENCE) and kept[-1][1] == label
        if following > start and not repeated:
            kept.append((start, label))
    ends = [start for start, _ in kept[1:]] + [total]
    return tuple(
        Interval(start / rate, end / rate, label)
        for (start, label), end in zip(kept, ends, strict=True)
    )
