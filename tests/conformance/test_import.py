"""Official checkpoints, imported, say what their authors' code said."""

from __future__ import annotations

import importlib
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.conformance import (
    test_tacotron2 as tacotron2_runs,
)
from tests.conformance import (
    test_waveglow as waveglow_runs,
)
from tests.conformance import (
    test_wavenet as wavenet_runs,
)
from tests.conformance import (
    test_wavernn as wavernn_runs,
)
from tests.official import FixtureFolder, OfficialRun
from wavewright.acoustic.model import TextBatch
from wavewright.acoustic.tacotron2 import Tacotron2
from wavewright.checkpoint import load_model, load_vocoder
from wavewright.errors import UnknownName, WavewrightError
from wavewright.importing.convert import Imported, import_checkpoint
from wavewright.importing.formats import FORMATS
from wavewright.melspec import MelSpec, StatisticsNormalisation
from wavewright.nn.weight_norm import fold_weight_norm
from wavewright.registry import create_vocoder
from wavewright.vocoder import Vocoder

State = dict[str, Tensor]
BURGLAR = waveglow_runs.Burglar


def official_file(folder: Path, state: State, wrapped: Callable[[State], Any], name: str) -> Path:
    path = folder / name
    torch.save(wrapped(state), path)
    return path


def in_generator(state: State) -> dict[str, Any]:
    return {"generator": state}


def beside_a_larger_discriminator(state: State) -> dict[str, Any]:
    larger = {"discriminators.0.weight": torch.zeros(4_000_000)}
    return {
        "model": {"generator": state, "discriminator": larger},
        "optimizer": {"generator": {"state": {0: {"exp_avg": torch.zeros(3)}}}},
        "steps": 400_000,
    }


def of_park(state: State) -> dict[str, Any]:
    return {"model_g": state, "model_d": {"d.weight": torch.zeros(4_000_000)}, "step": 7}


def bare(state: State) -> State:
    return state


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
    assert (vocoder.mel.sample_rate, vocoder.hop_length) == (24000, hop)
    assert (vocoder.mel.n_fft, vocoder.mel.win_length) == (4 * hop, 4 * hop)
    assert isinstance(vocoder.mel.normalisation, StatisticsNormalisation)
    np.testing.assert_allclose(vocoder.mel.normalisation.mean, mean)
    np.testing.assert_allclose(vocoder.mel.normalisation.scale, scale)
    given, noise = (torch.from_numpy(run.inputs[name]) for name in ("c", "noise"))
    with torch.no_grad():
        wav = vocoder(given, noise.squeeze(1))
    expected = torch.from_numpy(run.outputs["wav"]).squeeze(1)
    torch.testing.assert_close(wav, expected, rtol=0, atol=run.tolerance["wav"])


def loaded(made: Imported) -> Any:
    assert made.out is not None
    return load_model(made.out)


