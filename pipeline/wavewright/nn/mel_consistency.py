"""Mel consistency: give a waveform the mel that it should have, and change little else.

A mel says less than a spectrum does. Griffin-Lim fills in the rest once, by the filterbank's
pseudo-inverse, and then looks for phases of that; here every iteration only scales the bins of the
estimate until its *mel* is right. Masuyama, Ueno and Ono 2023 (arXiv:2307.12232) solve the same
problem by proximal splitting; `benchmarks/mel_inversion.py` compares.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from wavewright.mel.spec import MelSpec, mel_filterbank
from wavewright.mel.transform import amplitude_from_log_mel
from wavewright.nn.stft import STFT

#: Limits of a band's correction in one iteration; an estimate may be almost silent where the mel
#: is not, and the momentum would overshoot.
_LEAST, _MOST = 0.2, 5.0
_TINY = 1e-12


class MelConsistency(nn.Module):
    """Brings the mel of a spectrum or waveform to a given mel; differentiable, without weights.

    An iteration goes to the nearest spectrum of a waveform, on by `momentum` times its last step,
    and scales each bin by the mean of its bands' ratios between given and present mel. Bands at
    the floor become exactly 0, and so do bins below the lowest band; bins above the highest band
    stay as they are.

    Args:
        spec: convention of the mels; any.
        momentum: 0.9 converges fastest; beyond 1 it diverges.
    """

    filterbank: Tensor
    share: Tensor
    above: Tensor

    def __init__(self, spec: MelSpec, *, momentum: float = 0.9) -> None:
        super().__init__()
        self.spec, self.momentum = spec, momentum
        self.stft = STFT(spec)
        filterbank = mel_filterbank(spec).astype(np.float32).T
        total = filterbank.sum(axis=1, keepdims=True)
        banded = total[:, 0] > 0
        self.bins_up_to_fmax = int(np.flatnonzero(banded)[-1]) + 1
        above = np.arange(len(banded)) >= self.bins_up_to_fmax
        # Each bin's shares in its bands; rows of zeros for bins in none.
        share = filterbank / np.maximum(total, _TINY)
        for name, values in (("filterbank", filterbank), ("share", share), ("above", above)):
            constant = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
            self.register_buffer(name, constant, persistent=False)

    def band_amplitudes(self, mel: Tensor) -> Tensor:
        """Linear mel with exact silence: (B, n_mels, frames) -> (B, frames, n_mels), at least 0."""
        spec = self.spec
        amplitude = amplitude_from_log_mel(mel.float(), spec)
        silence = torch.tensor(spec.silence, dtype=torch.float32, device=mel.device)[:, None]
        heard = amplitude > 1.001 * amplitude_from_log_mel(silence, spec)
        return (amplitude * heard).mT

    def scale_bins(self, spectrum: Tensor, amplitudes: Tensor) -> Tensor:
        """Scale each bin as its bands demand.

        Args:
            spectrum: (B, frames, bins), complex.
            amplitudes: (B, frames, n_mels), of `band_amplitudes`.
        """
        power = spectrum.real.square() + spectrum.imag.square()
        if self.spec.power == 1:
            power = power.clamp(min=_TINY).sqrt()
        ratio = (amplitudes / (power @ self.filterbank)).clamp(_LEAST, _MOST)
        if self.spec.power == 2:
            ratio = ratio.sqrt()
        audible = amplitudes > 0
        gain = (ratio * audible) @ self.share.T
        return spectrum * (gain + self.above * audible.any(dim=-1, keepdim=True))

    def iterate(
        self,
        spectrum: Tensor,
        amplitudes: Tensor,
        iterations: int,
        past: Tensor | None = None,
    ) -> Tensor:
        """Spectrum after so many iterations.

        Args:
            spectrum: (B, frames, bins), complex.
            amplitudes: (B, frames, n_mels), of `band_amplitudes`.
            iterations: how many.
            past: (B, frames before, bins), which stay as they are.
        """
        before = 0 if past is None else past.shape[1]
        overlap = self.stft.overlap(before + spectrum.shape[1])
        previous = None
        for _ in range(iterations):
            whole = spectrum if past is None else torch.cat([past, spectrum], dim=1)
            consistent = self.stft(self.stft.inverse(whole, overlap))[:, before:]
            ahead = consistent
            if previous is not None:
                ahead = _extrapolate(previous, consistent, self.momentum)
            previous = consistent
            spectrum = self.scale_bins(ahead, amplitudes)
        return spectrum

    def forward(self, wav: Tensor, mel: Tensor, iterations: int) -> Tensor:
        """Bring the mel of a waveform to the given one.

        Args:
            wav: (B, frames * hop_length).
            mel: (B, n_mels, frames).
            iterations: 30 are enough for a vocoder's output.

        Returns:
            (B, frames * hop_length), not limited to [-1, 1].
        """
        with torch.autocast(wav.device.type, enabled=False):
            spectrum = self.stft(self.stft.pad(wav.float()))
            spectrum = self.iterate(spectrum, self.band_amplitudes(mel), iterations)
            return self.stft.crop(self.stft.inverse(spectrum))


def _extrapolate(start: Tensor, end: Tensor, by: float) -> Tensor:
    """Go on from `end`, complex, by so much of the way from `start`."""
    parts = torch.lerp(torch.view_as_real(start), torch.view_as_real(end), 1 + by)
    return torch.view_as_complex(parts)
