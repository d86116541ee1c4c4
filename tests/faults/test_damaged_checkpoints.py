"""Damage to checkpoints is noticed, and what is whole before it is used."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.checkpoints.test_checkpoint import model, run
from wavewright.checkpoints.checkpoint import find_damage, latest_checkpoint, load_model
from wavewright.errors import WavewrightError

__all__ = ["model", "run"]


def flip_a_bit(path: Path, seed: int) -> None:
    content = bytearray(path.read_bytes())
    chosen = random.Random(seed)
    content[chosen.randrange(len(content))] ^= 1 << chosen.randrange(8)
    path.write_bytes(content)


def test_every_flipped_bit_is_detected(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """torch and safetensors notice none of these by themselves."""
    newest = run / "step-00000030"
    for name in ("vocoder.safetensors", "training.pt"):
        whole = (newest / name).read_bytes()
        for seed in range(100):
            flip_a_bit(newest / name, seed)
            assert find_damage(newest) == f"{name} does not have the sha256 it was saved with"
            (newest / name).write_bytes(whole)
    sums = newest / "checkpoint.json"
    whole = sums.read_bytes()
    for place in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        sums.write_bytes(flipped)
        assert find_damage(newest) is not None, bytes(flipped)
    sums.write_bytes(whole)
    assert find_damage(newest) is None
    flip_a_bit(newest / "vocoder.safetensors", 1)
    assert latest_checkpoint(run) == run / "step-00000020"
    assert "falling back to the checkpoint before it" in caplog.text


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.999])
@pytest.mark.parametrize("name", ["vocoder.safetensors", "training.pt", "checkpoint.json"])
def test_a_truncated_file_is_detected(run: Path, name: str, kept: float) -> None:
    path = run / "step-00000030" / name
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert find_damage(run / "step-00000030") is not None
    assert latest_checkpoint(run) == run / "step-00000020"


@pytest.mark.parametrize("name", ["vocoder.safetensors", "training.pt", "checkpoint.json"])
def test_a_missing_file_is_detected(run: Path, name: str) -> None:
    (run / "step-00000030" / name).unlink()
    assert name in str(find_damage(run / "step-00000030"))


def test_two_damaged_ones_fall_back_twice_and_all_of_them_refuse(run: Path) -> None:
    flip_a_bit(run / "step-00000030" / "training.pt", 0)
    flip_a_bit(run / "step-00000020" / "training.pt", 0)
    assert latest_checkpoint(run) == run / "step-00000010"
    flip_a_bit(run / "step-00000010" / "training.pt", 0)
    with pytest.raises(WavewrightError, match=r"all 3 checkpoints are damaged\. Remove them"):
        latest_checkpoint(run)


@pytest.mark.parametrize("where", ["", "step-00000030", "step-00000030/vocoder.safetensors"])
def test_flipped_weights_never_reach_a_model(run: Path, where: str) -> None:
    for folder in ("step-00000010", "step-00000020"):
        shutil.rmtree(run / folder)
    content = bytearray((run / "step-00000030" / "vocoder.safetensors").read_bytes())
    content[-3] ^= 4  # in a weight: the file is still a valid one
    (run / "step-00000030" / "vocoder.safetensors").write_bytes(content)
    with pytest.raises(WavewrightError, match=r"damaged|does not have the sha256"):
        load_model(run / where)
