"""sherpa-onnx runs what `export --format sherpa-onnx` writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tests.clients.support import recording, require_like_copy, run_client
from wavewright.audio.files import load_wav
from wavewright.checkpoints.checkpoint import load_vocoder
from wavewright.interop.exporting.export import export_vocoder
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import convert_mel, log_mel
from wavewright.models.vocoder import Vocoder
from wavewright.registry import create_vocoder

_VOCOS = {"channels": 16, "hidden_channels": 32, "layers": 2, "mel": MelSpec.preset("tacotron2")}


def test_it_says_what_we_say(root: Path, shared: Path, tmp_path: Path) -> None:
    """Both kinds agree: a HiFi-GAN's waveform and a Vocos's spectra."""
    trained = root / "recipes/kathleen/weights/hifigan-v3.safetensors"
    torch.manual_seed(0)
    vocoders: dict[str, Vocoder] = {
        "hifigan": load_vocoder(trained),
        "vocos": create_vocoder("vocos", **_VOCOS).eval(),
    }
    wav = torch.from_numpy(load_wav(recording(shared), 22050)[0])
    files, mels, expected = {}, {}, {}
    for name, vocoder in vocoders.items():
        export_vocoder(vocoder, tmp_path / f"{name}.onnx", form="sherpa-onnx")
        mel = log_mel(wav, vocoder.mel_spec)
        np.save(tmp_path / f"{name}.npy", mel.numpy())
        files[name], mels[name] = tmp_path / f"{name}.onnx", tmp_path / f"{name}.npy"
        expected[name] = vocoder.generate(mel[None], seed=0)[0].numpy()
    spec = vocoders["hifigan"].mel_spec
    tens = convert_mel(log_mel(wav, spec), spec, spec.model_copy(update={"log": "log10"}))
    np.save(tmp_path / "wrong.npy", tens.numpy())
    answers = run_client(
        "sherpa_onnx",
        tmp_path / "work",
        wrong=tmp_path / "wrong.npy",
        vocoders={name: str(path) for name, path in files.items()},
        mels={name: str(path) for name, path in mels.items()},
    )
    # Its inverse transform of centred frames ends a hop earlier.
    for name, missing in (("hifigan", 0), ("vocos", 256)):
        said, wanted = answers[name], expected[name]
        assert len(wanted) - len(said) == missing
        np.testing.assert_allclose(said, wanted[: len(said)], rtol=0, atol=1e-3, err_msg=name)
    require_like_copy(answers["hifigan"], recording(shared), trained)
    assert "this mel looks like speech in log10, and the vocoder wants ln" in str(answers["wrong"])
