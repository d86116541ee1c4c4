"""Speech that is heard while it is made, sentence by sentence."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from wavewright.acoustic.synthesis import Said
from wavewright.audio.files import Wav
from wavewright.inference.tts import Voice, problems_of
from wavewright.inference.vocode import how_it_speaks
from wavewright.models.acoustic import utterance_seed

_CHUNK = 1.0  # seconds of a mel that a streaming vocoder is given at once
_FADE = 0.005  # seconds


@dataclass
class _Course:
    """What has happened so far."""

    started: float = field(default_factory=time.perf_counter)
    said: list[Said] = field(default_factory=list)

    def mels(self, texts: Iterable[tuple[str, str]], voice: Voice, seed: int) -> Iterator[Tensor]:
        """(1, n_mels, frames) of each sentence as soon as it is said."""
        for number, (where, text) in enumerate(texts):
            voice.require_readable(text, where)
            own = seed if number == 0 else utterance_seed(seed, f"text {number}")
            for one in voice.read(text, seed=own):
                self.said.append(one)
                yield voice.converted(one.speech.mel)[None]


def say_live(
    texts: Iterable[tuple[str, str]],
    voice: Voice,
    write: Callable[[Wav], None],
    *,
    seed: int,
    name: str,
) -> str:
    """Speak texts, each sentence as soon as it is ready; returns what was done.

    Prints on stderr how long the first sound took from the call on. Between sentences is a short
    silence. A vocoder that streams says it too and so goes on without a seam; of any other, the
    first and last 5 ms of each sentence are faded, so that nothing clicks.

    Args:
        texts: where each stands, for messages, and its text.
        voice: what speaks.
        write: takes the next (samples,).
        seed: of all noise.
        name: of where it goes.

    Raises:
        WavewrightError: a symbol that the acoustic model does not know.
    """
    course, samples = _Course(), 0
    mels = course.mels(texts, voice, seed)
    for wav in _streamed(mels, voice, seed) if voice.vocoder.streams else _faded(mels, voice, seed):
        if not samples:
            waited = time.perf_counter() - course.started
            print(f"first sound after {waited:.2f} s", file=sys.stderr, flush=True)
        write(wav)
        samples += len(wav)
    spent, seconds = time.perf_counter() - course.started, samples / voice.vocoder.sample_rate
    done = (
        f"{name}: {seconds:.2f} s of speech in {spent:.2f} s "
        f"({voice.acoustic.name}, {how_it_speaks(voice.vocoder)})"
    )
    return " ".join([done, *problems_of(course.said)])


def _streamed(mels: Iterable[Tensor], voice: Voice, seed: int) -> Iterator[Wav]:
    frames = max(1, round(_CHUNK * voice.vocoder.sample_rate / voice.vocoder.hop_length))

    def chunks() -> Iterator[Tensor]:
        for number, mel in enumerate(mels):
            if number:
                yield voice.pause()[None]
            yield from torch.split(mel, frames, dim=-1)

    for wav in voice.vocoder.stream(chunks(), seed=seed):
        yield _array(wav)


def _faded(mels: Iterable[Tensor], voice: Voice, seed: int) -> Iterator[Wav]:
    silence = np.zeros(voice.pause().shape[-1] * voice.vocoder.hop_length, np.float32)
    for number, mel in enumerate(mels):
        own = seed if number == 0 else utterance_seed(seed, f"sentence {number}")
        wav = fade(_array(voice.vocoder.generate(mel, seed=own)), voice.vocoder.sample_rate)
        yield np.concatenate([silence, wav]) if number else wav


def fade(wav: Wav, sample_rate: int) -> Wav:
    """(samples) that rise from silence and fall to it within 5 ms at both ends."""
    length = min(round(_FADE * sample_rate), len(wav) // 2)
    rise = (0.5 - 0.5 * np.cos(np.pi * np.arange(length) / max(1, length))).astype(np.float32)
    faded = wav.copy()
    faded[:length] *= rise
    faded[len(wav) - length :] *= rise[::-1]
    return faded


def _array(wav: Tensor) -> Wav:
    array: Wav = wav[0].to(torch.float32).cpu().numpy()
    return array
