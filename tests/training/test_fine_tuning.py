"""A training goes on from an imported vocoder, and from the discriminators that came with it."""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.stages.test_train import made_work, train
from tests.support import tiny
from tests.support.official_discriminators import FAMILIES, PLAYER, trained
from wavewright.checkpoints.checkpoint import load_training
from wavewright.checkpoints.discriminators import discriminators_file
from wavewright.errors import MelMismatch, WavewrightError
from wavewright.interop.importing.convert import ImportedModel, import_checkpoint
from wavewright.models.vocoder import Vocoder
from wavewright.training import loop as training


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_work(tmp_path_factory.mktemp("work"))


def imported(folder: Path, family: str) -> tuple[Vocoder, ImportedModel]:
    """A vocoder of ours in a toolkit's files, and what the import made of those."""
    kind = FAMILIES[family]
    source = trained(kind.name, **kind.changes)
    theirs = folder / "theirs"
    theirs.mkdir()
    path = kind.write(theirs, source)
    made = import_checkpoint(path, mel=tiny.SPEC, out=folder / "imported.safetensors")
    assert made.format.name == kind.form
    return source, made


def options(family: str, made: ImportedModel, **changes: Any) -> dict[str, Any]:
    """Of a training that says nothing of adversaries."""
    kind = FAMILIES[family]
    unsaid = ("mel", "adversary")
    config = {key: value for key, value in kind.changes.items() if key not in unsaid}
    return {"name": kind.name, "config": {**config, **changes}, "init_from": made.out}


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Vocoder]:
    """What models trainings began with, copied before their first step."""
    kept: list[Vocoder] = []
    run = training.train

    def watched(model: Vocoder, *given: Any, **named: Any) -> None:
        kept.append(copy.deepcopy(model))
        run(model, *given, **named)

    monkeypatch.setattr(training, "train", watched)
    return kept


