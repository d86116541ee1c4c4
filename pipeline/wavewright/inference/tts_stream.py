"""Streaming text-to-speech: each sentence is output as soon as it is ready."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from wavewright.acoustic.synthesis import SentenceResult
from wavewright.audio.files import Wav
from wavewright.inference.tts import TTS, describe_failures
from wavewright.inference.vocode import describe_vocoder
from wavewright.models.acoustic import utterance_seed

_CHUNK = 1.0  # seconds of mel per call of a streaming vocoder
_FADE = 0.005  # seconds


@dataclass
class _SentenceMels:
    """Source of sentence mels that records when it began and what it synthesized."""

    started: float = field(default_factory=time.perf_counter)
    results: list[SentenceResult] = field(default_factory=list)

    def generate(self, texts: Iterable[tuple[str, str]], tts: TTS, seed: int) -> Iterator[Tensor]:
        """Yield (1, n_mels, frames) of each sentence as soon as it is synthesized."""
        for number, (where, text) in enumerate(texts):
            tts.require_readable(text, where)
            text_seed = seed if number == 0 else utterance_seed(seed, f"text {number}")
            for result in tts.synthesize_text(text, seed=text_seed):
                self.results.append(result)
                yield tts.convert_to_vocoder(result.output.mel)[None]


def stream_speech(
    texts: Iterable[tuple[str, str]],
    tts: TTS,
    write: Callable[[Wav], None],
    *,
    seed: int,
    name: str,
) -> str:
    """Synthesize texts, writing each sentence as soon as it is ready; return a summary.

    Prints the latency of the first sound on stderr. Sentences are separated by a short silence. A
    streaming vocoder synthesizes the silence too and continues without a seam; with any other,
    the first and last 5 ms of each sentence are faded to avoid clicks.

    Args:
        texts: pairs of location, for messages, and text.
        tts: acoustic model and vocoder.
        write: receives the next (samples,).
        seed: seed of all noise.
        name: name of the output, for the summary.

    Raises:
        WavewrightError: a symbol that the acoustic model does not know.
    """
    source, samples = _SentenceMels(), 0
    mels = source.generate(texts, tts, seed)
    for wav in _streamed(mels, tts, seed) if tts.vocoder.streams else _faded(mels, tts, seed):
        if not samples:
            latency = time.perf_counter() - source.started
            print(f"first sound after {latency:.2f} s", file=sys.stderr, flush=True)
        write(wav)
        samples += len(wav)
    elapsed, seconds = time.perf_counter() - source.started, samples / tts.vocoder.sample_rate
    summary = (
        f"{name}: {seconds:.2f} s of speech in {elapsed:.2f} s "
        f"({tts.acoustic.name}, {describe_vocoder(tts.vocoder)})"
    )
    return " ".join([summary, *describe_failures(source.results)])


def _streamed(mels: Iterable[Tensor], tts: TTS, seed: int) -> Iterator[Wav]:
    frames = max(1, round(_CHUNK * tts.vocoder.sample_rate / tts.vocoder.hop_length))

    def chunks() -> Iterator[Tensor]:
        for number, mel in enumerate(mels):
            if number:
                yield tts.pause_mel()[None]
            yield from torch.split(mel, frames, dim=-1)

    for wav in tts.vocoder.stream(chunks(), seed=seed):
        yield _array(wav)


def _faded(mels: Iterable[Tensor], tts: TTS, seed: int) -> Iterator[Wav]:
    silence = np.zeros(tts.pause_mel().shape[-1] * tts.vocoder.hop_length, np.float32)
    for number, mel in enumerate(mels):
        sentence_seed = seed if number == 0 else utterance_seed(seed, f"sentence {number}")
        wav = _array(tts.vocoder.generate(mel, seed=sentence_seed))
        wav = fade_edges(wav, tts.vocoder.sample_rate)
        yield np.concatenate([silence, wav]) if number else wav


def fade_edges(wav: Wav, sample_rate: int) -> Wav:
    """Fade the first and last 5 ms of (samples,) from and to silence."""
    length = min(round(_FADE * sample_rate), len(wav) // 2)
    rise = (0.5 - 0.5 * np.cos(np.pi * np.arange(length) / max(1, length))).astype(np.float32)
    faded = wav.copy()
    faded[:length] *= rise
    faded[len(wav) - length :] *= rise[::-1]
    return faded


def _array(wav: Tensor) -> Wav:
    array: Wav = wav[0].to(torch.float32).cpu().numpy()
    return array