def test_waveglow(
    fixture_folder: FixtureFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, path = fixture_folder("waveglow-small"), tmp_path / "waveglow_256channels.pt"
    waveglow_runs.as_authors_pickle(run.state_dict, path)
    mel = waveglow_runs.official(run).mel
    made = import_checkpoint(path, mel=mel, out=tmp_path / "imported.safetensors")
    assert (made.format.name, made.step) == ("waveglow", 3)
    monkeypatch.setattr(waveglow_runs, "official", lambda run: loaded(made))
    waveglow_runs.test_speech_becomes_the_official_noise_and_comes_back(fixture_folder)
    waveglow_runs.test_noise_becomes_the_official_speech(fixture_folder, 0.6)


def test_old_waveglow(fixture_folder: FixtureFolder, tmp_path: Path) -> None:
    run, path = fixture_folder("waveglow-small"), tmp_path / "waveglow_old.pt"
    waveglow_runs.as_authors_pickle(waveglow_runs.in_old_layers(run.state_dict), path)
    expected = waveglow_runs.official(run)
    found = import_checkpoint(path, mel=expected.mel).model.inference_state()
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
    with pytest.raises(WavewrightError, match=r"do not tell cycles|must be said by --mel PRESET"):
        import_checkpoint(path)
    about = {**run.config, "log_scale_min": math.log(1e-14)}
    (tmp_path / "hparams.json").write_text(json.dumps(about))
    expected = wavenet_runs.built(run)
    made = import_checkpoint(path, mel=expected.mel, out=tmp_path / "imported.safetensors")
    assert (made.format.name, made.step) == ("wavenet", 11)
    monkeypatch.setattr(wavenet_runs, "built", lambda run: loaded(made))
    wavenet_runs.test_logits_and_loss_are_the_official_ones(fixture_folder, folder)


@pytest.mark.parametrize("folder", wavernn_runs.FATCHORD)
def test_wavernns(
    fixture_folder: FixtureFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    run = fixture_folder(folder)
    path = official_file(tmp_path, run.state_dict, bare, "latest_weights.pyt")
    mel = wavernn_runs.fatchord(run).mel
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
        assert made.model.mel == MelSpec.preset(preset)
        assert f"mel '{preset}'" in str(made)


def test_the_configuration_beside_it_tells_rates_and_mel(
    fixture_folder: FixtureFolder, tmp_path: Path
) -> None:
    run = fixture_folder("hifigan-v2")
    path = official_file(tmp_path, run.state_dict, in_generator, "g_00000042")
    about = {**run.config, "sampling_rate": 24000, "fmax": None, "hop_size": 256}
    (tmp_path / "config.json").write_text(json.dumps(about))
    made = import_checkpoint(path)
    assert (made.model.mel.sample_rate, made.model.mel.fmax) == (24000, 12000)
    assert (made.step, made.configuration) == (42, "config.json")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WavewrightError, match=r"config\.json: not valid JSON"):
        import_checkpoint(path)
    about["upsample_rates"] = [8, 8, 2, 1]
    (tmp_path / "config.json").write_text(json.dumps(about))
    with pytest.raises(WavewrightError, match="80 bands and 128 samples a frame"):
        import_checkpoint(path)


def spelled(state: State, spelling: str) -> State:
    if spelling == "plain":
        return fold_weight_norm(state)
    new = {"weight_g": "original0", "weight_v": "original1"}
    respelled = {}
    for key, value in state.items():
        stem, _, attribute = key.rpartition(".")
        name = f"parametrizations.weight.{new[attribute]}" if attribute in new else attribute
        respelled[f"{stem}.{name}"] = value
    return respelled


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


def as_theirs(vocoder: Vocoder, names: Any) -> State:
    """Our weights under the names of the toolkit whose importer is tried."""
    return {names(key): value for key, value in vocoder.inference_state().items()}


def bigvgan_name(key: str) -> str:
    parts = key.split(".")
    if parts[0] == "ups":
        return ".".join([*parts[:2], "0", parts[2]])
    if parts[0] == "snake_post":
        return f"activation_post.act.{parts[1].removeprefix('log_')}"
    if parts[0] == "resblocks" and parts[2].startswith("snakes"):
        place = 2 * int(parts[3]) + int(parts[2][-1]) - 1
        return ".".join([*parts[:2], "activations", str(place), "act", parts[4][4:]])
    return key


def vocos_name(key: str) -> str:
    module = importlib.import_module("wavewright.vocoders.vocos")
    path, _, attribute = key.rpartition(".")
    for theirs, ours in module._NAMES.items():
        if path == ours:
            return f"{theirs}.{attribute}"
    theirs_of = {ours: theirs for theirs, ours in module._BLOCK.items()}
    _, number, part, *rest = key.split(".")
    return ".".join(["backbone.convnext", number, theirs_of[part], *rest])


def speecht5_name(key: str) -> str:
    return key.replace("ups.", "upsampler.")


def random_twin(name: str, **changes: Any) -> Vocoder:
    torch.manual_seed(0)
    return create_vocoder(name, **changes).eval()


def require_same(made: Imported, expected: Vocoder) -> None:
    mel = torch.randn(1, expected.mel.n_mels, 6, generator=torch.Generator().manual_seed(1))
    assert torch.equal(loaded(made).generate(mel), expected.generate(mel))


def test_bigvgan(tmp_path: Path) -> None:
    for name, preset in (("bigvgan", "bigvgan-22k"), ("bigvgan:base-24k", "bigvgan-24k")):
        expected = random_twin(name, upsample_initial_channel=16)
        state = as_theirs(expected, bigvgan_name)
        state["resblocks.0.activations.0.upsample.filter"] = torch.ones(1, 1, 12)
        path = official_file(tmp_path, state, in_generator, "g_05000000")
        made = import_checkpoint(path, out=tmp_path / "imported.safetensors")
        assert (made.format.name, made.step) == ("bigvgan", 5_000_000)
        assert made.model.mel == MelSpec.preset(preset)
        require_same(made, expected)


def test_vocos(tmp_path: Path) -> None:
    expected = random_twin("vocos", channels=16, hidden_channels=24, layers=2)
    state = as_theirs(expected, vocos_name)
    state["feature_extractor.mel_spec.mel_scale.fb"] = torch.ones(513, 100)
    state["head.istft.window"] = torch.ones(1024)
    path = official_file(tmp_path, state, bare, "pytorch_model.bin")
    made = import_checkpoint(tmp_path, out=tmp_path / "imported.safetensors")
    assert (made.format.name, made.model.mel) == ("vocos", MelSpec.preset("vocos-24k"))
    require_same(made, expected)
    (tmp_path / "config.yaml").write_text(
        "feature_extractor:\n  class_path: vocos.MelSpectrogramFeatures\n  init_args:\n"
        "    sample_rate: 16000\n    n_fft: 1024\n    hop_length: 256\n    n_mels: 100\n"
        "    padding: same\n"
    )
    mel = import_checkpoint(path).model.mel
    assert (mel.sample_rate, mel.fmax, mel.framing) == (16000, 8000, "hop")


@pytest.mark.parametrize("normalises", [True, False])
def test_speecht5(tmp_path: Path, normalises: bool) -> None:
    fields: dict[str, Any] = {
        "upsample_rates": [4, 4, 4, 4],
        "upsample_kernel_sizes": [8, 8, 8, 8],
        "upsample_initial_channel": 32,
    }
    expected = random_twin("hifigan", **fields)
    state = as_theirs(expected, speecht5_name)
    state |= {"mean": torch.linspace(-3, -1, 80), "scale": torch.linspace(0.5, 1, 80)}
    save_file(state, tmp_path / "model.safetensors")
    about = {**fields, "sampling_rate": 16000, "normalize_before": normalises}
    (tmp_path / "config.json").write_text(json.dumps(about))
    made = import_checkpoint(tmp_path, out=tmp_path / "imported.safetensors")
    require_same(made, expected)
    plain = MelSpec.preset("speecht5").bands_first
    differing = made.model.mel.differences(plain)
    assert set(differing) == ({"normalisation"} if normalises else set())
    (tmp_path / "config.json").write_text(json.dumps({**about, "leaky_relu_slope": 0.2}))
    with pytest.raises(WavewrightError, match=r"leaky_relu_slope is 0\.2"):
        import_checkpoint(tmp_path)


def test_a_vocoder_inside_a_joint_model_of_espnet(
    fixture_folder: FixtureFolder, tmp_path: Path
) -> None:
    run = fixture_folder("pwg-hifigan-small")
    state = {f"tts.generator.vocoder.{key}": value for key, value in run.state_dict.items()}
    state["tts.generator.text2mel.encoder.weight"] = torch.ones(2)
    path = official_file(tmp_path, state, bare, "train.total_count.ave_5best.pth")
    with pytest.raises(WavewrightError, match=r"must be said by --mel PRESET .*espnet"):
        import_checkpoint(path)
    vocoder = import_checkpoint(path, mel="espnet").model
    assert isinstance(vocoder, Vocoder)
    wav = vocoder.generate(torch.from_numpy(run.inputs["mel_normalized"]))
    expected = torch.from_numpy(run.outputs["wav"]).squeeze(1)
    torch.testing.assert_close(wav, expected, rtol=0, atol=run.tolerance["wav"])


@pytest.fixture
def hifigan_state() -> State:
    fields = {"upsample_rates": (16, 16), "upsample_kernel_sizes": (32, 32)}
    return random_twin("hifigan", **fields, upsample_initial_channel=8).inference_state()


def test_what_does_not_fit_is_listed(tmp_path: Path, hifigan_state: State) -> None:
    def refused(message: str, **changes: Any) -> None:
        state = {**hifigan_state, **{k.replace("__", "."): v for k, v in changes.items()}}
        kept = {key: value for key, value in state.items() if value is not None}
        path = official_file(tmp_path, kept, in_generator, "g_1")
        out = tmp_path / "out.safetensors"
        with pytest.raises(WavewrightError, match=message):
            import_checkpoint(path, out=out)
        assert list(tmp_path.glob("*out.safetensors*")) == []

    refused(r"missing 1 \(conv_post\.bias\); unexpected none", conv_post__bias=None)
    refused(r"missing none; unexpected 1 \(spk\.weight\)", spk__weight=torch.ones(2))
    refused(
        r"missing 1 \(ups\.1\.bias\); unexpected 7 \(a0, a1, a2, a3, a4, \.\.\.\)",
        ups__1__bias=None,
        **{f"a{i}": torch.ones(1) for i in range(7)},
    )
    refused(r"conv_post\.bias is \(2,\), expected \(1,\)", conv_post__bias=torch.ones(2))
    refused(r"'conv_post\.bias' are not finite", conv_post__bias=torch.full((1,), torch.nan))
    refused(
        r"nearest is HiFi-GAN of jik876 \(hifigan\), of which 1 marks of 4 .*: conv_pre",
        conv_pre__weight=None,
    )
    wide = torch.ones(1).expand(1 << 40)
    refused(r"'conv_post\.bias' claims \(1099511627776,\) numbers", conv_post__bias=wide)


def test_a_claim_of_great_width_allocates_nothing(tmp_path: Path, hifigan_state: State) -> None:
    state = {**hifigan_state, "conv_pre.weight": torch.zeros(1 << 24, 1, 1)}
    path = official_file(tmp_path, state, in_generator, "g_1")
    mel = MelSpec.preset("hifigan").model_copy(update={"n_mels": 1})
    with pytest.raises(WavewrightError, match="expected"):
        import_checkpoint(path, mel=mel)


@pytest.mark.parametrize("form", [form.name for form in FORMATS])
def test_another_networks_file_is_refused_by_every_format(
    tmp_path: Path, hifigan_state: State, form: str
) -> None:
    path = official_file(tmp_path, {"linear.weight": torch.ones(2)}, bare, "model.pt")
    with pytest.raises(WavewrightError, match=rf"\({form}\), of which .*linear\.weight"):
        import_checkpoint(path, form)
    path = official_file(tmp_path, hifigan_state, in_generator, "g_1")
    if form != "hifigan":
        with pytest.raises(WavewrightError, match=rf"than {form}: it looks like .*hifigan"):
            import_checkpoint(path, form)
    with pytest.raises(UnknownName, match="Did you mean 'hifigan'"):
        import_checkpoint(path, "hifi-gan")


@pytest.mark.parametrize("legacy", [False, True])
def test_a_hostile_pickle_runs_nothing(tmp_path: Path, hifigan_state: State, legacy: bool) -> None:
    loot, path = tmp_path / "loot", tmp_path / "g_1"
    given = {"generator": hifigan_state, "extra": BURGLAR(loot)}
    torch.save(given, path, _use_new_zipfile_serialization=not legacy)
    assert import_checkpoint(path).format.name == "hifigan"
    assert not loot.exists()


def test_what_is_no_checkpoint_is_said_in_a_sentence(tmp_path: Path, hifigan_state: State) -> None:
    whole = official_file(tmp_path, hifigan_state, in_generator, "g_1").read_bytes()
    cases = {
        "none.pt": (None, "no such file"),
        "empty.pt": (b"", "the file is empty"),
        "text.pt": (b"Dear all,\n", "is no checkpoint that torch.save wrote, or is damaged"),
        "cut.pt": (whole[: len(whole) // 2], "is no checkpoint that torch.save wrote, or is da"),
        "text.safetensors": (b"Dear all,\n", "not a readable safetensors file"),
    }
    for name, (data, message) in cases.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(WavewrightError, match=message) as caught:
            import_checkpoint(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name))
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < len(str(tmp_path)) + 300
    with pytest.raises(WavewrightError, match="name the file"):
        import_checkpoint(tmp_path)
    with pytest.raises(WavewrightError, match=r"is a \.safetensors file"):
        import_checkpoint(tmp_path / "g_1", out=tmp_path / "out.pt")


def test_ours_needs_no_import(tmp_path: Path, hifigan_state: State) -> None:
    path = official_file(tmp_path, hifigan_state, in_generator, "g_1")
    out = tmp_path / "ours.safetensors"
    assert str(out) in str(import_checkpoint(path, out=out))
    with pytest.raises(WavewrightError, match="Wavewright's own already"):
        import_checkpoint(out)


def test_half_precision_becomes_float32(tmp_path: Path, hifigan_state: State) -> None:
    half = {key: value.half() for key, value in hifigan_state.items()}
    model = import_checkpoint(official_file(tmp_path, half, in_generator, "g_1")).model
    assert {value.dtype for value in model.inference_state().values()} == {torch.float32}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_causal_conv": True}, "use_causal_conv is True"),
        ({"nonlinear_activation_params": {"negative_slope": 0.3}}, r"negative_slope is 0\.3"),
        ({"upsample_scales": "8888"}, "upsampling rates '8888'"),
    ],
)
def test_a_network_that_computes_otherwise_is_refused(
    fixture_folder: FixtureFolder, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    run = fixture_folder("pwg-melgan-small")
    path = official_file(tmp_path, run.state_dict, beside_a_larger_discriminator, "c.pkl")
    about = {"generator_type": "MelGANGenerator", "generator_params": {**run.config, **change}}
    (tmp_path / "config.yml").write_text(json.dumps(about))
    with pytest.raises(WavewrightError, match=message):
        import_checkpoint(path, mel=PWG_MEL)


def test_statistics_may_be_named(fixture_folder: FixtureFolder, tmp_path: Path) -> None:
    run = fixture_folder("wavenet-r9y9-mol-official-seeded")
    state = {"state_dict": run.state_dict}
    path = official_file(tmp_path, {}, lambda _: state, "checkpoint_step_ema.pth")
    stats = tmp_path / "meanvar.npy"
    np.save(stats, np.stack([np.full(80, -2.0), np.full(80, 0.5)]))
    made = import_checkpoint(path, mel="r9y9", statistics=stats)
    assert made.model.mel.normalisation == StatisticsNormalisation(
        mean=(-2.0,) * 80, scale=(0.5,) * 80
    )
    assert "mel 'r9y9' with statistics" in str(made)


def test_the_page_lists_every_format(root: Path) -> None:
    text = (root / "docs" / "import.md").read_text("utf-8")
    assert re.findall(r"^\| `([\w-]+)` \|", text, flags=re.MULTILINE) == [f.name for f in FORMATS]