def said(vocoder: Vocoder) -> Tensor:
    mel = torch.randn(2, 8, 12, generator=torch.Generator().manual_seed(5))
    return vocoder.eval().generate(mel, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_training_goes_on_where_theirs_stopped(
    work: Path, tmp_path: Path, started: list[Vocoder], family: str
) -> None:
    source, made = imported(tmp_path, family)
    assert made.out is not None
    assert discriminators_file(made.out).is_file()
    asked = options(family, made)
    newest = train(work, tmp_path / "run", max_steps=2, **asked)

    first = started[0]
    assert isinstance(made.model, Vocoder)
    assert torch.equal(said(first), said(made.model))
    torch.testing.assert_close(said(first), said(source), rtol=0, atol=1e-6)
    theirs = source.discriminators[PLAYER].state_dict()
    before = first.discriminators[PLAYER].state_dict()
    assert before.keys() == theirs.keys()
    for key, value in theirs.items():
        assert torch.equal(before[key], value), key

    players = load_training(newest)["players"]
    for name, was in (("generator", first.state_dict()), (PLAYER, before)):
        weights = [key for key in was if key.endswith(("original1", "original", ".weight"))]
        assert weights
        for key in weights:
            assert torch.isfinite(players[name][key]).all(), key
        assert any(not torch.equal(players[name][key], was[key]) for key in weights), name
    lines = (tmp_path / "run" / "validation.jsonl").read_text().splitlines()
    assert all(0 < json.loads(line)["mel_l1"] < 100 for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    "family",
    [pytest.param(name, marks=() if name == "melgan" else pytest.mark.long) for name in FAMILIES],
)
def test_such_a_training_resumes_exactly(work: Path, tmp_path: Path, family: str) -> None:
    _, made = imported(tmp_path, family)
    asked = {**options(family, made), "validation_utterances": 0}
    players = load_training(train(work, tmp_path / "run", max_steps=2, **asked))["players"]
    train(work, tmp_path / "stopped", max_steps=1, **asked)
    resumed = train(work, tmp_path / "stopped", max_steps=2, **asked)
    again = load_training(resumed)["players"]
    for name, state in players.items():
        for key, value in state.items():
            assert torch.equal(again[name][key], value), (name, key)


@pytest.mark.slow
def test_without_discriminators_a_fresh_one_starts_and_it_is_said(
    work: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, made = imported(tmp_path, "hifigan")
    assert made.out is not None
    (tmp_path / "theirs" / "do_00000042").unlink()
    made = import_checkpoint(tmp_path / "theirs" / "g_00000042", mel=tiny.SPEC, out=made.out)
    assert made.out is not None
    assert made.discriminators is None
    assert not discriminators_file(made.out).exists(), "those of the import before are gone"
    thin = {"adversary": {"periods": (2,), "scales": 1, "width_divisor": 8}}
    with caplog.at_level(logging.INFO, logger="wavewright"):
        train(work, tmp_path / "run", max_steps=1, **options("hifigan", made, **thin))
    told = [record.getMessage() for record in caplog.records if PLAYER in record.getMessage()]
    assert told == [f"{made.out}: has no {PLAYER}; starting a fresh one"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"upsample_initial_channel": 32}, "upsample_initial_channel is 16, .* has 32; set train"),
        (
            {"resblock_dilation_sizes": ((1, 3, 5), (1, 3, 7))},
            r"resblock_dilation_sizes is .*5\]\], and this training of 'hifigan' has .*7\]\]",
        ),
    ],
)
def test_another_configuration_is_refused(
    work: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    """Be it one that shapes show or not."""
    _, made = imported(tmp_path, "hifigan")
    with pytest.raises(WavewrightError, match=words) as caught:
        train(work, tmp_path / "run", **options("hifigan", made, **changes))
    assert str(caught.value).startswith(str(made.out))
    assert "\n" not in str(caught.value)


def test_another_mel_or_system_is_refused(work: Path, tmp_path: Path) -> None:
    _, made = imported(tmp_path, "melgan")
    with pytest.raises(WavewrightError, match=r"holds the vocoder 'melgan:descript', and this"):
        train(work, tmp_path / "a", init_from=made.out)
    path = tmp_path / "theirs" / "best_netG.pt"
    other = tiny.SPEC.model_copy(update={"fmin": 50.0})
    made = import_checkpoint(path, mel=other, out=tmp_path / "imported.safetensors")
    with pytest.raises(MelMismatch, match=r"imported\.safetensors and this training: fmin 50\.0"):
        train(work, tmp_path / "b", **options("melgan", made))


def test_discriminators_of_another_file_are_refused(work: Path, tmp_path: Path) -> None:
    _, made = imported(tmp_path, "melgan")
    assert made.out is not None
    stray = discriminators_file(made.out)
    theirs = stray.read_bytes()
    (tmp_path / "theirs" / "best_netD.pt").unlink()
    source = trained("melgan", **{**FAMILIES["melgan"].changes, "mel_weight": 1.0})
    with torch.no_grad():
        for value in source.parameters():
            value.mul_(1.5)
    path = FAMILIES["melgan"].write(tmp_path / "theirs", source)
    made = import_checkpoint(path, mel=tiny.SPEC, out=made.out)
    stray.write_bytes(theirs)
    with pytest.raises(WavewrightError, match=r"belongs to another file than imported\.s"):
        train(work, tmp_path / "run", **options("melgan", made))
    stray.write_bytes(theirs[:100])
    with pytest.raises(WavewrightError, match="not a readable safetensors file"):
        train(work, tmp_path / "run", **options("melgan", made))


def test_discriminators_that_ours_are_not_stay_behind(tmp_path: Path) -> None:
    """Only the configuration has the strides of Hayashi's discriminators."""
    _, made = imported(tmp_path, "pwg-hifigan")
    theirs, out = tmp_path / "theirs", tmp_path / "imported.safetensors"
    path = theirs / "checkpoint-400000steps.pkl"
    assert "with the discriminators of checkpoint-400000steps.pkl" in str(made)
    about = (theirs / "config.yml").read_text()
    for text, words in (
        (about.partition("discriminator_params")[0], "has the strides of its discriminators"),
        (about.replace("7, 11]", "7]"), "has discriminators of 5 periods, which no sidecar"),
        (f"{about}  period_discriminator_params:\n    nonlinear_activation_params:\n"
         "      negative_slope: 0.3\n", "their negative_slope is 0.3, ours is 0.1"),
    ):  # fmt: skip
        (theirs / "config.yml").write_text(text)
        made = import_checkpoint(path, mel=tiny.SPEC, out=out)
        assert made.discriminators is None
        assert "without its discriminators, which are not among ours" in str(made)
        assert words in " ".join(str(made).split())
        assert not discriminators_file(out).exists()


@pytest.mark.slow
def test_discriminators_may_be_named(tmp_path: Path) -> None:
    _, made = imported(tmp_path, "hifigan")
    assert made.discriminators is not None
    theirs, out = tmp_path / "theirs", tmp_path / "imported.safetensors"
    (theirs / "do_00000042").rename(theirs / "elsewhere")
    path = theirs / "g_00000042"
    assert import_checkpoint(path, mel=tiny.SPEC, out=out).discriminators is None
    named = import_checkpoint(path, mel=tiny.SPEC, out=out, discriminators=theirs / "elsewhere")
    assert named.discriminators is not None
    assert named.discriminators.config == made.discriminators.config
    for wrong, words in (
        (path, r"g_00000042: holds no discriminator of HiFi-GAN"),
        (theirs / "none", "no such file"),
    ):
        with pytest.raises(WavewrightError, match=words):
            import_checkpoint(path, mel=tiny.SPEC, out=out, discriminators=wrong)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("mpd", "discriminators.0.convs.1.bias", None), "missing 1 .*convs.1.bias"),
        (("mpd", "discriminators.0.emb.weight", torch.ones(2)), "unexpected 1 .*emb.weight"),
        (("msd", "discriminators.1.conv_post.bias", torch.ones(3)), r"is \(3,\), expected \(1,\)"),
        (("mpd", "discriminators.5.convs.0.bias", torch.ones(4)), "of 6 periods"),
    ],
)
def test_keys_that_do_not_fit_are_listed(
    tmp_path: Path, change: tuple[str, str, Tensor | None], words: str
) -> None:
    imported(tmp_path, "hifigan")
    theirs = tmp_path / "theirs"
    state = torch.load(theirs / "do_00000042", weights_only=True)
    part, key, value = change
    if value is None:
        del state[part][key]
    else:
        state[part][key] = value
    torch.save(state, theirs / "named")
    with pytest.raises(WavewrightError, match=words) as caught:
        import_checkpoint(theirs / "g_00000042", mel=tiny.SPEC, discriminators=theirs / "named")
    assert str(caught.value).startswith(str(theirs / "named"))


