"""M-STFT: the multi-resolution STFT distance that BigVGAN and its successors report.

Source: the defaults of auraloss 0.4 `MultiResolutionSTFTLoss`; Yamamoto et al. 2020,
arXiv:1910.11480, for the two terms.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from wavewright.metrics.metric import Metric, Undefined

RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))  # n_fft, hop, window
_POWER_FLOOR = 1e-8


class MSTFT(Metric):
    """Spectral convergence plus L1 of the natural-log magnitudes, mean of three resolutions.

    The resolutions are fixed in samples, as in the literature, so values are comparable only at
    one sample rate.
    """

    name = "mstft"
    title = "M-STFT"
    supports_band = True
    lowest = 0.0
    cost = 0.02

    @property
    def definition(self) -> str:
        band = "" if self.band is None else f", bins up to {self.band:g} Hz only"
        return (
            "Multi-resolution STFT distance with the defaults of auraloss: FFT sizes 1024, 2048 "
            "and 512, hops 120, 240 and 50, Hann windows of 600, 1200 and 240 samples, power "
            "floor 1e-8; spectral convergence plus the L1 distance of natural-log magnitudes, "
            f"mean over the three{band}."
        )

    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        needed = max(n_fft for n_fft, _, _ in RESOLUTIONS) // 2 + 1
        if len(reference) < needed:
            raise Undefined(f"shorter than the {needed} samples of the longest window's padding")
        pair = torch.from_numpy(np.stack([candidate, reference])).double()
        distances = []
        for n_fft, hop_length, win_length in RESOLUTIONS:
            magnitudes = _magnitudes(pair, n_fft, hop_length, win_length)
            if self.band is not None:
                magnitudes = magnitudes[:, : int(self.band * n_fft / sample_rate) + 1]
            ours, true = magnitudes
            convergence = torch.linalg.norm(true - ours) / torch.linalg.norm(true)
            distances.append(convergence + (true.log() - ours.log()).abs().mean())
        return float(torch.stack(distances).mean())


def _magnitudes(wavs: Tensor, n_fft: int, hop_length: int, win_length: int) -> Tensor:
    """(B, samples) -> (B, 1 + n_fft // 2, frames), centered, reflection-padded, floored."""
    spectra = torch.stft(
        wavs,
        n_fft,
        hop_length,
        win_length,
        window=torch.hann_window(win_length, dtype=wavs.dtype),
        return_complex=True,
    )
    power = spectra.real.square() + spectra.imag.square()
    return power.clamp(min=_POWER_FLOOR).sqrt()
