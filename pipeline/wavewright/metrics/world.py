"""WORLD's analyses as metrics need them: F0 tracks and mel-cepstra, every 5 ms.

Source: Morise, Yokomori, Ozawa 2016 (WORLD: dio, stonemask, cheaptrick); Morise 2017 (harvest);
Tokuda et al. 1994 for the warped cepstrum.

Several metrics ask for the same analysis of a waveform, and a reference meets every system: the
last few dozen are kept, by content.
"""

from __future__ import annotations

import sys
from functools import cache, lru_cache
from hashlib import blake2b
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Any, Literal

import numpy as np

from wavewright.metrics.melcep import warping
from wavewright.metrics.metric import Undefined

Tracker = Literal["dio", "harvest"]

# Where F0 is looked for, in Hz. 40 is what the literature has for harvest; dio, asked for less than
# its own 71, loses half of the voiced frames of Griffin-Lim's copies and slips by octaves.
FLOORS: dict[Tracker, float] = {"dio": 71.0, "harvest": 40.0}
CEILING = 800.0
STEP = 0.005  # seconds between frames
SHORTEST = 0.1  # seconds; WORLD was not made for less
KEPT = 48  # analyses

# Frequency warpings that come nearest to the mel scale, by sample rate in Hz.
_ALPHAS = {8000: 0.31, 16000: 0.42, 22050: 0.45, 24000: 0.46, 32000: 0.50, 44100: 0.53, 48000: 0.55}


class Sound:
    """A waveform that can be a key: equal samples and rate are equal sounds.

    Args:
        wav: (samples,), float.
        sample_rate: in Hz.
    """

    def __init__(self, wav: np.ndarray, sample_rate: int) -> None:
        self.wav = wav
        self.sample_rate = sample_rate
        digest = blake2b(np.ascontiguousarray(wav).data, digest_size=16).digest()
        self._key = (digest, wav.dtype.str, sample_rate)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sound) and self._key == other._key

    @property
    def samples(self) -> np.ndarray:
        """(samples,), float64; raises Undefined if there are too few for WORLD."""
        if len(self.wav) < SHORTEST * self.sample_rate:
            raise Undefined(f"shorter than {SHORTEST:g} s")
        return np.ascontiguousarray(self.wav, dtype=np.float64)


def alpha_of(sample_rate: int) -> float:
    """All-pass constant whose warping is nearest to the mel scale at a rate in Hz."""
    return _ALPHAS[min(_ALPHAS, key=lambda rate: abs(np.log(rate / sample_rate)))]


@lru_cache(maxsize=KEPT)
def f0_track(sound: Sound, tracker: Tracker) -> np.ndarray:
    """F0 in Hz every 5 ms, (frames,), 0 where unvoiced; dio is refined by stonemask."""
    world, wav, rate = compiled(), sound.samples, sound.sample_rate
    search = {"f0_floor": FLOORS[tracker], "f0_ceil": CEILING, "frame_period": 1000 * STEP}
    f0, times = getattr(world, tracker)(wav, rate, **search)
    found: np.ndarray = world.stonemask(wav, f0, times, rate) if tracker == "dio" else f0
    return found


@lru_cache(maxsize=KEPT)
def mel_cepstra(
    sound: Sound, tracker: Tracker, order: int, alpha: float, n_fft: int | None = None
) -> np.ndarray:
    """Mel-cepstra of the spectral envelope of CheapTrick, (frames, order + 1), c0 first.

    Args:
        sound: what is analysed.
        tracker: whose F0 CheapTrick adapts to.
        order: index of the last coefficient.
        alpha: warping, 0 for none.
        n_fft: of CheapTrick; None for its own choice by the sample rate.
    """
    f0 = f0_track(sound, tracker)
    times = STEP * np.arange(len(f0))
    envelope = compiled().cheaptrick(sound.samples, f0, times, sound.sample_rate, fft_size=n_fft)
    cepstra = np.fft.irfft(0.5 * np.log(envelope))[:, : envelope.shape[1]]
    cepstra[:, 1:-1] *= 2
    warped: np.ndarray = cepstra @ warping(envelope.shape[1], order, alpha)
    return warped


@cache
def compiled() -> Any:
    """The compiled part of pyworld.

    Its package asks for setuptools' `pkg_resources`, which newer setuptools are without, only to
    learn its own version number; so the part inside is loaded alone.
    """
    name = "pyworld.pyworld"
    if name not in sys.modules:
        package = find_spec("pyworld")
        folders = package.submodule_search_locations if package else None
        spec = PathFinder.find_spec(name, folders or [])
        if spec is None or spec.loader is None:
            raise Undefined("the package pyworld has no compiled part for this Python")
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]
