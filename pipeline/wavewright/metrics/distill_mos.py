"""Distill-MOS: a network's guess of a mean opinion score, without a reference.

Source: Stahl and Gamper 2025, "Distillation and pruning for scalable self-supervised
representation-based speech quality assessment"; weights inside the package distillmos.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from types import ModuleType
from typing import Any

import numpy as np

from wavewright.metrics.metric import Metric, Undefined
from wavewright.metrics.resampling import heard_at

_SHORTEST = 0.25  # seconds


class DistillMOS(Metric):
    """Quality of the candidate alone, from 1 to 5; of what runs offline it ranks vocoders best."""

    name = "distill_mos"
    recipe = "distill-mos-v7"
    title = "Distill-MOS"
    direction = "higher"
    ideal = 5.0
    conditions = ("copy", "gta", "tts")
    aligned = False
    lowest = 1.0
    highest = 5.0
    rate = 16000
    cost = 0.05
    packages = ("distillmos", "xls_r_sqa")
    # What it declares to need and does not would replace torch with another build.
    remedy = "pip install --no-deps distillmos xls-r-sqa"

    @property
    def definition(self) -> str:
        return (
            "Distill-MOS, a network's guess of the mean opinion score of the candidate alone at 16 "
            "kHz, trained on listening tests of transmitted and enhanced speech."
        )

    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        import torch

        if len(candidate) < _SHORTEST * sample_rate:
            raise Undefined(f"shorter than {_SHORTEST:g} s")
        if not candidate.any():
            raise Undefined("the candidate is silent")
        heard = torch.from_numpy(heard_at(16000, candidate, sample_rate))
        with torch.inference_mode():
            return float(_network()(heard[None]))


@cache
def _network() -> Any:
    """The network, loaded without a word on standard output.

    Its package imports torchaudio, which it uses only to read files on its own command line: an
    empty module stands in for it while that import lasts.
    """
    stands_in = "torchaudio" not in sys.modules
    if stands_in:
        sys.modules["torchaudio"] = ModuleType("torchaudio")
    try:
        from distillmos import ConvTransformerSQAModel
    finally:
        if stands_in:
            del sys.modules["torchaudio"]
    with redirect_stdout(StringIO()):
        return ConvTransformerSQAModel().eval()
