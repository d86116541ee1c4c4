"""F0 tracks and mel-cepstra by WORLD, every 5 ms.

Source: Morise, Yokomori, Ozawa 2016 (WORLD: dio, stonemask, cheaptrick); Morise 2017 (harvest);
Tokuda et al. 1994 for the warped cepstrum.

Several metrics need the same analysis of a waveform, and every system is compared with the same
reference: the last few dozen analyses are cached, keyed by content.
"""

from __future__ import annotations

import sys
from functools import cache, lru_cache
from hashlib import blake2b
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Any, Literal

import numpy as np

from wavewright.metrics.melcep import warping_matrix
from wavewright.metrics.metric import Undefined

Tracker = Literal["dio", "harvest"]

# Lower limits of the F0 search in Hz. The literature uses 40 for harvest. Below its default of 71,
# dio loses half of the voiced frames of Griffin-Lim's copies and makes octave errors.
FLOORS: dict[Tracker, float] = {"dio": 71.0, "harvest": 40.0}
CEILING = 800.0
STEP = 0.005  # seconds between frames
MIN_SECONDS = 0.1  # WORLD is not made for shorter waveforms
CACHE_SIZE = 48  # number of analyses

# All-pass constants whose warping is nearest to the mel scale, by sample rate in Hz.
_ALPHAS = {8000: 0.31, 16000: 0.42, 22050: 0.45, 24000: 0.46, 32000: 0.50, 44100: 0.53, 48000: 0.55}


class HashableWav:
    """Waveform usable as a cache key: equal if samples and rate are equal.

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
        return isinstance(other, HashableWav) and self._key == other._key

    @property
    def samples(self) -> np.ndarray:
        """Samples (samples,) in float64; raises Undefined if they are too few for WORLD."""
        if len(self.wav) < MIN_SECONDS * self.sample_rate:
            raise Undefined(f"shorter than {MIN_SECONDS:g} s")
        return np.ascontiguousarray(self.wav, dtype=np.float64)


def mel_warping_alpha(sample_rate: int) -> float:
    """All-pass constant whose warping is nearest to the mel scale at a sample rate in Hz."""
    return _ALPHAS[min(_ALPHAS, key=lambda rate: abs(np.log(rate / sample_rate)))]


@lru_cache(maxsize=CACHE_SIZE)
def f0_track(wav: HashableWav, tracker: Tracker) -> np.ndarray:
    """F0 (frames,) in Hz every 5 ms, 0 where unvoiced; dio is refined by stonemask."""
    world, samples, rate = load_pyworld(), wav.samples, wav.sample_rate
    search = {"f0_floor": FLOORS[tracker], "f0_ceil": CEILING, "frame_period": 1000 * STEP}
    f0, times = getattr(world, tracker)(samples, rate, **search)
    refined: np.ndarray = world.stonemask(samples, f0, times, rate) if tracker == "dio" else f0
    return refined


@lru_cache(maxsize=CACHE_SIZE)
def mel_cepstra(
    wav: HashableWav, tracker: Tracker, order: int, alpha: float, n_fft: int | None = None
) -> np.ndarray:
    """Mel-cepstra (frames, order + 1), c0 first, of CheapTrick's spectral envelope.

    Args:
        wav: waveform.
        tracker: F0 tracker whose F0 CheapTrick uses.
        order: index of the last coefficient.
        alpha: all-pass constant of the warping; 0 for none.
        n_fft: FFT size of CheapTrick; None for its default at the sample rate.
    """
    f0 = f0_track(wav, tracker)
    times = STEP * np.arange(len(f0))
    envelope = load_pyworld().cheaptrick(wav.samples, f0, times, wav.sample_rate, fft_size=n_fft)
    cepstra = np.fft.irfft(0.5 * np.log(envelope))[:, : envelope.shape[1]]
    cepstra[:, 1:-1] *= 2
    warped: np.ndarray = cepstra @ warping_matrix(envelope.shape[1], order, alpha)
    return warped


@cache
def load_pyworld() -> Any:
    """Load the extension module of pyworld without its package.

    The package imports setuptools' `pkg_resources` only to read its own version number, and newer
    setuptools no longer have it.
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
