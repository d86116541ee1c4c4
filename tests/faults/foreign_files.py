"""Archives and checkpoints of the collection of bad input, driven as a user would."""

from __future__ import annotations

import json
import shutil
import stat
from functools import partial
from pathlib import Path

import pytest
from torch import Tensor, nn

from tests.faults.outcomes import Outcome, run_command
from wavewright import registry
from wavewright.checkpoints.checkpoint import load_model
from wavewright.data.corpus.archive import extract
from wavewright.errors import WavewrightError
from wavewright.interop.importing import convert, formats
from wavewright.interop.importing.sizes import NetworkSizes
from wavewright.mel.spec import MelSpec
from wavewright.models.config import ModelConfig
from wavewright.models.vocoder import Vocoder
from wavewright_stages.download import download

LIMIT = 2**24  # bytes that may come out of an archive here


class PairConfig(ModelConfig):
    """Nothing of it can be chosen."""

    mel: MelSpec = MelSpec.preset("hifigan")


class Pair(Vocoder):
    """The network whose weights the collection's checkpoints are; it speaks one sample a frame."""

    Config = PairConfig

    def __init__(self, config: PairConfig, *, name: str = "pair") -> None:
        super().__init__(config, name=name)
        self.conv = nn.Conv1d(80, 8, 3, padding=1)
        self.out = nn.Conv1d(8, 1, 7, padding=3, bias=False)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, 80, frames) -> (B, frames)."""
        wav: Tensor = self.out(self.conv(mel))[:, 0]
        return wav


PAIR = formats.CheckpointFormat(
    "pair", "the collection's network", "pair", (r"conv\.weight", r"out\.weight"), dict,
    lambda state: NetworkSizes({}, 80, 256), {80: "hifigan"},
)  # fmt: skip


def drive_archive(path: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """Through the download stage, which is as patient with size as an archive of 24 h needs."""
    corpus = work / "corpus"
    monkeypatch.setattr("wavewright.data.corpus.archive.extract", partial(extract, limit=LIMIT))
    said = ""
    try:
        download(corpus, source=path)
    except WavewrightError as error:
        said = str(error)
    if said:
        assert str(path) in said, "the message names the archive"
        assert [*work.rglob("*.wav"), *work.rglob("metadata.csv")] == []
        return Outcome(2, said)
    for file in corpus.rglob("*"):
        assert file.is_file() or file.is_dir()
        assert not file.is_symlink()
        assert not stat.S_IMODE(file.stat().st_mode) & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH)
    return Outcome(used=True)


def drive_checkpoint(
    path: Path, work: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Outcome:
    """Through `wavewright import`; what only a recorded sum can tell, as a checkpoint of ours."""
    plugin = registry.Plugin("pair", f"{__name__}:Pair", "")
    monkeypatch.setitem(registry.plugins("vocoders"), "pair", plugin)
    monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, PAIR))
    monkeypatch.setattr(convert, "FORMATS", formats.FORMATS)
    if path.name.startswith("bitflip"):
        return drive_step(path, work)
    out = work / "out.safetensors"
    code, said = run_command(["import", str(path), "--out", str(out)])
    warnings = "\n".join(record.getMessage() for record in caplog.records)
    assert (code == 0) == out.exists(), "a file appears whole or not at all"
    assert [*work.glob("*out*")] == ([out] if code == 0 else [])
    if code:
        assert code == 2
        assert said.startswith(f"error: {path}: ")
        if path.stem == "shape-mismatch":
            assert "conv.weight is (8, 64, 3), expected (8, 80, 3)" in said
        if path.name in ("nan-weights.safetensors", "extra-key.safetensors"):
            assert "conv" in said or "extra" in said, "the tensor is named"
    else:
        assert isinstance(load_model(out), Pair)
    return Outcome(code, said + warnings, code == 0, bool(warnings))


def drive_step(path: Path, work: Path) -> Outcome:
    """The file in a folder that says what its good twin's sha256 is."""
    step = work / "run" / "step-00000001"
    step.mkdir(parents=True)
    shutil.copyfile(path, step / "vocoder.safetensors")
    words = (path.parent / "README.md").read_text()
    good = words.partition("sha256 of good-tiny.safetensors: ")[2].split()[0]
    sums = {"format": 1, "step": 1, "sha256": {"vocoder.safetensors": good}}
    (step / "checkpoint.json").write_text(json.dumps(sums))
    with pytest.raises(WavewrightError, match="sha256") as caught:
        load_model(step)
    return Outcome(2, str(caught.value))
