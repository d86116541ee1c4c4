"""Files for ParallelWaveGAN that follow the ESPnet model they are written for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from tests.support import tiny
from wavewright.checkpoints.checkpoint import write_weights
from wavewright.errors import MelMismatch, WavewrightError
from wavewright.interop.espnet import mel_spec_of_config
from wavewright.interop.exporting.export import export_file
from wavewright.io.strict_yaml import parse_yaml
from wavewright.mel.spec import MelSpec
from wavewright.registry import create_vocoder

CONFIG = "tts: fastspeech2\nfeats_extract: fbank\nfeats_extract_conf: {%s}\n"
ESPNET = "fs: 22050, n_fft: 1024, hop_length: 256"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    rates = {"upsample_rates": (8, 8, 2, 2), "upsample_kernel_sizes": (16, 16, 4, 4)}
    spec = MelSpec.preset("espnet")
    vocoder = create_vocoder("hifigan", **{**tiny.SMALL["hifigan"], **rates, "mel": spec})
    write_weights(tmp_path / "v.safetensors", vocoder, 5)
    return tmp_path / "v.safetensors"


def written(weights: Path, settings: str | None) -> tuple[dict[str, Any], np.ndarray, str]:
    """config.yml and scale of files for a model of such features, and what was said."""
    model = None
    if settings is not None:
        model = weights.with_name("config.yaml")
        model.write_text(CONFIG % settings)
    out = weights.with_name("out")
    said = export_file(weights, out, form="parallel-wavegan", model=model)
    config, _ = parse_yaml((out / "config.yml").read_text(), out)
    with h5py.File(out / "stats.h5") as file:
        return config, file["scale"][()], said


def test_natural_logarithms_are_followed(weights: Path) -> None:
    tens, by_ten, said = written(weights, ESPNET)
    assert tens["log_base"] == 10
    assert "for mels in log10" in said
    natural, by_e, said = written(weights, f"{ESPNET}, log_base: null")
    assert natural["log_base"] is None
    assert "for mels in ln" in said
    np.testing.assert_allclose(by_e, by_ten * np.log(10), rtol=1e-6)
    unsaid, by_default, _ = written(weights, None)
    assert unsaid["log_base"] == 10
    np.testing.assert_array_equal(by_default, by_ten)


def test_what_cannot_be_followed_is_refused_and_nothing_written(weights: Path) -> None:
    with pytest.raises(MelMismatch, match=r"config\.yaml: .*fmax 8000\.0 vs 7600\.0"):
        written(weights, f"{ESPNET}, fmax: 8000")
    with pytest.raises(WavewrightError, match=r"config\.yaml: .*log_base"):
        written(weights, f"{ESPNET}, log_base: 2")
    assert not weights.with_name("out").exists()
    with pytest.raises(WavewrightError, match="--espnet-config names the model of files"):
        export_file(weights, weights.with_name("v.onnx"), model=weights)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("feats_extract: linear_spectrogram\n", "feats_extract is 'linear_spectrogram'; fbank"),
        ("a: 1\n", "feats_extract is None; fbank is wanted"),
        ("", r"config\.yaml"),
        ("\xff", r"config\.yaml"),
    ],
)
def test_what_is_no_such_configuration_is_said(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(WavewrightError, match=message):
        mel_spec_of_config(path)
    with pytest.raises(WavewrightError, match=r"none\.yaml: not readable \(No such file"):
        mel_spec_of_config(tmp_path / "none.yaml")


def test_rates_are_read_as_espnet_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG % "fs: 24k, n_fft: 2048, hop_length: 300, win_length: 1200")
    spec = mel_spec_of_config(path)
    assert (spec.sample_rate, spec.n_fft, spec.hop_length, spec.win_length) == (
        24000, 2048, 300, 1200,
    )  # fmt: skip
    assert (spec.n_mels, spec.fmin, spec.fmax, spec.log) == (80, 80, 7600, "log10")
