"""Checkpoints: whole or not there, damage is noticed, what is loaded is what was saved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import wavewright
from tests.support import tiny
from wavewright.checkpoints.checkpoint import (
    find_damage,
    latest_checkpoint,
    load_model,
    load_training,
    load_vocoder,
    prune,
    read_weights,
    save_checkpoint,
    write_weights,
)
from wavewright.errors import UnknownName, WavewrightError
from wavewright.vocoders.hifigan import HiFiGAN

MEL = torch.full((1, 8, 5), -3.0)


@pytest.fixture(scope="module")
def model() -> HiFiGAN:
    return tiny.hifigan()


@pytest.fixture
def run(tmp_path: Path, model: HiFiGAN) -> Path:
    """A run folder with the steps 10, 20 and 30."""
    for step in (10, 20, 30):
        save_checkpoint(tmp_path / "run", step, model, {"step": step, "state": [torch.ones(3)]})
    return tmp_path / "run"


def metadata(path: Path, **changes: Any) -> None:
    """Rewrite what a weights file says of itself."""
    about, state = read_weights(path)
    save_file(state, path, metadata={"wavewright": json.dumps({**about, **changes})})


def test_a_step_folder_holds_what_design_says(run: Path) -> None:
    assert sorted(path.name for path in run.iterdir()) == [
        "step-00000010",
        "step-00000020",
        "step-00000030",
    ]
    names = {"vocoder.safetensors", "training.pt", "checkpoint.json"}
    assert {path.name for path in (run / "step-00000030").iterdir()} == names
    sums = json.loads((run / "step-00000030" / "checkpoint.json").read_text())["sha256"]
    assert sums.keys() == names - {"checkpoint.json"}


def test_the_newest_is_used(run: Path) -> None:
    assert latest_checkpoint(run) == run / "step-00000030"
    assert load_training(run / "step-00000030")["step"] == 30


def test_no_run_has_no_checkpoint(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "nowhere") is None


def test_half_written_steps_are_not_there(run: Path) -> None:
    (run / ".step-00000040.partial").mkdir()
    assert latest_checkpoint(run) == run / "step-00000030"


def test_a_step_saved_again_replaces_the_first(run: Path, model: HiFiGAN) -> None:
    save_checkpoint(run, 30, model, {"step": 30, "again": True})
    assert load_training(run / "step-00000030")["again"] is True
    assert find_damage(run / "step-00000030") is None


def test_old_steps_are_dropped(run: Path) -> None:
    prune(run, keep=2)
    assert sorted(path.name for path in run.iterdir()) == ["step-00000020", "step-00000030"]


@pytest.mark.parametrize("where", ["", "step-00000030", "step-00000030/vocoder.safetensors"])
def test_a_loaded_model_is_the_saved_one_to_the_last_bit(
    run: Path, model: HiFiGAN, where: str
) -> None:
    loaded = load_model(run / where)
    assert isinstance(loaded, HiFiGAN)
    assert loaded.config == model.config
    assert loaded.name == "hifigan"
    assert not loaded.training
    assert torch.equal(loaded.generate(MEL), model.generate(MEL))
    assert wavewright.load_vocoder(run / where).mel_spec == tiny.SPEC


def test_the_variant_travels(tmp_path: Path) -> None:
    vocoder = wavewright.create_vocoder("hifigan:v3", upsample_initial_channel=16)
    save_checkpoint(tmp_path, 1, vocoder)
    assert load_model(tmp_path).name == "hifigan:v3"
    assert load_model(tmp_path).config == vocoder.config


def test_a_training_model_is_saved_folded(tmp_path: Path) -> None:
    trained = tiny.hifigan()
    trained.prepare_for_training()
    save_checkpoint(tmp_path, 1, trained)
    _, state = read_weights(tmp_path / "step-00000001" / "vocoder.safetensors")
    assert state.keys() == tiny.hifigan().state_dict().keys(), "no weight norm, no adversaries"


def test_shared_weights_need_no_folder(run: Path, tmp_path: Path) -> None:
    shutil.copy(run / "step-00000030" / "vocoder.safetensors", tmp_path / "mine.safetensors")
    assert load_vocoder(tmp_path / "mine.safetensors").name == "hifigan"


def test_half_precision_weights_load_as_float32(tmp_path: Path, model: HiFiGAN) -> None:
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    write_weights(whole, model, 7)
    write_weights(half, model, 7, dtype=torch.float16)
    assert half.stat().st_size < 0.75 * whole.stat().st_size
    loaded = load_vocoder(half)
    assert all(parameter.dtype == torch.float32 for parameter in loaded.parameters())
    torch.testing.assert_close(loaded.generate(MEL), model.generate(MEL), rtol=0, atol=1e-2)
    assert not torch.equal(loaded.generate(MEL), model.generate(MEL))


def test_equal_weights_are_equal_bytes(tmp_path: Path) -> None:
    write_weights(tmp_path / "a.safetensors", tiny.hifigan(), 7)
    write_weights(tmp_path / "b.safetensors", tiny.hifigan(), 7)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_foreign_files_are_refused_with_words(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.ones(3)}, foreign)
    with pytest.raises(WavewrightError, match=r"foreign\.safetensors: .*not one that Wavewright"):
        load_model(foreign)
    foreign.write_bytes(b"not at all")
    with pytest.raises(WavewrightError, match="not a readable safetensors file"):
        load_model(foreign)
    with pytest.raises(WavewrightError, match="no such checkpoint"):
        load_model(tmp_path / "none.safetensors")
    with pytest.raises(WavewrightError, match="holds no checkpoint"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "header-not-json",
        "truncated",
        "empty",
        "offsets-out-of-range",
        "shape-bytes-disagree",
        "unknown-dtype",
        "good-tiny",
    ],
)
def test_bad_safetensors_are_refused_by_name(shared: Path, name: str) -> None:
    path = shared / "corpora" / "bad-input" / "checkpoints" / f"{name}.safetensors"
    with pytest.raises(WavewrightError) as caught:
        load_model(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(tmp_path: Path, value: float) -> None:
    broken = tiny.hifigan()
    with torch.no_grad():
        broken.conv_post.weight[0, 0, 0] = value
    write_weights(tmp_path / "v.safetensors", broken, 1)
    with pytest.raises(WavewrightError, match=r"v\.safetensors: .*'conv_post\.weight' are not fin"):
        load_model(tmp_path / "v.safetensors")


def test_weights_that_do_not_fit_are_named(tmp_path: Path, model: HiFiGAN) -> None:
    path = tmp_path / "v.safetensors"
    write_weights(path, model, 1)
    wide = model.config.model_copy(update={"upsample_initial_channel": 32})
    metadata(path, config=wide.model_dump(mode="json"))
    with pytest.raises(
        WavewrightError,
        match=r"v\.safetensors: .*conv_pre\.weight is \(16, 8, 7\), expected \(32, 8, 7\)",
    ):
        load_model(path)
    deep = model.config.model_copy(
        update={"resblock_kernel_sizes": (3,), "resblock_dilation_sizes": ((1, 2),)}
    )
    metadata(path, config=deep.model_dump(mode="json"))
    with pytest.raises(WavewrightError, match=r"v\.safetensors: .*unexpected \['resblocks\.2"):
        load_model(path)


def test_an_unknown_system_is_named_with_its_file(tmp_path: Path, model: HiFiGAN) -> None:
    path = tmp_path / "v.safetensors"
    write_weights(path, model, 1)
    metadata(path, name="hummer")
    with pytest.raises(WavewrightError, match=r"v\.safetensors: unknown name 'hummer'"):
        load_model(path)
    metadata(path, name="hifigan", config={**model.config.model_dump(mode="json"), "new": 1})
    with pytest.raises(WavewrightError, match=r"v\.safetensors: .*unknown field 'new'"):
        load_model(path)
    metadata(path, format=2)
    with pytest.raises(WavewrightError, match="not one that Wavewright wrote"):
        load_model(path)
    assert issubclass(UnknownName, WavewrightError)


def test_a_pickle_is_never_run(tmp_path: Path, shared: Path) -> None:
    folder = tmp_path / "step-00000001"
    folder.mkdir()
    bad = shared / "corpora" / "bad-input" / "checkpoints" / "malicious-zip.pt"
    shutil.copy(bad, folder / "training.pt")
    with pytest.raises(WavewrightError, match=r"training\.pt: not loadable"):
        load_training(folder)
    assert not list(Path.cwd().glob("*.marker"))


def test_weights_can_be_read_by_whoever_reads_other_files(tmp_path: Path) -> None:
    other, weights = tmp_path / "other", tmp_path / "vocoder.safetensors"
    other.touch()
    write_weights(weights, tiny.hifigan(), step=0)
    assert weights.stat().st_mode == other.stat().st_mode


def test_weights_that_cannot_be_written_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="no space"):
        write_weights(tmp_path / "vocoder.safetensors", tiny.hifigan(), step=0)
    assert not list(tmp_path.iterdir())
