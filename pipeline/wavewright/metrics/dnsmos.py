"""DNSMOS: listeners' ratings predicted by a network, without a reference.

Source: Reddy et al. 2021 (P.808) and 2022 (P.835); the networks of the package speechmos. They were
trained on noise suppression and barely react to vocoder artifacts: a check, not a ranking.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from wavewright.metrics.metric import Metric, Undefined
from wavewright.metrics.resampling import resample_clipped
from wavewright.metrics.world import CACHE_SIZE, HashableWav

_RATE = 16000
_MIN_SECONDS = 0.25  # seconds


class DNSMOS(Metric):
    """Overall quality of the candidate by P.835."""

    name = "dnsmos"
    variant_id = "dnsmos-ovrl"
    title = "DNSMOS"
    direction = "higher"
    ideal = 5.0
    conditions = ("copy", "gta", "tts")
    aligned = False
    lowest = 1.0
    highest = 5.0
    rate = _RATE
    cost = 0.1
    packages = ("speechmos", "onnxruntime")
    output_name: ClassVar[str] = "ovrl_mos"
    scale: ClassVar[str] = "P.835 overall quality"

    @property
    def definition(self) -> str:
        return (
            f"DNSMOS, {self.scale} of the candidate alone at 16 kHz, windows of 9.01 s every "
            "second, shorter speech repeated. Made for noise suppression: it hardly hears what "
            "vocoders do wrong and does not rank good ones."
        )

    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        if len(candidate) < _MIN_SECONDS * sample_rate:
            raise Undefined(f"shorter than {_MIN_SECONDS:g} s")
        if not candidate.any():
            raise Undefined("the candidate is silent")
        return _ratings(HashableWav(candidate, sample_rate))[self.output_name]


class DNSMOSP808(DNSMOS):
    """Quality of the candidate by P.808, the older network."""

    name = "dnsmos_p808"
    variant_id = "dnsmos-p808"
    title = "DNSMOS P.808"
    output_name = "p808_mos"
    scale = "P.808 quality"


@lru_cache(maxsize=CACHE_SIZE)
def _ratings(wav: HashableWav) -> dict[str, float]:
    resampled = resample_clipped(wav.wav, wav.sample_rate, _RATE)
    ratings = _networks()(resampled, _RATE, is_personalized_MOS=False)
    return {name: float(value) for name, value in ratings.items()}


@cache
def _networks() -> Any:
    """Load the networks of speechmos on one thread each; metrics run in parallel processes."""
    import onnxruntime
    import speechmos
    from speechmos.dnsmos import DNSMOS as Networks

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    folder = Path(speechmos.__path__[0]) / "dnsmos_models"
    paths = [str(folder / name) for name in ("sig_bak_ovr.onnx", "model_v8.onnx")]
    networks = Networks(*paths)
    networks.onnx_sess, networks.p808_onnx_sess = (
        onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for path in paths
    )
    return networks
