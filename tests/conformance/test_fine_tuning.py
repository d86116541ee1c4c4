"""Official weights, discriminators included, are what a training on real speech starts with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from tests.data.test_manifest import row
from tests.stages.test_train import QUICK
from tests.support.official import FixtureFolder, OfficialRun
from tests.support.official_discriminators import PLAYER, old_names
from wavewright.audio.files import from_pcm16, load_wav, to_pcm16
from wavewright.checkpoints.checkpoint import latest_checkpoint, load_training
from wavewright.data.manifest import write_manifest
from wavewright.data.shards import write_shards
from wavewright.interop.importing.convert import ImportedModel, import_checkpoint
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel
from wavewright.models.vocoder import Vocoder
from wavewright.nn.multi_scale import MultiScaleDiscriminator
from wavewright.registry import create_vocoder
from wavewright.training import loop as training
from wavewright_stages.train import train as train_stage

IDS = [f"LJ001-000{number}" for number in range(2, 7)]
SECONDS = 1.5


def prepared_speech(folder: Path, clips: Path, mel: MelSpec) -> None:
    """The beginnings of five recordings, as the stages before a training leave them."""
    rate = mel.sample_rate
    samples = {
        id_: to_pcm16(load_wav(clips / f"{id_}.wav", rate)[0][: round(SECONDS * rate)])
        for id_ in IDS
    }
    write_shards(folder / "audio", IDS, samples.__getitem__, mel=None, sample_rate=rate)
    splits = ["train"] * 4 + ["dev"]
    rows = [
        row(id_, split=split, samples=len(samples[id_]), sample_rate=rate)
        for id_, split in zip(IDS, splits, strict=True)
    ]
    write_manifest(pd.DataFrame(rows), folder / "manifest.parquet")
    mels = {
        id_: log_mel(torch.from_numpy(from_pcm16(wav)), mel).numpy() for id_, wav in samples.items()
    }
    write_shards(folder / "mels", IDS, mels.__getitem__, mel=mel, sample_rate=rate)


def judge(made: ImportedModel) -> torch.nn.Module:
    """The imported discriminators."""
    assert made.discriminators is not None
    vocoder = create_vocoder(made.model.name, **made.model.config.model_dump())
    discriminator = vocoder.build_discriminators()[PLAYER]
    discriminator.load_state_dict(made.discriminators.state)
    return discriminator.eval()


def require_official_scores(run: OfficialRun, scores: list[Tensor], kind: str) -> None:
    for number, found in enumerate(scores):
        expected = torch.from_numpy(run.outputs[f"score_{kind}_{number}"]).reshape(found.shape)
        torch.testing.assert_close(found, expected, rtol=0, atol=run.tolerance["scores"])


@torch.no_grad()
def test_hifigans_discriminators_beside_its_generator(
    fixture_folder: FixtureFolder, tmp_path: Path
) -> None:
    run = fixture_folder("hifigan-mpd-seeded")
    torch.save({"generator": fixture_folder("hifigan-v3").state_dict}, tmp_path / "g_00000100")
    scales = old_names(MultiScaleDiscriminator().state_dict(), lambda path: path)
    both = {"mpd": run.state_dict, "msd": scales, "steps": 100, "epoch": 1}
    torch.save(both, tmp_path / "do_00000100")
    made = import_checkpoint(tmp_path / "g_00000100")
    discriminator: Any = judge(made)
    for kind, name in (("real", "y"), ("fake", "y_hat")):
        scores, _ = discriminator.multi_period(torch.from_numpy(run.inputs[name]).squeeze(1))
        require_official_scores(run, scores, kind)


def test_a_melgan_learns_on_from_real_speech(
    fixture_folder: FixtureFolder,
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    against = fixture_folder("melgan-seungwonpark-disc-seeded")
    run = fixture_folder("melgan-seungwonpark-small")
    theirs = {"model_g": run.state_dict, "model_d": against.state_dict, "step": 7}
    torch.save(theirs, tmp_path / "nvidia.pt")
    made = import_checkpoint(tmp_path / "nvidia.pt", out=tmp_path / "imported.safetensors")
    with torch.no_grad():
        scores, _ = judge(made)(torch.from_numpy(against.inputs["y"]).squeeze(1))
    require_official_scores(against, scores, "real")

    begun: list[tuple[Tensor, dict[str, Tensor]]] = []
    go_on = training.train
    given = torch.from_numpy(run.inputs["mel"])

    def watched(model: Vocoder, *rest: Any, **named: Any) -> None:
        with torch.no_grad():
            begun.append((model.eval()(given), dict(model.discriminators[PLAYER].state_dict())))
        begun[0][1].update({key: value.clone() for key, value in begun[0][1].items()})
        go_on(model, *rest, **named)

    monkeypatch.setattr(training, "train", watched)
    prepared_speech(tmp_path, shared / "corpora" / "ljspeech-mini" / "wavs", made.model.mel_spec)
    options = {
        **QUICK, "mel": made.model.mel_spec, "name": "melgan:seungwonpark", "segment_length": 4096,
        "config": {"base_channels": 8}, "init_from": made.out, "max_steps": 1,
    }  # fmt: skip
    (tmp_path / "run").mkdir()
    train_stage(tmp_path, tmp_path / "mels", None, None, tmp_path / "run", **options)

    wav, before = begun[0]
    expected = torch.from_numpy(run.outputs["wav"]).squeeze(1)
    torch.testing.assert_close(wav, expected, rtol=0, atol=run.tolerance["wav"])
    newest = latest_checkpoint(tmp_path / "run")
    assert newest is not None
    after = load_training(newest)["players"][PLAYER]
    moved = [float((after[key] - before[key]).abs().max()) for key in before]
    assert all(math.isfinite(most) for most in moved)
    assert max(moved) > 0
