"""Files of ours, read by ParallelWaveGAN's own `load_model`; and a file of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from parallel_wavegan.bin.preprocess import logmelfilterbank
from parallel_wavegan.losses import MultiResolutionSTFTLoss
from parallel_wavegan.models import MelGANGenerator
from parallel_wavegan.utils import load_model

from tests.clients.inside import answer, run_snippet
from wavewright.audio.files import load_wav

#: What its configuration multi_band_melgan.v2 says of the generator and of its losses.
_MULTI_BAND = {
    "in_channels": 80, "out_channels": 4, "kernel_size": 7, "channels": 384,
    "upsample_scales": [8, 4, 2], "stack_kernel_size": 3, "stacks": 4,
    "use_weight_norm": True, "use_causal_conv": False,
}  # fmt: skip
_WHOLE = {
    "fft_sizes": [1024, 2048, 512], "hop_sizes": [120, 240, 50], "win_lengths": [600, 1200, 240],
}  # fmt: skip
_BANDS = {
    "fft_sizes": [384, 683, 171], "hop_sizes": [30, 60, 10], "win_lengths": [150, 300, 60],
}  # fmt: skip


def work(**given: Any) -> dict[str, Any]:
    """Do the work that a test requests."""
    return of_theirs(**given) if "version" in given else of_ours(**given)


def of_ours(recording: str, files: str, others: dict[str, str]) -> dict[str, Any]:
    """A recording's copy by its own features, and what other networks make of given mels."""
    wav, _ = load_wav(recording, 22050)
    mel = logmelfilterbank(wav, 22050, fmin=80, fmax=7600).astype(np.float32)
    shutil.copytree(files, "for-pwg")
    with torch.no_grad():
        copied = run_snippet("ParallelWaveGAN", mel=torch.from_numpy(mel))["wav"]
        answers = {name: _said(*paths) for name, paths in others.items()}
    return {"copied": copied.numpy().ravel(), **answers}


@torch.no_grad()
def of_theirs(version: str, out: str, mel: str, wav: str) -> dict[str, Any]:
    """A multi-band MelGAN with random weights, saved as its training does, and what it says."""
    torch.manual_seed(3)
    made = MelGANGenerator(**_MULTI_BAND)
    for name, value in made.named_parameters():
        if name.endswith("bias"):
            value.normal_(0, 0.1)
    folder = Path(out)
    folder.mkdir()
    checkpoint = folder / "checkpoint-7steps.pkl"
    torch.save({"model": {"generator": made.state_dict()}, "steps": 7}, checkpoint)
    about = {
        "sampling_rate": 22050, "fft_size": 1024, "hop_size": 256, "win_length": None,
        "window": "hann", "num_mels": 80, "fmin": 80, "fmax": 7600, "format": "npy",
        "generator_type": "MelGANGenerator", "generator_params": _MULTI_BAND, "version": version,
    }  # fmt: skip
    (folder / "config.yml").write_text(json.dumps(about))  # which YAML is a superset of
    np.save(folder / "stats.npy", np.stack([np.linspace(-3, -1, 80), np.linspace(0.5, 1, 80)]))
    model = load_model(str(checkpoint)).eval()
    model.remove_weight_norm()
    said = model.inference(np.load(mel), normalize_before=True)
    real = torch.from_numpy(np.load(wav))[None, None]
    parts = model.pqmf.analysis(real)
    normalised = (torch.from_numpy(np.load(mel)) - model.mean) / model.scale
    ours = model(normalised.mT[None])
    losses = [
        *MultiResolutionSTFTLoss(**_WHOLE)(model.pqmf.synthesis(ours), real),
        *MultiResolutionSTFTLoss(**_BANDS)(ours, parts),
    ]
    return {
        "said": said.numpy().ravel(),
        "parts": parts[0].numpy(),
        "parameters": sum(value.numel() for value in model.parameters()),
        "loss": 0.5 * sum(losses).item(),  # as its trainer weights them
    }


def _said(checkpoint: str, given: str) -> Any:
    arrays = np.load(given)
    model = load_model(checkpoint).eval()
    model.remove_weight_norm()  # as ESPnet does, whether there is any or not
    noise = {"x": arrays["noise"].T} if "noise" in arrays else {}
    return model.inference(arrays["mel"], normalize_before=True, **noise).numpy().ravel()


if __name__ == "__main__":
    answer(work)
