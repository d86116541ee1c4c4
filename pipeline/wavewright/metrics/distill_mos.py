"""Distill-MOS: mean opinion score predicted by a network, without a reference.

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
from wavewright.metrics.resampling import resample_clipped

_MIN_SECONDS = 0.25  # seconds


class DistillMOS(Metric):
    """Predicted MOS of the candidate, 1 to 5; the best offline metric for ranking vocoders."""

    name = "distill_mos"
    variant_id = "distill-mos-v7"
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
    # It declares dependencies that it does not need and that would replace torch.
    install_command = "pip install --no-deps distillmos xls-r-sqa"

    @property
    def definition(self) -> str:
        return (
            "Distill-MOS, a network's guess of the mean opinion score of the candidate alone at 16 "
            "kHz, trained on listening tests of transmitted and enhanced speech."
        )

    def measure(self, reference: np.ndarray, candidate: np.ndarray, sample_rate: int) -> float:
        import torch

        if len(candidate) < _MIN_SECONDS * sample_rate:
            raise Undefined(f"shorter than {_MIN_SECONDS:g} s")
        if not candidate.any():
            raise Undefined("the candidate is silent")
        wav = torch.from_numpy(resample_clipped(candidate, sample_rate, 16000))
        with torch.inference_mode():
            return float(_network()(wav[None]))


@cache
def _network() -> Any:
    """Load the network without printing to standard output.

    The package imports torchaudio, which only its command line uses: an empty module replaces it
    during the import.
    """
    replaced = "torchaudio" not in sys.modules
    if replaced:
        sys.modules["torchaudio"] = ModuleType("torchaudio")
    try:
        from distillmos import ConvTransformerSQAModel
    finally:
        if replaced:
            del sys.modules["torchaudio"]
    with redirect_stdout(StringIO()):
        return ConvTransformerSQAModel().eval()
