"""Files of ours, read by ParallelWaveGAN's own `load_model`."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import torch
from parallel_wavegan.bin.preprocess import logmelfilterbank
from parallel_wavegan.utils import load_model

from tests.interop.inside import answer, run_snippet
from wavewright.audio import load_wav


def work(recording: str, files: str, others: dict[str, str]) -> dict[str, Any]:
    """A recording's copy by its own features, and what other networks make of given mels."""
    wav, _ = load_wav(recording, 22050)
    mel = logmelfilterbank(wav, 22050, fmin=80, fmax=7600).astype(np.float32)
    shutil.copytree(files, "for-pwg")
    with torch.no_grad():
        copied = run_snippet("ParallelWaveGAN", mel=torch.from_numpy(mel))["wav"]
        answers = {name: _said(*paths) for name, paths in others.items()}
    return {"copied": copied.numpy().ravel(), **answers}


def _said(checkpoint: str, given: str) -> Any:
    arrays = np.load(given)
    model = load_model(checkpoint).eval()
    model.remove_weight_norm()  # as ESPnet does, whether there is any or not
    noise = {"x": arrays["noise"].T} if "noise" in arrays else {}
    return model.inference(arrays["mel"], normalize_before=True, **noise).numpy().ravel()


if __name__ == "__main__":
    answer(work)
