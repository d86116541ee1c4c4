"""Official checkpoints, imported, say what their authors' code said."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conformance import test_tacotron2 as tacotron2_runs
from tests.conformance import test_waveglow as waveglow_runs
from tests.conformance import test_wavenet as wavenet_runs
from tests.conformance import test_wavernn as wavernn_runs
from tests.support.official import FixtureFolder, OfficialRun
from tests.support.official_files import (
    State,
    bare,
    beside_a_larger_discriminator,
    in_generator,
    loaded,
    of_park,
    official_file,
    spelled,
)
from wavewright.acoustic.tacotron2 import Tacotron2
from wavewright.checkpoints.checkpoint import load_vocoder
from wavewright.errors import WavewrightError
from wavewright.interop.importing.convert import import_checkpoint
from wavewright.mel.spec import MelSpec, StatisticsNormalisation
from wavewright.models.acoustic import TextBatch
from wavewright.models.vocoder import Vocoder

PWG_MEL = MelSpec.preset("parallel-wavegan")
GENERATORS: list[tuple[str, str, Callable[[State], Any], str, MelSpec | str]] = [
    ("hifigan-v1-small", "hifigan", in_generator, "g_00000042", ""),
    ("hifigan-v2", "hifigan", in_generator, "g_00000042", ""),
    ("hifigan-v3", "hifigan", in_generator, "g_00000042", ""),
    ("melgan-descript-official-seeded", "melgan", bare, "best_netG.pt", ""),
    ("melgan-descript-small", "melgan", bare, "best_netG.pt", ""),
    ("melgan-seungwonpark-small", "melgan-seungwonpark", of_park, "melgan.pt", ""),
    ("pwg-melgan-small", "pwg-melgan", beside_a_larger_discriminator, "c.pkl", PWG_MEL),
    ("pwg-hifigan-small", "pwg-hifigan", beside_a_larger_discriminator, "c.pkl", PWG_MEL),
]


@pytest.mark.parametrize(("folder", "form", "wrapped", "name", "mel"), GENERATORS)
def test_an_imported_generator_gives_the_official_waveform(
    fixture_folder: FixtureFolder,
    tmp_path: Path,
    folder: str,
    form: str,
    wrapped: Callable[[State], Any],
    name: str,
    mel: MelSpec | str,
) -> None:
    run, out = fixture_folder(folder), tmp_path / "imported.safetensors"
    made = import_checkpoint(
        official_file(tmp_path, run.state_dict, wrapped, name), mel=mel, out=out
    )
    assert made.format.name == form
    assert made.model.parameter_count() == run.meta["n_params"]
    vocoder = load_vocoder(out)
    assert vocoder.config == made.model.config
    given = run.inputs["mel"] if "mel" in run.inputs else run.inputs["mel_normalized"]
    with torch.no_grad():
        wav = vocoder(torch.from_numpy(given))
    expected = torch.from_numpy(run.outputs["wav"]).squeeze(1)
    torch.testing.assert_close(wav, expected, rtol=0, atol=run.tolerance["wav"])


@pytest.mark.parametrize("folder", ["pwg-parallelwavegan-small", "pwg-parallelwavegan-v1-seeded"])
def test_parallel_wavegan_with_its_configuration_and_statistics(
    fixture_folder: FixtureFolder, tmp_path: Path, folder: str
) -> None:
    run, out = fixture_folder(folder), tmp_path / "imported.safetensors"
    hop = math.prod(run.config["upsample_params"]["upsample_scales"])
    path = official_file(tmp_path, run.state_dict, beside_a_larger_discriminator, "c.pkl")
    about = {
        "generator_type": "ParallelWaveGANGenerator",
        "generator_params": run.config,
        "sampling_rate": 24000,
        "fft_size": 4 * hop,
        "hop_size": hop,
        "win_length": None,
        "num_mels": 80,
        "fmin": 80,
        "fmax": 7600,
    }
    (tmp_path / "config.yml").write_text(json.dumps(about))  # which YAML is a superset of
    with pytest.raises(WavewrightError, match=r"neither stats\.h5 nor stats\.npy"):
        import_checkpoint(path)
    mean, scale = np.linspace(-3, -1, 80), np.linspace(0.5, 1, 80)
    np.save(tmp_path / "stats.npy", np.stack([mean, scale]))
    made = import_checkpoint(path, out=out)
    assert (made.format.name, made.step) == ("parallel-wavegan", 400_000)
    vocoder = load_vocoder(out)
    assert (vocoder.mel_spec.sample_rate, vocoder.hop_length) == (24000, hop)
    assert (vocoder.mel_spec.n_fft, vocoder.mel_spec.win_length) == (4 * hop, 4 * hop)
    assert isinstance(vocoder.mel_spec.normalisation, StatisticsNormalisation)
    np.testing.assert_allclose(vocoder.mel_spec.normalisation.mean, mean)
    np.testing.assert_allclose(vocoder.mel_spec.normalisation.scale, scale)
    given, noise = (torch.from_numpy(run.inputs[name]) for name in ("c", "noise"))
    with torch.no_grad():
        wav = vocoder(given, noise.squeeze(1))
    expected = torch.from_numpy(run.outputs["wav"]).squeeze(1)
    torch.testing.assert_close(wav, expected, rtol=0, atol=run.tolerance["wav"])


def test_waveglow(
    fixture_folder: FixtureFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, path = fixture_folder("waveglow-small"), tmp_path / "waveglow_256channels.pt"
    waveglow_runs.as_authors_pickle(run.state_dict, path)
    mel = waveglow_runs.official(run).mel_spec
    made = import_checkpoint(path, mel=mel, out=tmp_path / "imported.safetensors")
    assert (made.format.name, made.step) == ("waveglow", 3)
    monkeypatch.setattr(waveglow_runs, "official", lambda run: loaded(made))
    waveglow_runs.test_speech_becomes_the_official_noise_and_comes_back(fixture_folder)
    waveglow_runs.test_noise_becomes_the_official_speech(fixture_folder, 0.6)


def test_old_waveglow(fixture_folder: FixtureFolder, tmp_path: Path) -> None:
    run, path = fixture_folder("waveglow-small"), tmp_path / "waveglow_old.pt"
    waveglow_runs.as_authors_pickle(waveglow_runs.in_old_layers(run.state_dict), path)
    expected = waveglow_runs.official(run)
    found = import_checkpoint(path, mel=expected.mel_spec).model.inference_state()
    for key, value in expected.inference_state().items():
        torch.testing.assert_close(found[key], value, rtol=0, atol=1e-6, msg=key)


def test_tacotron_2(
    fixture_folder: FixtureFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fixture_folder("tacotron2-nvidia-small")
    state = {"state_dict": run.state_dict, "iteration": 99}
    path = official_file(tmp_path, {}, lambda _: state, "tacotron2_statedict.pt")
    mel = MelSpec.preset("tacotron2").model_copy(update={"n_mels": run.config["n_mel_channels"]})
    made = import_checkpoint(path, mel=mel, out=tmp_path / "imported.safetensors")
    assert made.step == 99
    kept = loaded(made)

    def built(official: OfficialRun, **changes: Any) -> Tacotron2:
        changes["gate_threshold"] = official.config["gate_threshold"]
        model = Tacotron2(kept.config.model_copy(update=changes))
        model.load_inference_state(kept.inference_state())
        return model.eval()

    monkeypatch.setattr(tacotron2_runs, "built", built)
    given = {name: torch.from_numpy(value) for name, value in run.inputs.items()}
    names = ("text", "text_lengths", "mel", "mel_lengths")
    batch = TextBatch(**{n: given[n] for n in names}, ids=["first", "second"])
    tacotron2_runs.test_teacher_forced_without_dropout(run, batch)
    tacotron2_runs.test_free_running_speech(run, batch)


@pytest.mark.parametrize("folder", [*wavenet_runs.SMALL, wavenet_runs.OFFICIAL])
def test_wavenets(
    fixture_folder: FixtureFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    run = fixture_folder(folder)
    state = {"state_dict": run.state_dict, "global_step": 11, "optimizer": None}
    path = official_file(tmp_path, {}, lambda _: state, "checkpoint_step.pth")
    with pytest.raises(WavewrightError, match=r"do not tell cycles|must be given by --mel PRESET"):
        import_checkpoint(path)
    about = {**run.config, "log_scale_min": math.log(1e-14)}
    (tmp_path / "hparams.json").write_text(json.dumps(about))
    expected = wavenet_runs.built(run)
    made = import_checkpoint(path, mel=expected.mel_spec, out=tmp_path / "imported.safetensors")
    assert (made.format.name, made.step) == ("wavenet", 11)
    monkeypatch.setattr(wavenet_runs, "built", lambda run: loaded(made))
    wavenet_runs.test_logits_and_loss_are_the_official_ones(fixture_folder, folder)


@pytest.mark.parametrize("folder", wavernn_runs.FATCHORD)
def test_wavernns(
    fixture_folder: FixtureFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    run = fixture_folder(folder)
    path = official_file(tmp_path, run.state_dict, bare, "latest_weights.pyt")
    mel = wavernn_runs.fatchord(run).mel_spec
    made = import_checkpoint(path, mel=mel, out=tmp_path / "imported.safetensors")
    assert made.format.name == "wavernn"
    monkeypatch.setattr(wavernn_runs, "fatchord", lambda run: loaded(made))
    wavernn_runs.test_fatchords_network_says_the_same(fixture_folder, folder)


def test_the_dual_softmax(fixture_folder: FixtureFolder, tmp_path: Path) -> None:
    run = fixture_folder(wavernn_runs.DUAL)
    path = official_file(tmp_path, run.state_dict, bare, "wavernn.pyt")
    made = import_checkpoint(path, out=tmp_path / "imported.safetensors")
    assert "wavewright sample --checkpoint" in str(made)
    wavernn_runs.test_the_papers_cell_says_the_same((loaded(made), run))


def test_published_mels_are_attached(fixture_folder: FixtureFolder, tmp_path: Path) -> None:
    expected = {"hifigan-v2": "hifigan", "melgan-seungwonpark-small": "tacotron2"}
    for folder, preset in expected.items():
        path = official_file(tmp_path, fixture_folder(folder).state_dict, bare, f"{folder}.pt")
        made = import_checkpoint(path)
        assert made.model.mel_spec == MelSpec.preset(preset)
        assert f"mel '{preset}'" in str(made)


def test_the_configuration_beside_it_tells_rates_and_mel(
    fixture_folder: FixtureFolder, tmp_path: Path
) -> None:
    run = fixture_folder("hifigan-v2")
    path = official_file(tmp_path, run.state_dict, in_generator, "g_00000042")
    about = {**run.config, "sampling_rate": 24000, "fmax": None, "hop_size": 256}
    (tmp_path / "config.json").write_text(json.dumps(about))
    made = import_checkpoint(path)
    assert (made.model.mel_spec.sample_rate, made.model.mel_spec.fmax) == (24000, 12000)
    assert (made.step, made.configuration) == (42, "config.json")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WavewrightError, match=r"config\.json: not valid JSON"):
        import_checkpoint(path)
    about["upsample_rates"] = [8, 8, 2, 1]
    (tmp_path / "config.json").write_text(json.dumps(about))
    with pytest.raises(WavewrightError, match="80 bands and 128 samples a frame"):
        import_checkpoint(path)


@pytest.mark.parametrize("spelling", ["plain", "new"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_all_spellings_of_weight_norm(
    fixture_folder: FixtureFolder, tmp_path: Path, spelling: str, prefix: str
) -> None:
    old = fixture_folder("hifigan-v3").state_dict
    new = {prefix + key: value for key, value in spelled(old, spelling).items()}
    expected = import_checkpoint(official_file(tmp_path, old, in_generator, "old")).model
    found = import_checkpoint(official_file(tmp_path, new, in_generator, "new")).model
    assert found.config == expected.config
    for key, value in expected.inference_state().items():
        assert torch.equal(found.inference_state()[key], value), key


def test_a_vocoder_inside_a_joint_model_of_espnet(
    fixture_folder: FixtureFolder, tmp_path: Path
) -> None:
    run = fixture_folder("pwg-hifigan-small")
    state = {f"tts.generator.vocoder.{key}": value for key, value in run.state_dict.items()}
    state["tts.generator.text2mel.encoder.weight"] = torch.ones(2)
    path = official_file(tmp_path, state, bare, "train.total_count.ave_5best.pth")
    with pytest.raises(WavewrightError, match=r"must be given by --mel PRESET .*espnet"):
        import_checkpoint(path)
    vocoder = import_checkpoint(path, mel="espnet").model
    assert isinstance(vocoder, Vocoder)
    wav = vocoder.generate(torch.from_numpy(run.inputs["mel_normalized"]))
    expected = torch.from_numpy(run.outputs["wav"]).squeeze(1)
    torch.testing.assert_close(wav, expected, rtol=0, atol=run.tolerance["wav"])


def test_statistics_may_be_named(fixture_folder: FixtureFolder, tmp_path: Path) -> None:
    run = fixture_folder("wavenet-r9y9-mol-official-seeded")
    state = {"state_dict": run.state_dict}
    path = official_file(tmp_path, {}, lambda _: state, "checkpoint_step_ema.pth")
    stats = tmp_path / "meanvar.npy"
    np.save(stats, np.stack([np.full(80, -2.0), np.full(80, 0.5)]))
    made = import_checkpoint(path, mel="r9y9", statistics=stats)
    assert made.model.mel_spec.normalisation == StatisticsNormalisation(
        mean=(-2.0,) * 80, scale=(0.5,) * 80
    )
    assert "mel 'r9y9' with statistics" in str(made)
