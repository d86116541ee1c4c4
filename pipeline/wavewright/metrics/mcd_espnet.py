"""MCD for comparison with values of ESPnet and of Parallel WaveGAN's repository.

Source: espnet/espnet `egs2/TEMPLATE/asr1/pyscripts/utils/evaluate_mcd.py`, by its description. It
uses the approximate FastDTW; here the path is exact, so its cost is never higher.
"""

from __future__ import annotations

import numpy as np

from wavewright.audio.files import to_pcm16
from wavewright.metrics.mcd import distortion
from wavewright.metrics.melcep import mel_cepstral_analysis
from wavewright.metrics.metric import Metric, Undefined
from wavewright.metrics.warping import warping_path

_FFT, _HOP = 1024, 256
_FLOOR = 1e-6  # power, on the scale of 16-bit samples
_ORDERS = {  # sample rate in Hz -> order and warping
    16000: (23, 0.42),
    22050: (34, 0.45),
    24000: (34, 0.46),
    44100: (39, 0.53),
    48000: (39, 0.55),
}


class MCDESPnet(Metric):
    """MCD with c0, so that the level counts, along the warping path."""

    name = "mcd_espnet"
    variant_id = "mcd-espnet-exact-dtw"
    title = "MCD (ESPnet)"
    unit = "dB"
    conditions = ("copy", "gta", "tts")
    aligned = False
    lowest = 0.0
    cost = 0.03

    @property
    def definition(self) -> str:
        return (
            "Mel-cepstral distortion as ESPnet measures it: mel-cepstral analysis of 16-bit "
            f"samples, Hamming windows of {_FFT} every {_HOP}, order and warping by the sample "
            "rate (34 and 0.45 at 22,050 Hz), c0 included; mean along the dynamic-time-warping "
            "path, exact where ESPnet's is approximate."
        )

    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        if sample_rate not in _ORDERS:
            raise Undefined(f"ESPnet states no order for {sample_rate} Hz")
        true, ours = (_cepstra(wav, *_ORDERS[sample_rate]) for wav in (reference, candidate))
        first, second = warping_path(true, ours)
        return float(distortion(true[first] - ours[second]).mean())


def _cepstra(wav: np.ndarray, order: int, alpha: float) -> np.ndarray:
    """Mel-cepstra of 16-bit samples: (frames, order + 1)."""
    if len(wav) < _FFT:
        raise Undefined(f"shorter than the {_FFT} samples of a window")
    frames = np.lib.stride_tricks.sliding_window_view(to_pcm16(wav).astype(np.float64), _FFT)
    window = np.hamming(_FFT + 1)[:-1]
    power = np.square(np.abs(np.fft.rfft(frames[::_HOP] * window))) + _FLOOR
    return mel_cepstral_analysis(power, order, alpha)
