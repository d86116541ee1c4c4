"""Checkpoints that are none, do not fit or mean harm: a sentence, and nothing written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conformance.test_waveglow import Burglar
from tests.support.official import FixtureFolder
from tests.support.official_files import (
    State,
    bare,
    beside_a_larger_discriminator,
    in_generator,
    official_file,
    small_hifigan,
)
from wavewright.checkpoints.checkpoint import load_training
from wavewright.errors import UnknownName, WavewrightError
from wavewright.interop.importing.convert import import_checkpoint
from wavewright.interop.importing.formats import FORMATS
from wavewright.mel.spec import MelSpec


@pytest.fixture
def hifigan_state() -> State:
    return small_hifigan()


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
    refused(r"missing 1 \(ups\.1\.weight\) at least", ups__1__weight=None)
    refused(r"another number of axes", ups__1__weight=torch.ones(2))
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
    refused(r"conv_post\.bias is of torch\.int64", conv_post__bias=torch.ones(1).long())
    norm = {"ups__1__weight": None, "ups__1__weight_v": hifigan_state["ups.1.weight"]}
    for length in (torch.ones(3), torch.ones(5, 1, 1), torch.ones(4, 1, 1).long()):
        refused(r"weight norm of 'ups\.1\.weight' has lengths", **norm, ups__1__weight_g=length)
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
    given = {"generator": hifigan_state, "extra": Burglar(loot)}
    torch.save(given, path, _use_new_zipfile_serialization=not legacy)
    assert import_checkpoint(path).format.name == "hifigan"
    assert not loot.exists()


class Caller:
    """Object whose pickle asks for a function call."""

    def __init__(self, function: Callable[..., Any], *given: object) -> None:
        self.call = function, given

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("function", [os.system, open, eval, shutil.rmtree, subprocess.Popen])
def test_a_pickle_that_asks_for_what_acts_is_refused_by_name(
    tmp_path: Path, hifigan_state: State, function: Callable[..., Any], legacy: bool
) -> None:
    path = tmp_path / "g_1"
    given = {"generator": hifigan_state, "extra": Caller(function, str(tmp_path / "loot"))}
    torch.save(given, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(WavewrightError, match=f"refused, it asks for .*{function.__name__}, which"):
        import_checkpoint(path)
    assert [*tmp_path.iterdir()] == [path]


def test_a_file_that_would_unpack_to_far_more_is_refused(
    tmp_path: Path, hifigan_state: State
) -> None:
    plain, packed = tmp_path / "plain", tmp_path / "step" / "training.pt"
    packed.parent.mkdir()
    torch.save({"generator": {"conv_pre.weight": torch.zeros(1 << 22)}}, plain)
    with zipfile.ZipFile(plain) as one, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as two:
        for member in one.infolist():
            two.writestr(member.filename, one.read(member))
    assert packed.stat().st_size < 10**5
    for load in (import_checkpoint, lambda path: load_training(path.parent)):
        with pytest.raises(WavewrightError, match=r"refused, its .* would unpack to 16,7"):
            load(packed)


def test_a_hostile_file_of_discriminators_runs_nothing(
    tmp_path: Path, hifigan_state: State
) -> None:
    """It is read because it stands beside the generator's."""
    loot, path = tmp_path / "loot", official_file(tmp_path, hifigan_state, in_generator, "g_1")
    torch.save({"mpd": Burglar(loot), "msd": {}}, tmp_path / "do_1")
    with pytest.raises(WavewrightError, match="do_1: holds no state dict and no module"):
        import_checkpoint(path)
    torch.save({"mpd": Burglar(loot), "optim_d": {"x": torch.ones(1)}}, tmp_path / "do_1")
    assert import_checkpoint(path).discriminators is None
    (tmp_path / "do_1").write_bytes((tmp_path / "do_1").read_bytes()[:200])
    with pytest.raises(WavewrightError, match="do_1: is no checkpoint that torch"):
        import_checkpoint(path)
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
        import_checkpoint(path, mel="parallel-wavegan")
