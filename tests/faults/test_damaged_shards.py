"""Shards that were cut where tarfile sees nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.test_shards import write_audio
from wavewright.data.shards import Shards
from wavewright.errors import WavewrightError


def test_a_shard_cut_between_members_is_noticed(tmp_path: Path) -> None:
    """tarfile reads such a file without an error."""
    folder = write_audio(tmp_path / "a")
    tar = folder / "shard-00002.tar"
    with tar.open("r+b") as file:
        file.truncate(1024)
    with pytest.raises(WavewrightError, match=r"shard-00002\.tar: ends before 'u06' does"):
        Shards(folder).array("u06")
    tar.unlink()
    with pytest.raises(WavewrightError, match=r"shard-00002\.tar: cannot be read"):
        Shards(folder).array("u06")
