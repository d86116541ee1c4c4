"""Log-mel for mel L1 and the pages: HiFi-GAN's loss mel, up to half the sample rate."""

from __future__ import annotations

import math

import numpy as np
import torch

from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel
from wavewright.metrics.metric import Undefined


def metric_mel_spec(sample_rate: int, band: float | None = None) -> MelSpec:
    """HiFi-GAN's loss mel (80 bands, natural log, floor 1e-5) at `sample_rate`.

    Between 16 and 31 kHz that is n_fft 1024 and hop 256, as HiFi-GAN and BigVGAN use at 22.05 and
    24 kHz; elsewhere n_fft is the power of two nearest to the same 46 ms, the hop a quarter of it.

    Args:
        sample_rate: in Hz.
        band: upper end of the highest mel band in Hz; None for half the sample rate.
    """
    hifigan = MelSpec.preset("hifigan-loss")
    n_fft = 2 ** round(math.log2(sample_rate * hifigan.n_fft / hifigan.sample_rate))
    fields = {
        "sample_rate": sample_rate,
        "n_fft": n_fft,
        "win_length": n_fft,
        "hop_length": n_fft // 4,
        "fmax": min(band or sample_rate / 2, sample_rate / 2),
    }
    return MelSpec.model_validate({**hifigan.model_dump(), **fields})


def metric_log_mel(wav: np.ndarray, sample_rate: int, band: float | None = None) -> np.ndarray:
    """Log-mel (80, frames) of a waveform (samples,), float32; raises Undefined if too short."""
    try:
        spec = metric_mel_spec(sample_rate, band)
        return log_mel(torch.from_numpy(wav).float(), spec).numpy()
    except WavewrightError as error:
        raise Undefined(str(error)) from error
