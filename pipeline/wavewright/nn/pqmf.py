"""Pseudo-QMF bank: a waveform as several bands at a fraction of its rate, and back.

A low-pass prototype in a Kaiser window is shifted to every band by cosines, whose phases make what
neighbours alias cancel. What is left is tens of decibels below the waveform, and nothing is late:
filters are symmetric in pairs and centred on each sample.

Source: Lin and Vaidyanathan 1998 (the prototype), Nguyen 1994 (the bank).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavewright.nn.receptive_field import Span

Filters = npt.NDArray[np.float64]
_POINTS = 1024  # at which a response is looked at
_STEP = 0.001  # between cutoffs that are tried


class PQMF(nn.Module):
    """Analysis and synthesis by `bands` filters of `taps + 1` samples each, always in float32.

    Args:
        bands: equally wide, from 0 to half the sample rate.
        taps: even.
        cutoff: of the prototype, as a share of half the sample rate.
        beta: of its Kaiser window.
    """

    analysis_filters: Tensor
    synthesis_filters: Tensor

    def __init__(self, bands: int, taps: int, cutoff: float, beta: float) -> None:
        super().__init__()
        self.bands, self.taps = bands, taps
        apart, together = filters(bands, taps, cutoff, beta)
        # A transposed convolution spreads its kernel the other way round.
        for name, rows in (("analysis", apart), ("synthesis", bands * together[:, ::-1])):
            values = torch.from_numpy(np.ascontiguousarray(rows)).float()[:, None]
            self.register_buffer(f"{name}_filters", values, persistent=False)

    def analysis(self, wav: Tensor) -> Tensor:
        """(B, samples), a multiple of `bands` -> (B, bands, samples // bands)."""
        with torch.autocast(wav.device.type, enabled=False):
            return F.conv1d(
                wav.float()[:, None],
                self.analysis_filters,
                stride=self.bands,
                padding=self.taps // 2,
            )

    def synthesis(self, parts: Tensor) -> Tensor:
        """(B, bands, T) -> (B, T * bands)."""
        with torch.autocast(parts.device.type, enabled=False):
            wav = F.conv_transpose1d(
                parts.float(),
                self.synthesis_filters,
                stride=self.bands,
                padding=self.taps // 2,
                output_padding=self.bands - 1,
            )
        return wav[:, 0]

    def input_span(self, span: Span) -> Span:
        """Positions of the bands that samples of `synthesis` depend on."""
        half = self.taps // 2
        return Span(-((half - span.first) // self.bands), (span.last + half) // self.bands)


def filters(bands: int, taps: int, cutoff: float, beta: float) -> tuple[Filters, Filters]:
    """Impulse responses of analysis and synthesis, (bands, taps + 1) each."""
    places = np.arange(taps + 1) - taps / 2
    prototype = cutoff * np.sinc(cutoff * places) * np.kaiser(taps + 1, beta)
    number = np.arange(bands)[:, None]
    carrier = (2 * number + 1) * math.pi / (2 * bands) * places
    phase = (-1.0) ** number * math.pi / 4
    return 2 * prototype * np.cos(carrier + phase), 2 * prototype * np.cos(carrier - phase)


def unevenness(bands: int, taps: int, cutoff: float, beta: float) -> float:
    """Largest gain or loss in dB of all bands together at any frequency; 0 is perfect."""
    responses = np.fft.rfft(filters(bands, taps, cutoff, beta)[0], 2 * _POINTS)
    power = np.square(np.abs(responses)).sum(axis=0)
    return float(np.abs(10 * np.log10(np.maximum(power, 1e-12))).max())


def propose_cutoff(bands: int, taps: int, beta: float) -> float:
    """The cutoff with the least `unevenness`, between half a band's width and a whole one."""
    tried = np.round(np.arange(0.5 / bands, 1 / bands, _STEP), 3)
    return float(min(tried, key=lambda cutoff: unevenness(bands, taps, cutoff, beta)))
