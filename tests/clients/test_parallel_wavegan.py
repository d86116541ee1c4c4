"""ParallelWaveGAN reads what `export --format parallel-wavegan` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.clients.support import recording, require_like_copy, run_client, weights
from tests.support import tiny
from wavewright.checkpoints.checkpoint import load_vocoder
from wavewright.interop.exporting.export import export_file
from wavewright.interop.exporting.parallel_wavegan import write_parallel_wavegan
from wavewright.interop.importing.convert import import_checkpoint
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import convert_mel, log_mel
from wavewright.models.batch import Batch
from wavewright.models.vocoder import Vocoder
from wavewright.registry import create_vocoder
from wavewright.vocoders.multiband_melgan import MultiBandMelGAN

_RATES = {"upsample_rates": (16, 16), "mel": MelSpec.preset("parallel-wavegan")}


def vocoders(root: Path) -> dict[str, Vocoder]:
    """One of natural logarithms, trained; and one of every other kind that there is a class for."""
    changes: dict[str, dict[str, Any]] = {
        "hifigan": {"upsample_kernel_sizes": (32, 32), "resblock": 1},
        "melgan": {"input_shift": -2.0, "input_scale": 1.5, "base_channels": 64},
        "multiband_melgan": {"upsample_rates": (16, 4), "channels": 64},
        "parallel_wavegan": {},
    }
    torch.manual_seed(0)
    made = {
        name: create_vocoder(name, **{**tiny.SMALL[name], **_RATES, **fields})
        for name, fields in changes.items()
    }
    odd = create_vocoder(
        "hifigan",
        mel=MelSpec.preset("parallel-wavegan-24k"),
        upsample_rates=(5, 5, 4, 3),
        upsample_kernel_sizes=(10, 10, 8, 6),
        upsample_initial_channel=32,
    )
    trained = load_vocoder(root / "recipes/kathleen/weights/hifigan-v3.safetensors")
    return {**made, "odd": odd, "trained": trained}


def test_its_own_load_model_says_what_we_say(root: Path, shared: Path, tmp_path: Path) -> None:
    export_file(weights("espnet"), tmp_path / "tiny", form="parallel-wavegan")
    random = np.random.default_rng(0)
    wav = torch.from_numpy(random.normal(0, 0.1, 22050).astype(np.float32))
    others, expected = {}, {}
    for name, vocoder in vocoders(root).items():
        mel = log_mel(wav, vocoder.mel_spec)[None]
        in_log10 = vocoder.mel_spec.model_copy(update={"log": "log10", "layout": "frames_first"})
        given: dict[str, Any] = {"mel": convert_mel(mel, vocoder.mel_spec, in_log10)[0].numpy()}
        for noise in vocoder.eval().draw_noise(1, mel.shape[-1], seed=0):
            given["noise"] = noise.numpy()
        expected[name] = vocoder.generate(mel, seed=0)[0].numpy()
        checkpoint, *_ = write_parallel_wavegan(vocoder, tmp_path / name, 1)
        np.savez(tmp_path / f"{name}.npz", **given)
        others[name] = (str(checkpoint), str(tmp_path / f"{name}.npz"))
    answers = run_client(
        "parallel_wavegan",
        tmp_path / "work",
        recording=recording(shared),
        files=tmp_path / "tiny",
        others=others,
    )
    for name, wanted in expected.items():
        np.testing.assert_allclose(
            answers[name].clip(-1, 1), wanted, rtol=0, atol=1e-5, err_msg=name
        )
    require_like_copy(answers["copied"], recording(shared), weights("espnet"))


@pytest.mark.parametrize(("version", "cutoff"), [("0.4.2", 0.15), ("0.6.1", 0.142)])
def test_what_its_multi_band_melgan_says_is_said_by_ours(
    tmp_path: Path, version: str, cutoff: float
) -> None:
    """Its own class at the published size, with the filters of before and after version 0.4.2."""
    spec, folder = MelSpec.preset("parallel-wavegan").bands_first, tmp_path / "theirs"
    random = np.random.default_rng(1)
    wav = random.normal(0, 0.1, 86 * 256).astype(np.float32)
    mel = log_mel(torch.from_numpy(wav), spec)[:, :86]
    files: dict[str, Any] = {"mel": tmp_path / "mel.npy", "wav": tmp_path / "wav.npy"}
    np.save(files["mel"], mel.mT.numpy())
    np.save(files["wav"], wav)
    answers = run_client(
        "parallel_wavegan", tmp_path / "work", version=version, out=folder, **files
    )
    made = import_checkpoint(folder / "checkpoint-7steps.pkl")
    vocoder = made.model
    assert isinstance(vocoder, MultiBandMelGAN)
    assert vocoder.parameter_count() == int(answers["parameters"]) == 2_534_356
    assert (made.format.name, made.step) == ("pwg-multiband-melgan", 7)
    assert vocoder.config.cutoff == cutoff
    normalised = convert_mel(mel[None], spec, vocoder.mel_spec)
    said = vocoder.generate(normalised)[0].numpy()
    assert float(np.abs(said).max()) > 0.01
    np.testing.assert_allclose(said, answers["said"].clip(-1, 1), rtol=0, atol=1e-5)
    parts = vocoder.filters.analysis(torch.from_numpy(wav)[None])[0]
    np.testing.assert_allclose(parts.numpy(), answers["parts"], rtol=0, atol=1e-5)
    batch = Batch(torch.from_numpy(wav)[None], normalised, ["a"])
    loss = next(vocoder.updates(batch, 0)).loss
    assert loss.item() == pytest.approx(float(answers["loss"]), rel=1e-5)


def test_the_log_base_is_in_the_file_alone(tmp_path: Path) -> None:
    """Nothing of ours runs there, so that it is told, or read from the model, when it is written
    (test_espnet.py, tests/interop/test_espnet_config.py)."""
    export_file(weights("espnet"), tmp_path, form="parallel-wavegan")
    assert "log_base: 10.0" in (tmp_path / "config.yml").read_text("utf-8")
