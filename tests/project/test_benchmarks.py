"""Every script of benchmarks/ runs to its end in toy sizes, and its table has rows.

A new script is tested by being there: it is called with `--quick`, and with what `ARGUMENTS` says
where it needs more than that.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import ROOT
from tests.support.reports import RATE, speech, write_prepared
from wavewright.audio.files import save_wav
from wavewright.checkpoints.checkpoint import save_checkpoint
from wavewright.data.shards import Shards, write_shards
from wavewright.mel.spec import MelSpec
from wavewright.registry import create_model, create_vocoder

FOLDER = ROOT / "benchmarks"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py"))
SPEC = MelSpec.preset("hifigan")
SPLITS = {"a-1": "test", "a-2": "test", "b-1": "dev", "b-2": "train", "c-1": "train"}
TACOTRON: dict[str, Any] = {
    "encoder_width": 16,
    "encoder_convolutions": 1,
    "prenet_width": 8,
    "attention_rnn_width": 16,
    "attention_width": 8,
    "attention_location_filters": 4,
    "decoder_rnn_width": 16,
    "postnet_width": 16,
    "frames_per_step": 2,
}
WAVERNN: dict[str, Any] = {
    "mel": SPEC,
    "units": 16,
    "head_channels": 16,
    "reader_channels": 8,
    "reader_blocks": 1,
    "reader_out": 8,
    "upsample_rates": (8, 8, 4),
}
VOCOS = "config={channels: 16, hidden_channels: 32, layers: 2, adversary: {width_divisor: 8}}"


class Material:
    """What scripts are given, each made when the first of them asks for it.

    Args:
        folder: to make it in.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def audio(self) -> Path:
        """Two recordings of 1.5 s."""
        folder = self.folder / "audio"
        if not folder.exists():
            folder.mkdir()
            for number in range(2):
                save_wav(folder / f"{number}.wav", speech(number, 1.5), RATE)
        return folder

    def corpus(self) -> Path:
        """Some tiny files in LJSpeech layout, with a script's own means."""
        folder = self.folder / "corpus"
        if not folder.exists():
            loaded("many_utterances").write_corpus(folder, 20)
        return folder

    def recipe(self) -> Path:
        """A recipe of one stage, at its end."""
        folder = self.folder / "recipe"
        if not folder.exists():
            loaded("many_utterances").main([str(folder), "--quick"])
        return folder / "recipe.yaml"

    def stage(self, name: str) -> Path:
        """The folder of prepared, mels, gta, acoustic or a vocoder's checkpoint."""
        folder = self.folder / "stages"
        if not folder.exists():
            torch.manual_seed(0)
            write_prepared(folder, SPEC, SPLITS)
            mels = Shards(folder / "mels")
            write_shards(folder / "gta", mels.ids, mels.array, mel=SPEC, sample_rate=RATE)
            acoustic = create_model("acoustic", "tacotron2", mel=SPEC, **TACOTRON)
            save_checkpoint(folder / "acoustic", 1, acoustic)
            save_checkpoint(folder / "vocoder", 1, create_vocoder("wavernn:mol", **WAVERNN))
        return folder / name

    def stages(self, *names: str) -> list[str]:
        """Their folders as arguments."""
        return [str(self.stage(name)) for name in names]


ARGUMENTS: dict[str, Callable[[Material, Path], list[str]]] = {
    "command_line": lambda made, _: [str(made.recipe())],
    "data": lambda made, _: [str(made.corpus())],
    "doctor": lambda made, _: [str(made.audio())],
    "gpu": lambda _, out: ["--out", str(out / "gpu.json")],
    "gta": lambda made, _: made.stages("prepared", "mels", "acoustic"),
    "gta_training": lambda made, out: [
        *made.stages("prepared", "mels", "gta", "acoustic"),
        str(out / "gta"),
        *("--arms", "natural", "gta"),
        *("--set", VOCOS, "--set", "batch_size=1", "--set", "segment_length=2048"),
        *("--set", "validation_utterances=1", "--set", "adversary_start=1000000"),
        *("--set", "device=cpu"),
    ],
    "mel": lambda made, _: [str(made.audio())],
    "mel_inversion": lambda made, _: [str(made.audio())],
    "rounding": lambda made, _: [
        *made.stages("vocoder"),
        *("--prepared", str(made.stage("prepared")), "--mels", str(made.stage("mels"))),
    ],
    "training": lambda made, _: [str(made.audio())],
}
#: Script that makes a recipe and prints no table.
MAKER = "many_utterances"


def loaded(name: str) -> Any:
    """A script as a module, afresh; processes that it starts find it by the same name."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return Material(tmp_path_factory.mktemp("material"))


@pytest.fixture(autouse=True)
def _untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Paths, modules, environment and threads afterwards as before."""
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    modules, environment, threads = set(sys.modules), dict(os.environ), torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)
    for name in set(SCRIPTS) & set(sys.modules) - modules:
        del sys.modules[name]


def tables(printed: str) -> list[list[str]]:
    """The rows of every table, without its head."""
    found: list[list[str]] = []
    inside = False
    for line in printed.splitlines():
        if re.fullmatch(r"\|(:?-+:?\|)+", line):
            found.append([])
            inside = True
        elif inside and line.startswith("|"):
            found[-1].append(line)
        else:
            inside = False
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_prints_its_table(
    name: str, made: Material, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == MAKER:
        assert made.recipe().is_file()
        return
    arguments = ARGUMENTS[name](made, tmp_path) if name in ARGUMENTS else []
    capsys.readouterr()
    loaded(name).main([*arguments, "--quick"])
    check(capsys.readouterr().out)


@pytest.mark.long
def test_data_is_timed_by_several_processes_too(
    made: Material, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded("data").main([str(made.corpus()), "--quick", "--parts", "engines,memory"])
    check(capsys.readouterr().out)


def check(printed: str) -> None:
    """There are tables, and each has rows."""
    found = tables(printed)
    assert found, printed
    assert all(found), printed
    for row in (row for table in found for row in table):
        assert "|" in row.strip("|"), row
        assert "error" not in row, row
