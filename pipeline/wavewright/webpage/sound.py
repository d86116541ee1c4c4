"""Sounds for players in a page: lossless FLAC, or small MP3."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt

from wavewright.webpage.figures import data_uri

_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


def flac_uri(pcm: npt.NDArray[np.int16], sample_rate: int) -> str:
    """Encode (samples,) losslessly as FLAC, in a `data:` address."""
    return data_uri("audio/flac", _encode(pcm, sample_rate, "FLAC", "PCM_16"))


def mp3_uri(pcm: npt.NDArray[np.int16], sample_rate: int) -> str:
    """Encode (samples,) as MP3 of about 55 kbit/s for speech, in a `data:` address.

    Ogg would be as small, but libsndfile numbers its streams at random, so that no two files are
    equal.
    """
    return data_uri("audio/mpeg", _encode(pcm, sample_rate, "MP3", "MPEG_LAYER_III"))


def can_encode_mp3(sample_rate: int) -> bool:
    """True if libsndfile writes MP3 (1.1 and later) and MP3 supports the sample rate."""
    import soundfile

    return sample_rate in _MP3_RATES and "MP3" in soundfile.available_formats()


def _encode(pcm: npt.NDArray[np.int16], sample_rate: int, kind: str, subtype: str) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, sample_rate, format=kind, subtype=subtype)
    return buffer.getvalue()