@pytest.mark.parametrize("spelling", ["new", "plain"])
def test_norms_in_other_spellings(tmp_path: Path, spelling: str) -> None:
    """As torch spells them now, or removed."""
    source, _ = imported(tmp_path, "melgan")
    theirs = tmp_path / "theirs"
    state = torch.load(theirs / "best_netD.pt", weights_only=True)
    renamed = {}
    for key, value in state.items():
        stem, _, attribute = key.rpartition(".")
        if attribute == "bias":
            renamed[key] = value
        elif spelling == "new":
            number = {"weight_g": 0, "weight_v": 1}[attribute]
            renamed[f"{stem}.parametrizations.weight.original{number}"] = value
        elif attribute == "weight_v":
            norm = value.flatten(1).norm(dim=1).reshape(-1, 1, 1)
            renamed[f"{stem}.weight"] = value * state[f"{stem}.weight_g"] / norm
    torch.save(renamed, theirs / "best_netD.pt")
    made = import_checkpoint(theirs / "best_netG.pt", mel=tiny.SPEC)
    assert made.discriminators is not None
    again = trained("melgan", **FAMILIES["melgan"].changes).discriminators[PLAYER]
    again.load_state_dict(made.discriminators.state)
    wav = torch.randn(1, 4096)
    expected, found = source.discriminators[PLAYER](wav)[0], again(wav)[0]
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-5)
