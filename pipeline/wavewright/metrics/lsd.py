"""Log-spectral distance of two power spectra in dB, frame by frame."""

from __future__ import annotations

import numpy as np
import torch

from wavewright.metrics.metric import Metric, Undefined

_FFT, _HOP = 2048, 512
_POWER_FLOOR = 1e-10


class LSD(Metric):
    """Root mean square over bins of the difference in dB, mean over frames.

    Digital silence in one of the two counts down to the power floor, so a band-limited candidate
    is far away. Set `band` to measure only the frequencies below its limit.
    """

    name = "lsd"
    title = "LSD"
    unit = "dB"
    supports_band = True
    lowest = 0.0
    cost = 0.002

    @property
    def definition(self) -> str:
        band = "" if self.band is None else f", bins up to {self.band:g} Hz only"
        return (
            f"Log-spectral distance: FFT size {_FFT}, hop {_HOP}, Hann window, centred, power "
            f"floor {_POWER_FLOOR:g}; root mean square difference in dB over bins, mean over "
            f"frames{band}."
        )

    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        if len(reference) <= _FFT // 2:
            raise Undefined(f"shorter than the {_FFT // 2 + 1} samples of the window's padding")
        pair = torch.from_numpy(np.stack([reference, candidate])).double()
        window = torch.hann_window(_FFT, dtype=pair.dtype)
        spectra = torch.stft(pair, _FFT, _HOP, window=window, return_complex=True)
        if self.band is not None:
            spectra = spectra[:, : int(self.band * _FFT / sample_rate) + 1]
        levels = 10 * spectra.abs().square().clamp(min=_POWER_FLOOR).log10()
        return float((levels[0] - levels[1]).square().mean(dim=0).sqrt().mean())
