"""Mel L1: the validation distance of HiFi-GAN.

Source: jik876/hifi-gan `train.py` (validation) and `meldataset.py`; Kong et al. 2020,
arXiv:2010.05646.
"""

from __future__ import annotations

import numpy as np

from wavewright.metrics.frames import mean_over_phone_class
from wavewright.metrics.logmel import metric_log_mel, metric_mel_spec
from wavewright.metrics.metric import Metric, MetricScore, WavPair


class MelL1(Metric):
    """Mean absolute difference of natural-log mels, frame by frame.

    Sizes at other sample rates than 22,050 Hz: see `metric_mel_spec`.
    """

    name = "mel_l1"
    title = "mel L1"
    unit = "ln"
    supports_band = True
    supports_phones = True
    lowest = 0.0
    cost = 0.001

    @property
    def definition(self) -> str:
        top = "half the sample rate" if self.band is None else f"{self.band:g} Hz"
        return (
            "Mean absolute difference of the natural-log mels of HiFi-GAN's loss: n_fft 1024 and "
            f"hop 256 (at 22,050 Hz; as long at other rates), 80 Slaney bands from 0 Hz to {top}, "
            "floor 1e-5. Many vocoders train on nearly this, so it is biased towards them."
        )

    def score(self, pair: WavPair) -> MetricScore:
        true = metric_log_mel(pair.reference, pair.sample_rate, self.band)
        ours = metric_log_mel(pair.candidate, pair.sample_rate, self.band)
        hop = metric_mel_spec(pair.sample_rate).hop_length
        centres = (np.arange(true.shape[1]) + 0.5) * hop / pair.sample_rate
        distances = np.abs(true.astype(np.float64) - ours).mean(axis=0)
        return mean_over_phone_class(distances, centres, pair, self.phones)
