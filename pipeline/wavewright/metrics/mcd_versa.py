"""MCD for comparison with values of the toolkit VERSA.

Source: wavlab-speech/versa `utterance_metrics/mcd_f0.py` without warping, by its description.
"""

from __future__ import annotations

import numpy as np

from wavewright.metrics.mcd import distortion
from wavewright.metrics.metric import Metric
from wavewright.metrics.world import HashableWav, mel_cepstra

_ORDER, _ALPHA, _FFT = 39, 0.466, 1024
_TAPS, _CUTOFF = 255, 70.0  # Hz


class MCDVersa(Metric):
    """MCD with c0, so that the level counts, and the warping of 24 kHz at every sample rate."""

    name = "mcd_versa"
    variant_id = "mcd-versa"
    title = "MCD (VERSA)"
    unit = "dB"
    lowest = 0.0
    cost = 0.5
    packages = ("pyworld",)

    @property
    def definition(self) -> str:
        return (
            f"Mel-cepstral distortion as VERSA measures it: a {_CUTOFF:g} Hz low cut, harvest (40 "
            f"to 800 Hz) and CheapTrick every 5 ms with an FFT of {_FFT}, order {_ORDER}, warping "
            f"{_ALPHA}, c0 included, no alignment in time."
        )

    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        true, ours = (
            mel_cepstra(_low_cut(wav, sample_rate), "harvest", _ORDER, _ALPHA, _FFT)
            for wav in (reference, candidate)
        )
        return float(distortion(true - ours).mean())


def _low_cut(wav: np.ndarray, sample_rate: int) -> HashableWav:
    """High-pass at 70 Hz; delays both waveforms equally, by half the filter."""
    from scipy.signal import firwin, lfilter

    taps = firwin(_TAPS, _CUTOFF, pass_zero=False, fs=sample_rate)
    return HashableWav(lfilter(taps, 1.0, 32767 * wav.astype(np.float64)), sample_rate)
