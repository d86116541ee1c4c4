"""Speech recognition by PocketSphinx with its own models of US English."""

from __future__ import annotations

import re
from functools import lru_cache

from wavewright.audio.files import to_pcm16
from wavewright.metrics.metric import Undefined, WavPair
from wavewright.metrics.resampling import resample_clipped
from wavewright.metrics.world import CACHE_SIZE, HashableWav
from wavewright.text.symbols import normalize_text

RATE = 16000
_MIN_SECONDS = 0.1  # seconds


def transcribe(pair: WavPair) -> tuple[str, str, str]:
    """Transcript, recognized text of the reference, and recognized text of the candidate.

    Raises:
        Undefined: there is no transcript, or a waveform is too short.
    """
    transcript = normalize_transcript(pair.text)
    if not transcript:
        raise Undefined("there is no transcript")
    if min(len(pair.reference), len(pair.candidate)) < _MIN_SECONDS * pair.sample_rate:
        raise Undefined(f"shorter than {_MIN_SECONDS:g} s")
    true, ours = (
        _recognize(HashableWav(wav, pair.sample_rate)) for wav in (pair.reference, pair.candidate)
    )
    return transcript, true, ours


def normalize_transcript(text: str) -> str:
    """Lower-case words with single spaces, the form that the recognizer outputs."""
    plain = re.sub(r"[^\w']|[\d_]", " ", normalize_text(text))
    return " ".join(word for word in plain.split() if word.strip("'"))


@lru_cache(maxsize=CACHE_SIZE)
def _recognize(wav: HashableWav) -> str:
    """Recognize with a new decoder, since decoders adapt to what they have processed."""
    from pocketsphinx import Decoder

    decoder = Decoder(samprate=RATE, loglevel="FATAL")
    decoder.start_utt()
    resampled = resample_clipped(wav.wav, wav.sample_rate, RATE)
    decoder.process_raw(to_pcm16(resampled).tobytes(), full_utt=True)
    decoder.end_utt()
    hypothesis = decoder.hyp()
    return hypothesis.hypstr if hypothesis else ""
