"""Mel-cepstral analysis of short-time spectra, equal to SPTK's `mcep`.

Source: Fukada, Tokuda, Kobayashi, Imai 1992, "An adaptive algorithm for mel-cepstral analysis of
speech": the minimum of the unbiased log spectrum's criterion, by Newton's method.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_MIN_ITERATIONS, _MAX_ITERATIONS = 2, 30
_TOLERANCE = 1e-3  # relative change of the criterion


def mel_cepstral_analysis(power: np.ndarray, order: int, alpha: float) -> np.ndarray:
    """Mel-cepstra of power spectra.

    Args:
        power: (frames, 1 + n_fft // 2), above 0.
        order: index of the last coefficient.
        alpha: all-pass constant of the frequency warping.

    Returns:
        (frames, order + 1), natural log of the amplitude.
    """
    size = power.shape[1]
    start = np.fft.irfft(np.log(power))[:, :size]
    start[:, 0] /= 2
    cepstra: np.ndarray = start @ warping_matrix(size, order, alpha)
    unwarp = warping_matrix(order + 1, size - 1, -alpha)
    warp_correlation = _correlation_warping(size, 2 * order, alpha)
    powers_of_alpha = (-alpha) ** np.arange(order + 1)
    last = start[:, 0].copy()
    active = np.arange(len(power))
    for iteration in range(1, _MAX_ITERATIONS + 1):
        log_amplitude = np.fft.rfft(cepstra[active] @ unwarp, 2 * (size - 1)).real
        ratio = power[active] / np.exp(2 * log_amplitude)
        correlation = np.fft.irfft(ratio)[:, :size] @ warp_correlation
        if iteration >= _MIN_ITERATIONS:
            moving = np.abs(correlation[:, 0] - last[active]) >= _TOLERANCE * correlation[:, 0]
            last[active] = correlation[:, 0]
            active, correlation = active[moving], correlation[moving]
            if not len(active):
                break
        slope = correlation[:, : order + 1] - powers_of_alpha
        step = np.linalg.solve(_curvature(correlation, order), slope[:, :, None])
        cepstra[active] += step[:, :, 0]
    return cepstra


def _curvature(correlation: np.ndarray, order: int) -> np.ndarray:
    """(frames, order + 1, order + 1): Toeplitz plus Hankel matrices of the warped correlations."""
    toeplitz, hankel = correlation[:, : order + 1].copy(), correlation.copy()
    toeplitz[:, ::2] += correlation[:, :1]
    hankel[:, ::2] -= correlation[:, :1]
    row, column = np.indices((order + 1, order + 1))
    matrices: np.ndarray = toeplitz[:, np.abs(row - column)] + hankel[:, row + column]
    return matrices


@lru_cache(maxsize=8)
def warping_matrix(size: int, order: int, alpha: float) -> np.ndarray:
    """Matrix (size, order + 1) that warps a cepstrum of `size` values.

    The frequency transformation of Oppenheim and Johnson 1972, on every unit vector at once.
    """
    warped = np.zeros((order + 1, size))
    for coefficient in reversed(np.eye(size)):
        before = warped.copy()
        warped[0] = coefficient + alpha * before[0]
        warped[1] = (1 - alpha**2) * before[0] + alpha * before[1]
        for index in range(2, order + 1):
            warped[index] = before[index - 1] + alpha * (before[index] - warped[index - 1])
    return warped.T


@lru_cache(maxsize=8)
def _correlation_warping(size: int, order: int, alpha: float) -> np.ndarray:
    """Matrix (size, order + 1) that warps an autocorrelation, which is an even sequence."""
    warped = np.zeros((order + 1, size))
    for coefficient in reversed(np.eye(size)):
        before = warped.copy()
        warped[0] = coefficient
        for index in range(1, order + 1):
            warped[index] = before[index - 1] + alpha * (before[index] - warped[index - 1])
    return warped.T
