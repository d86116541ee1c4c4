"""What a speech recogniser understands: PocketSphinx with its own models of US English."""

from __future__ import annotations

import re
from functools import lru_cache

from wavewright.audio.files import to_pcm16
from wavewright.metrics.metric import Pair, Undefined
from wavewright.metrics.resampling import heard_at
from wavewright.metrics.world import KEPT, Sound
from wavewright.text.symbols import normalize_text

RATE = 16000
_SHORTEST = 0.1  # seconds


def understood(pair: Pair) -> tuple[str, str, str]:
    """What is said, and what is understood of the reference and of the candidate.

    Raises:
        Undefined: nobody knows what is said.
    """
    said = words_of(pair.text)
    if not said:
        raise Undefined("nobody knows what is said")
    if min(len(pair.reference), len(pair.candidate)) < _SHORTEST * pair.sample_rate:
        raise Undefined(f"shorter than {_SHORTEST:g} s")
    true, ours = (
        _recognise(Sound(wav, pair.sample_rate)) for wav in (pair.reference, pair.candidate)
    )
    return said, true, ours


def words_of(text: str) -> str:
    """Lower-case words and single spaces: all that recognition tells apart."""
    plain = re.sub(r"[^\w']|[\d_]", " ", normalize_text(text))
    return " ".join(word for word in plain.split() if word.strip("'"))


@lru_cache(maxsize=KEPT)
def _recognise(sound: Sound) -> str:
    """With a new decoder each time: an old one has adapted to what it heard before."""
    from pocketsphinx import Decoder

    decoder = Decoder(samprate=RATE, loglevel="FATAL")
    decoder.start_utt()
    heard = heard_at(RATE, sound.wav, sound.sample_rate)
    decoder.process_raw(to_pcm16(heard).tobytes(), full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return found.hypstr if found else ""
