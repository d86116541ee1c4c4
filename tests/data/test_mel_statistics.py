"""Statistics of mel bands: measured, read from other toolkits, and applied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from typer.testing import CliRunner

from tests.support import tiny
from wavewright.cli.app import app
from wavewright.data.mel_statistics import with_statistics
from wavewright.errors import MelMismatch, WavewrightError
from wavewright.mel.spec import MelSpec, StatisticsNormalisation
from wavewright.mel.transform import convert_mel

MEAN = np.linspace(-5, -2, 80)
SCALE = np.linspace(0.5, 1.5, 80)
PWG = MelSpec.preset("parallel-wavegan")


def test_measured_statistics_make_mean_0_and_scale_1(tmp_path: Path) -> None:
    tiny.corpus(tmp_path)
    spec = with_statistics(tiny.SPEC, tmp_path / "mels")
    mels = [torch.from_numpy(tiny.mel(utterance)) for utterance in tiny.IDS]
    values = torch.cat([convert_mel(mel, tiny.SPEC, spec) for mel in mels], dim=1).double()
    assert values.mean(dim=1).numpy() == pytest.approx(np.zeros(8), abs=1e-5)
    assert values.std(dim=1, correction=0).numpy() == pytest.approx(np.ones(8), abs=1e-5)


def test_shards_of_another_convention_are_refused(tmp_path: Path) -> None:
    tiny.corpus(tmp_path)
    with pytest.raises(MelMismatch, match=r"the convention and the mels in .*: fmax 3000\.0 vs 4"):
        with_statistics(tiny.SPEC.model_copy(update={"fmax": 3000.0}), tmp_path / "mels")
    with pytest.raises(WavewrightError, match="holds audio where mels"):
        with_statistics(tiny.SPEC, tmp_path / "audio")


def write(kind: str, folder: Path) -> Path:
    path = folder / {"pwg": "stats.npy", "hdf5": "stats.h5", "espnet": "feats_stats.npz"}[kind]
    if kind == "pwg":
        np.save(path, np.stack([MEAN, SCALE]).astype(np.float32))
    elif kind == "hdf5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file["mean"], file["scale"] = MEAN, SCALE
    else:
        count = 1000
        squares = (SCALE**2 + MEAN**2) * count
        np.savez(path, count=np.array(count), sum=MEAN * count, sum_square=squares)
    return path


@pytest.mark.parametrize("kind", ["pwg", "hdf5", "espnet"])
def test_other_toolkits_files_are_read(tmp_path: Path, kind: str) -> None:
    how = with_statistics(PWG, write(kind, tmp_path)).normalisation
    assert isinstance(how, StatisticsNormalisation)
    np.testing.assert_allclose(how.mean, MEAN, rtol=1e-6)
    np.testing.assert_allclose(how.scale, SCALE, rtol=1e-6)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 80)), "no statistics in it; expected stats.h5"),
        (np.zeros((2, 79)), r"shape \(79,\) and \(79,\), expected \(80,\)"),
        (np.zeros((2, 80)), "scales positive"),
        (np.full((2, 80), np.nan), "finite"),
        (np.array([None, 1], dtype=object), "not a file of statistics"),
    ],
)
def test_what_is_none_is_refused(tmp_path: Path, array: np.ndarray, words: str) -> None:
    np.save(tmp_path / "stats.npy", array, allow_pickle=True)
    with pytest.raises(WavewrightError, match=words):
        with_statistics(PWG, tmp_path / "stats.npy")


def test_a_mel_is_normalised_once() -> None:
    with pytest.raises(WavewrightError, match="already has a normalisation"):
        with_statistics(MelSpec.preset("wavernn"), Path("stats.npy"))


def test_the_printed_configuration_is_a_recipes_mel_section(tmp_path: Path) -> None:
    stats = write("pwg", tmp_path)
    said = CliRunner().invoke(app, ["config", "mel:parallel-wavegan", "--statistics", str(stats)])
    assert said.exit_code == 0
    assert MelSpec.model_validate(YAML(typ="safe").load(said.stdout)) == with_statistics(PWG, stats)


@pytest.mark.parametrize("name", MelSpec.presets())
def test_every_printed_preset_is_that_preset(name: str) -> None:
    said = CliRunner().invoke(app, ["config", f"mel:{name}"])
    assert MelSpec.model_validate(YAML(typ="safe").load(said.stdout)) == MelSpec.preset(name)
