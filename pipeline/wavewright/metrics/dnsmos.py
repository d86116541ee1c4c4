"""DNSMOS: a network's guess of what listeners would say, without a reference.

Source: Reddy et al. 2021 (P.808) and 2022 (P.835); the networks of the package speechmos. They were
trained to judge noise suppression and hardly hear what vocoders do wrong: a check, not a ranking.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from wavewright.metrics.metric import Metric, Undefined
from wavewright.metrics.resampling import heard_at
from wavewright.metrics.world import KEPT, Sound

_RATE = 16000
_SHORTEST = 0.25  # seconds


class DNSMOS(Metric):
    """Overall quality by P.835 of the candidate alone."""

    name = "dnsmos"
    recipe = "dnsmos-ovrl"
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
    answer: ClassVar[str] = "ovrl_mos"
    question: ClassVar[str] = "P.835 overall quality"

    @property
    def definition(self) -> str:
        return (
            f"DNSMOS, {self.question} of the candidate alone at 16 kHz, windows of 9.01 s every "
            "second, shorter speech repeated. Made for noise suppression: it hardly hears what "
            "vocoders do wrong and does not rank good ones."
        )

    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        if len(candidate) < _SHORTEST * sample_rate:
            raise Undefined(f"shorter than {_SHORTEST:g} s")
        if not candidate.any():
            raise Undefined("the candidate is silent")
        return _answers(Sound(candidate, sample_rate))[self.answer]


class DNSMOSP808(DNSMOS):
    """Quality by P.808, the older network."""

    name = "dnsmos_p808"
    recipe = "dnsmos-p808"
    title = "DNSMOS P.808"
    answer = "p808_mos"
    question = "P.808 quality"


@lru_cache(maxsize=KEPT)
def _answers(sound: Sound) -> dict[str, float]:
    heard = heard_at(_RATE, sound.wav, sound.sample_rate)
    answers = _networks()(heard, _RATE, is_personalized_MOS=False)
    return {name: float(value) for name, value in answers.items()}


@cache
def _networks() -> Any:
    """The networks of speechmos, on one thread: processes work side by side."""
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
