"""PESQ: perceived speech quality by ITU-T P.862.2, wide-band.

Source: ITU-T P.862 and P.862.2; the package pesq wraps the ITU's own reference code.
"""

from __future__ import annotations

import numpy as np

from wavewright.metrics.metric import Metric, Undefined
from wavewright.metrics.resampling import resample_clipped


class PESQ(Metric):
    """Wide-band MOS-LQO; frequencies above 8 kHz do not count."""

    name = "pesq"
    variant_id = "pesq-wb"
    title = "PESQ"
    direction = "higher"
    ideal = 4.643889
    lowest = 1.0
    highest = 4.643889
    rate = 16000
    cost = 0.01
    packages = ("pesq",)

    @property
    def definition(self) -> str:
        return (
            "Wide-band PESQ (ITU-T P.862.2, MOS-LQO up to 4.644), both at 16 kHz: deaf to what "
            "lies above 8 kHz."
        )

    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        import pesq

        true, ours = (
            resample_clipped(wav, sample_rate, self.rate) for wav in (reference, candidate)
        )
        if not ours.any():
            raise Undefined("the candidate is silent")
        try:
            return float(pesq.pesq(self.rate, true, ours, "wb"))
        except pesq.NoUtterancesError:
            raise Undefined("PESQ finds no speech in it") from None
        except pesq.BufferTooShortError:
            raise Undefined("shorter than the 0.25 s that PESQ needs") from None
