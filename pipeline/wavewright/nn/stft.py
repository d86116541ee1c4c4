"""STFT in the framing of a mel, and its least-squares inverse, for iterations between the two."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavewright.mel.spec import MelSpec

_SMALLEST_OVERLAP = 1e-3  # of squared windows, below which a sample is no sum worth dividing


class STFT(nn.Module):
    """STFT of padded waveforms and the waveform whose STFT is nearest to a spectrum.

    A padded waveform has `padding` samples of the mel's framing before its first frame's block and
    at least as many after the last: (frames - 1) * hop_length + n_fft samples. Spectra are complex.
    """

    window: Tensor

    def __init__(self, spec: MelSpec) -> None:
        super().__init__()
        self.n_fft, self.hop_length, self.padding = spec.n_fft, spec.hop_length, spec.padding
        window = torch.hann_window(spec.win_length, periodic=spec.window_periodic)
        left = (spec.n_fft - spec.win_length) // 2
        window = F.pad(window, (left, spec.n_fft - spec.win_length - left))
        self.register_buffer("window", window, persistent=False)

    def forward(self, padded: Tensor) -> Tensor:
        """(B, (frames - 1) * hop_length + n_fft) -> (B, frames, n_fft // 2 + 1)."""
        frames = padded.unfold(1, self.n_fft, self.hop_length)
        spectrum: Tensor = torch.fft.rfft(frames * self.window)
        return spectrum

    def inverse(self, spectrum: Tensor, overlap: Tensor | None = None) -> Tensor:
        """Padded waveform of a spectrum, its edges included, which torch.istft refuses to give.

        Args:
            spectrum: (B, frames, n_fft // 2 + 1).
            overlap: `self.overlap(frames)`, to compute it once for many spectra.

        Returns:
            (B, (frames - 1) * hop_length + n_fft).
        """
        pieces = torch.fft.irfft(spectrum, self.n_fft) * self.window
        return overlap_add(pieces, self.hop_length) / (
            self.overlap(spectrum.shape[1]) if overlap is None else overlap
        )

    def overlap(self, frames: int) -> Tensor:
        """Sum of the squared windows over each sample of a padded waveform."""
        power = self.window.square().expand(1, frames, -1)
        return overlap_add(power, self.hop_length).clamp(min=_SMALLEST_OVERLAP)

    def pad(self, wav: Tensor) -> Tensor:
        """Continue waveforms at both ends by their mirror image, as far as the frames reach.

        Args:
            wav: (B, frames * hop_length).
        """
        frames = wav.shape[1] // self.hop_length
        after = (frames - 1) * self.hop_length + self.n_fft - self.padding - wav.shape[1]
        mode = "reflect" if max(self.padding, after) < wav.shape[1] else "constant"
        return F.pad(wav[:, None], (self.padding, after), mode=mode)[:, 0]

    def crop(self, padded: Tensor) -> Tensor:
        """Undo `pad`: (B, frames * hop_length)."""
        frames = (padded.shape[1] - self.n_fft) // self.hop_length + 1
        return padded[:, self.padding : self.padding + frames * self.hop_length]


def overlap_add(pieces: Tensor, hop_length: int) -> Tensor:
    """Add frames where they lie: (B, frames, n) -> (B, (frames - 1) * hop_length + n)."""
    batch, frames, length = pieces.shape
    hops = -(-length // hop_length)
    if length % hop_length:
        pieces = F.pad(pieces, (0, hops * hop_length - length))
    parts = pieces.reshape(batch, frames, hops, hop_length)
    total = pieces.new_zeros(batch, frames + hops - 1, hop_length)
    for i in range(hops):
        total[:, i : i + frames] += parts[:, :, i]
    return total.reshape(batch, -1)[:, : (frames - 1) * hop_length + length]
