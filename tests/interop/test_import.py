"""Formats without an official run: our own weights under their names come back the same."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import save_file

from tests.support.official_files import (
    State,
    bare,
    in_generator,
    loaded,
    official_file,
    random_twin,
    small_hifigan,
)
from wavewright.errors import WavewrightError
from wavewright.interop.exporting.parallel_wavegan import write_parallel_wavegan
from wavewright.interop.importing.convert import ImportedModel, import_checkpoint
from wavewright.interop.importing.formats import FORMATS
from wavewright.mel.spec import MelSpec
from wavewright.models.vocoder import Vocoder
from wavewright.vocoders.multiband_melgan import MultiBandMelGANConfig


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


def require_same(made: ImportedModel, expected: Vocoder) -> None:
    mel = torch.randn(1, expected.mel_spec.n_mels, 6, generator=torch.Generator().manual_seed(1))
    assert torch.equal(loaded(made).generate(mel), expected.generate(mel))


@pytest.mark.slow
def test_bigvgan(tmp_path: Path) -> None:
    for name, preset in (("bigvgan", "bigvgan-22k"), ("bigvgan:base-24k", "bigvgan-24k")):
        expected = random_twin(name, upsample_initial_channel=16)
        state = as_theirs(expected, bigvgan_name)
        state["resblocks.0.activations.0.upsample.filter"] = torch.ones(1, 1, 12)
        path = official_file(tmp_path, state, in_generator, "g_05000000")
        made = import_checkpoint(path, out=tmp_path / "imported.safetensors")
        assert (made.format.name, made.step) == ("bigvgan", 5_000_000)
        assert made.model.mel_spec == MelSpec.preset(preset)
        require_same(made, expected)


def test_vocos(tmp_path: Path) -> None:
    expected = random_twin("vocos", channels=16, hidden_channels=24, layers=2)
    state = as_theirs(expected, vocos_name)
    state["feature_extractor.mel_spec.mel_scale.fb"] = torch.ones(513, 100)
    state["head.istft.window"] = torch.ones(1024)
    path = official_file(tmp_path, state, bare, "pytorch_model.bin")
    made = import_checkpoint(tmp_path, out=tmp_path / "imported.safetensors")
    assert (made.format.name, made.model.mel_spec) == ("vocos", MelSpec.preset("vocos-24k"))
    require_same(made, expected)
    (tmp_path / "config.yaml").write_text(
        "feature_extractor:\n  class_path: vocos.MelSpectrogramFeatures\n  init_args:\n"
        "    sample_rate: 16000\n    n_fft: 1024\n    hop_length: 256\n    n_mels: 100\n"
        "    padding: same\n"
    )
    mel = import_checkpoint(path).model.mel_spec
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
    differing = made.model.mel_spec.differences(plain)
    assert set(differing) == ({"normalisation"} if normalises else set())
    (tmp_path / "config.json").write_text(json.dumps({**about, "leaky_relu_slope": 0.2}))
    with pytest.raises(WavewrightError, match=r"leaky_relu_slope is 0\.2"):
        import_checkpoint(tmp_path)


def as_parallel_wavegans(tmp_path: Path, name: str, **changes: Any) -> tuple[Path, Vocoder]:
    """A file of ours for ParallelWaveGAN, and what it was made of."""
    spec = MelSpec.preset("parallel-wavegan")
    vocoder = random_twin(name, mel=spec, **changes)
    return write_parallel_wavegan(vocoder, tmp_path / name, 3)[0], vocoder


def test_melgans_of_one_band_and_of_several_are_told_apart(tmp_path: Path) -> None:
    one, _ = as_parallel_wavegans(tmp_path, "melgan", base_channels=16)
    several, expected = as_parallel_wavegans(tmp_path, "multiband_melgan", channels=64)
    assert import_checkpoint(one).format.name == "pwg-melgan"
    made = import_checkpoint(several, out=tmp_path / "imported.safetensors")
    assert made.format.name == "pwg-multiband-melgan"
    assert loaded(made).config.model_copy(update={"mel": expected.mel_spec}) == expected.config
    for path, named, other in (
        (one, "pwg-multiband-melgan", "pwg-melgan"),
        (several, "pwg-melgan", "pwg-multiband-melgan"),
    ):
        with pytest.raises(WavewrightError, match=rf"another format than {named}.*format {other}"):
            import_checkpoint(path, format=named)


@pytest.mark.parametrize(
    ("changes", "cutoff"),
    [
        ({"version": "0.4.2"}, 0.15),
        ({"version": None}, 0.15),
        ({"version": "0.5.0"}, 0.142),
        ({"version": "0.4.2", "pqmf_params": {"cutoff_ratio": 0.143}}, 0.143),
    ],
)
def test_the_filters_are_those_that_load_model_takes(
    tmp_path: Path, changes: dict[str, Any], cutoff: float
) -> None:
    """Old files, which have no filter parameters, mean other filters than new ones."""
    path, _ = as_parallel_wavegans(tmp_path, "multiband_melgan", channels=64)
    config = path.parent / "config.yml"
    about: dict[str, Any] = YAML(typ="safe").load(config.read_text("utf-8"))
    del about["pqmf_params"]
    about |= changes
    if about["version"] is None:
        del about["version"]
    config.write_text(json.dumps(about))
    made = import_checkpoint(path).model.config
    assert isinstance(made, MultiBandMelGANConfig)
    assert (made.taps, made.cutoff, made.beta) == (62, cutoff, 9.0)


def test_without_a_configuration_the_filters_are_the_published_ones(tmp_path: Path) -> None:
    path, expected = as_parallel_wavegans(tmp_path, "multiband_melgan", channels=64)
    (path.parent / "config.yml").unlink()
    made = import_checkpoint(path, mel=expected.mel_spec).model
    assert made.config.model_copy(update={"mel": expected.mel_spec}) == expected.config


def test_half_precision_becomes_float32(tmp_path: Path) -> None:
    state = small_hifigan()
    half = {key: value.half() for key, value in state.items()}
    model = import_checkpoint(official_file(tmp_path, half, in_generator, "g_1")).model
    assert {value.dtype for value in model.inference_state().values()} == {torch.float32}


def test_the_page_lists_every_format(root: Path) -> None:
    text = (root / "docs" / "import.md").read_text("utf-8")
    assert re.findall(r"^\| `([\w-]+)` \|", text, flags=re.MULTILINE) == [f.name for f in FORMATS]


def test_the_command_to_train_on_names_the_variant_and_what_differs(tmp_path: Path) -> None:
    """One that is published needs no more, any other its sizes."""
    for name, changes, expected in (
        ("hifigan:v3", {}, "--vocoder hifigan:v3 --set train.init_from=MODEL\n"),
        (
            "hifigan:v1",
            {"upsample_initial_channel": 32},
            "--vocoder hifigan:v1 --set train.init_from=MODEL "
            "--set 'train.vocoders.hifigan:v1.config.upsample_initial_channel=32'\n",
        ),
    ):
        state = random_twin(name, **changes).inference_state()
        said = str(import_checkpoint(official_file(tmp_path, state, in_generator, "g_1")))
        assert f"wavewright run RECIPE {expected}" in f"{said}\n"
        assert "in a recipe with its mel" not in said
        other = import_checkpoint(
            tmp_path / "g_1", mel=MelSpec.preset("hifigan").model_copy(update={"fmin": 30.0})
        )
        assert "in a recipe with its mel (wavewright config MODEL)" in str(other)
