"""log_mel reproduces the official feature extractors on the recordings they were run on.

Each is compared in the arithmetic of its authors: torch's float32, or the float64 of librosa's
and NVIDIA's. In float32 the quietest cells of loud frames differ more, by the rounding of the
Fourier transform; how much is tested for all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wavewright.audio import load_wav
from wavewright.mel import log_mel
from wavewright.melspec import MelSpec

UTTERANCES = ("LJ001_0001", "LJ001_0002")
# Extractors of 24 kHz systems were run on 22,050 Hz recordings (params.json says so).
AT_22K = {"sample_rate": 22050, "fmax": 11025.0}
SINGLE, DOUBLE = torch.float32, torch.float64
CASES: list[tuple[str, str, dict[str, Any], torch.dtype]] = [
    ("hifigan_fmax8000", "hifigan", {}, SINGLE),
    ("hifigan_fmaxNone_loss", "hifigan-loss", {}, SINGLE),
    ("nvidia_tacotron2_waveglow", "tacotron2", {}, DOUBLE),
    ("descript_melgan", "melgan", {}, SINGLE),
    ("bigvgan_22khz_80band_fmax8k", "bigvgan-22k", {}, SINGLE),
    ("bigvgan_100band_fmaxNone", "bigvgan-24k", AT_22K, SINGLE),
    ("vocos_100band_center", "vocos-24k", AT_22K, SINGLE),
    ("fatchord_wavernn", "wavernn", {}, DOUBLE),
    ("fatchord_wavernn_padreflect", "wavernn", {"pad_mode": "reflect"}, DOUBLE),
    ("pwg_logmelfilterbank", "parallel-wavegan", {}, DOUBLE),
    ("r9y9_wavenet_plain", "parallel-wavegan", {"fmin": 125.0}, DOUBLE),
]
EACH = pytest.mark.parametrize(
    ("name", "preset", "changes", "dtype"), CASES, ids=[case[0] for case in CASES]
)


@pytest.fixture(scope="module")
def tolerance(shared: Path) -> dict[str, float]:
    """Largest differences allowed, by what is compared."""
    known = json.loads((shared / "fixtures" / "README.json").read_text())["fixtures"]
    (mels,) = (entry for entry in known if entry["name"] == "mels")
    return dict(mels["tolerance_float32_max_abs"])


@pytest.fixture(scope="module")
def recordings(shared: Path) -> dict[str, torch.Tensor]:
    folder = shared / "corpora" / "ljspeech-mini" / "wavs"
    return {
        name: torch.from_numpy(load_wav(folder / f"{name.replace('_', '-')}.wav")[0])
        for name in UTTERANCES
    }


def differences(
    path: Path, spec: MelSpec, recordings: dict[str, torch.Tensor], dtype: torch.dtype
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Per recording: the official mel, and how far ours is from it."""
    official = np.load(path)
    for utterance, wav in recordings.items():
        expected = torch.from_numpy(official[utterance])
        if expected.shape[0] != spec.n_mels:  # the official layout is (frames, n_mels)
            expected = expected.T
        found = log_mel(wav.to(dtype), spec)
        assert found.shape == expected.shape
        yield expected, (found - expected).abs()


@EACH
def test_the_official_extractor_gives_the_same(
    shared: Path,
    recordings: dict[str, torch.Tensor],
    tolerance: dict[str, float],
    name: str,
    preset: str,
    changes: dict[str, Any],
    dtype: torch.dtype,
) -> None:
    spec = MelSpec.preset(preset).model_copy(update=changes)
    path = shared / "fixtures" / "mels" / f"{name}.npz"
    for expected, wrong in differences(path, spec, recordings, dtype):
        if spec.normalisation is not None:
            assert float(wrong.max()) <= tolerance["fatchord (0..1)"]
            continue
        near_floor = expected < spec.silence + 0.5
        assert float(wrong[~near_floor].max()) <= tolerance["ln/log10 mels"]
        if near_floor.any():
            assert float(wrong[near_floor].max()) <= tolerance["near the floor (< floor+0.5)"]


@EACH
def test_float32_is_close_in_every_cell_and_equal_on_average(
    shared: Path,
    recordings: dict[str, torch.Tensor],
    name: str,
    preset: str,
    changes: dict[str, Any],
    dtype: torch.dtype,
) -> None:
    spec = MelSpec.preset(preset).model_copy(update=changes)
    path = shared / "fixtures" / "mels" / f"{name}.npz"
    for _, wrong in differences(path, spec, recordings, SINGLE):
        assert float(wrong.max()) < 1e-3
        assert float(wrong.mean()) < 3e-6


def test_every_official_extractor_is_accounted_for(shared: Path) -> None:
    """New fixtures must be added here, or named as none of our conventions."""
    others = {
        "hifigan_train_normalized",  # hifigan after scaling the whole file to 0.95 of full scale
        "r9y9_wavenet_pipeline",  # trims and filters first
        "vocos_100band_same",  # pads as `hop` framing does; Vocos was never published with it
    }
    present = {path.stem for path in (shared / "fixtures" / "mels").glob("*.npz")}
    assert present == {name for name, *_ in CASES} | others
