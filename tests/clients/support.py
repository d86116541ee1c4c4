"""Helpers of the client tests: real speech, and work in a client's environment."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tests.clients.environments import ROOT, environment
from tests.clients.train_weights import HELD_OUT, WEIGHTS
from wavewright.audio.files import load_wav
from wavewright.checkpoints.checkpoint import load_vocoder
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel

Wave = npt.NDArray[np.float32]
Answers = Mapping[str, Any]


def recording(shared: Path) -> Path:
    """The utterance that no weights here were trained on."""
    return shared / "corpora" / "ljspeech-mini" / "wavs" / f"{HELD_OUT}.wav"


def weights(preset: str) -> Path:
    """A tiny HiFi-GAN of that convention (train_weights.py)."""
    return WEIGHTS / f"hifigan-{preset}.safetensors"


def run_client(client: str, folder: Path, *, script: str = "", **given: Any) -> Answers:
    """Run a client's script in its environment, in `folder`; returns its answer.

    `script` is another one of `clients` than that of the client's name.

    Raises:
        AssertionError: it failed; with the end of what it said.
    """
    python = environment(client)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "given.json").write_text(json.dumps(given, default=str))
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONHOME"}
    roots = os.pathsep.join((str(ROOT / "pipeline"), str(ROOT)))
    offline = {"HF_HUB_OFFLINE": "1", "PYTHONPATH": roots, "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run(
        [python, "-m", f"tests.clients.inside.{script or client}", "given.json", "answer.npz"],
        cwd=folder,
        env={**inherited, **offline},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{client}: exit status {done.returncode}\n{done.stdout[-4000:]}"
    with np.load(folder / "answer.npz") as file:
        return {name: file[name] for name in file.files}


def require_like_copy(wav: Wave, path: Path, checkpoint: Path) -> None:
    """A client's copy of a recording must be as near to it as Wavewright's own copy is.

    Raises:
        AssertionError: with both distances.
    """
    vocoder = load_vocoder(checkpoint)
    spec = vocoder.mel_spec
    real, _ = load_wav(path, spec.sample_rate)
    ours = vocoder.generate(log_mel(torch.from_numpy(real), spec)[None], seed=0)[0].numpy()
    theirs, own = (mel_distance(value, real, spec) for value in (wav, ours))
    assert abs(len(wav) - len(real)) <= 2 * spec.hop_length
    assert own < 1.0, "the vocoder itself says nothing like it"
    assert theirs < 1.03 * own + 0.01, f"{theirs:.3f}, but by Wavewright alone {own:.3f}"


def mel_distance(wav: Wave, real: Wave, spec: MelSpec) -> float:
    """Mean difference of natural log-mels over what both last."""
    plain = spec.model_copy(update={"log": "ln", "floor": 1e-5, "normalisation": None})
    samples = min(len(wav), len(real))
    mels = [log_mel(torch.from_numpy(v[:samples]).float(), plain) for v in (wav, real)]
    return float((mels[0] - mels[1]).abs().mean())
