"""Fast log-mel of whole recordings on one core.

Same definition as `mel.log_mel` (the reference, differentiable, on any device); this path is for
data preparation. Frames are transformed in blocks that stay in the cache, by the same real FFT as
the reference's, so that both round alike; two compiled loops do the rest, one that cuts and windows
frames and one that takes magnitudes and sums them over the few bins that each mel band has.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from numba import njit

from wavewright.audio.filters import apply_filters
from wavewright.errors import WavewrightError
from wavewright.mel.spec import (
    MelSpec,
    RangeNormalisation,
    StatisticsNormalisation,
    mel_filterbank,
    require_samples,
)

Floats = npt.NDArray[np.float32]
_BLOCK = 64  # frames; a block and its spectrum fit into a core's second-level cache


class _Bands(NamedTuple):
    """Sparse filterbank: the non-zero parts of all rows, concatenated in `weights`."""

    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    weights: Floats


@lru_cache(maxsize=32)
def _bands(spec: MelSpec) -> _Bands:
    basis = mel_filterbank(spec)
    rows = [np.flatnonzero(row) for row in basis]
    first = np.array([row[0] if len(row) else 0 for row in rows], dtype=np.int64)
    last = np.array([row[-1] + 1 if len(row) else 0 for row in rows], dtype=np.int64)
    place = np.concatenate([[0], np.cumsum(last - first)[:-1]]).astype(np.int64)
    parts = [basis[band, a:b] for band, (a, b) in enumerate(zip(first, last, strict=True))]
    return _Bands(first, last, place, np.concatenate(parts))


@lru_cache(maxsize=32)
def _window(spec: MelSpec) -> Floats:
    """Window, zero-padded to n_fft samples."""
    window = torch.hann_window(spec.win_length, periodic=spec.window_periodic).numpy()
    left = (spec.n_fft - spec.win_length) // 2
    return np.pad(window, (left, spec.n_fft - spec.win_length - left))


# The sums may be reordered into vectors (fastmath); results differ by rounding from machine to
# machine, but never from run to run.
@njit(cache=True, fastmath=True, nogil=True)
def _cut(wav: Floats, window: Floats, hop: int, first: int, frames: Floats) -> None:
    for f in range(frames.shape[0]):
        start = (first + f) * hop
        for j in range(window.size):
            frames[f, j] = wav[start + j] * window[j]


@njit(cache=True, fastmath=True, nogil=True)
def _band_sums(
    spectrum: Floats,
    first: npt.NDArray[np.int64],
    last: npt.NDArray[np.int64],
    place: npt.NDArray[np.int64],
    weights: Floats,
    squared: bool,
    added: np.float32,
    least: np.float32,
    amplitude: Floats,
    begin: int,
) -> None:
    """Fill columns of `amplitude` (n_mels, frames) from interleaved (re, im) rows."""
    bins = last.max()
    values = np.empty(bins, np.float32)
    for f in range(spectrum.shape[0]):
        for k in range(bins):
            power = spectrum[f, 2 * k] ** 2 + spectrum[f, 2 * k + 1] ** 2 + added
            values[k] = max(power, least)
        if not squared:
            for k in range(bins):
                values[k] = np.sqrt(values[k])
        for band in range(first.size):
            total = np.float32(0)
            offset = place[band] - first[band]
            for k in range(first[band], last[band]):
                total += weights[offset + k] * values[k]
            amplitude[band, begin + f] = total


def log_mel_numpy(wav: Floats, spec: MelSpec) -> Floats:
    """Log-mel spectrogram of one recording as `spec` defines it.

    Args:
        wav: (samples,) float32 in [-1, 1], at `spec.sample_rate` Hz.
        spec: the convention.

    Returns:
        (n_mels, frames) float32, C-contiguous, or (frames, n_mels) if the layout says so; equal to
        `mel.log_mel` but for rounding.

    Raises:
        WavewrightError: not (samples,) float32, or too short to be padded by reflection.
    """
    if wav.ndim != 1 or wav.dtype != np.float32:
        raise WavewrightError(
            f"a waveform must be float32 (samples,) in [-1, 1], found {wav.dtype} {wav.shape}"
        )
    require_samples(len(wav), spec)
    if spec.wav_steps:
        wav = _apply_wav_steps(wav, spec)
    padded: Floats = np.pad(wav, spec.padding, mode=spec.pad_mode)
    amplitude = _amplitude(padded, spec, spec.frames(len(wav)))
    mel = _normalise(_logarithm(amplitude, spec), spec)
    return mel if spec.layout == "bands_first" else np.ascontiguousarray(mel.T)


def _apply_wav_steps(wav: Floats, spec: MelSpec) -> Floats:
    filtered: Floats = apply_filters(torch.tensor(wav), spec.wav_steps, spec.sample_rate).numpy()
    return filtered


def _amplitude(padded: Floats, spec: MelSpec, count: int) -> Floats:
    bands, window = _bands(spec), _window(spec)
    eps = np.float32(spec.magnitude_eps)
    clamp = spec.magnitude_guard == "clamp"
    amplitude = np.empty((spec.n_mels, count), np.float32)
    scratch = torch.empty((min(_BLOCK, count), spec.n_fft))
    for begin in range(0, count, _BLOCK):
        frames = scratch[: min(_BLOCK, count - begin)]
        _cut(padded, window, spec.hop_length, begin, frames.numpy())
        spectrum = torch.view_as_real(torch.fft.rfft(frames)).flatten(1).numpy()
        _band_sums(
            spectrum,
            *bands,
            spec.power == 2,
            np.float32(0) if clamp else eps,
            eps if clamp else np.float32(0),
            amplitude,
            begin,
        )
    return amplitude


def _logarithm(amplitude: Floats, spec: MelSpec) -> Floats:
    floor = np.float32(spec.floor)
    if spec.guard == "add":
        amplitude += floor
    else:
        np.maximum(amplitude, floor, out=amplitude)
    if spec.log == "ln":
        np.log(amplitude, out=amplitude)
    else:
        np.log10(amplitude, out=amplitude)
        if spec.log == "db":
            amplitude *= np.float32(20)
    return amplitude


def _normalise(mel: Floats, spec: MelSpec) -> Floats:
    how = spec.normalisation
    if isinstance(how, RangeNormalisation):
        mel *= np.float32(how.scale)
        mel += np.float32(how.shift)
        np.clip(mel, how.low, how.high, out=mel)
    elif isinstance(how, StatisticsNormalisation):
        mel -= np.array(how.mean, dtype=np.float32)[:, None]
        mel /= np.array(how.scale, dtype=np.float32)[:, None]
    return mel
