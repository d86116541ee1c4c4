"""Published files are flushed before they get their name, and the name soon after.

A power cut keeps what was synced and any part of the rest. So the order of the calls is what
counts: contents, then the rename, then the folder that it happened in.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.recipes.conftest import Toy
from wavewright.data.shards import append_shards, write_shards
from wavewright.io import files
from wavewright.mel.spec import MelSpec

Call = tuple[str, Path]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Every fsync, by the file it was of, and every rename, by its target, in order."""
    done: list[Call] = []
    fsync = os.fsync

    def noted_fsync(descriptor: int) -> None:
        fsync(descriptor)
        done.append(("sync", Path(os.readlink(f"/proc/self/fd/{descriptor}"))))

    def noted(function: Callable[..., None]) -> Callable[..., None]:
        def rename(source: Path, target: Path) -> None:
            done.append(("from", Path(source).absolute()))
            function(source, target)
            done.append(("to", Path(target).absolute()))

        return rename

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted(os.rename))
    monkeypatch.setattr(os, "replace", noted(os.replace))
    return done


def assert_safe(calls: list[Call], target: Path) -> None:
    """The file was synced under the name it was written by, renamed, and then its folder synced."""
    place = calls.index(("to", target))
    source = calls[place - 1]
    assert source[0] == "from"
    assert ("sync", source[1]) in calls[:place], f"{target} was not on the disk when it was named"
    assert ("sync", target.parent) in calls[place:], f"the name of {target} was not"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="tells files by /proc")
def test_shards_and_their_index(tmp_path: Path, calls: list[Call]) -> None:
    folder = tmp_path.resolve() / "audio"
    spec = MelSpec.preset("hifigan")
    wave = np.zeros(100, dtype=np.int16)
    write_shards(
        folder, ["a", "b"], lambda _: wave, mel=None, sample_rate=spec.sample_rate, shard_size=1
    )
    names = ["shard-00000.tar", "shard-00001.tar", "index.parquet"]
    for name in names:
        assert_safe(calls, folder / name)
    order = [calls.index(("to", folder / name)) for name in names]
    assert order == sorted(order), "an index names nothing that is not there"
    calls.clear()
    append_shards(folder, ["c"], lambda _: wave)
    assert_safe(calls, folder / "shard-00002.tar")
    assert_safe(calls, folder / "index.parquet")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="tells files by /proc")
def test_a_durable_file(tmp_path: Path, calls: list[Call]) -> None:
    path = tmp_path.resolve() / "note.txt"
    files.write_text(path, "hello", durable=True)
    assert_safe(calls, path)


@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace")
def test_a_published_result(toy: Toy) -> None:
    """Order of system calls of a run, traced by strace."""
    trace = toy.folder.parent / "trace.txt"
    kinds = "trace=fsync,fdatasync,rename,renameat,renameat2"
    command = ["strace", "-f", "-y", "-qq", "-e", kinds, "-o", str(trace)]
    done = subprocess.run(
        [*command, *toy.command("run", "recipe.yaml", "--stop-stage", "1")],
        cwd=toy.folder,
        env=toy.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if "ptrace" in done.stderr and "not permitted" in done.stderr:
        pytest.skip("processes cannot be traced here")
    assert done.returncode == 0, done.stderr
    lines = [line for line in trace.read_text().splitlines() if line.endswith("= 0")]
    for stage in ("00_source", "01_shout"):
        home = (toy.folder / "exp" / stage).resolve()
        published = (home / "latest").resolve()
        place = next(n for n, line in enumerate(lines) if re.search(rf'"{published}"', line))
        partial = re.search(r'"([^"]*/\.partial-[0-9a-f]+)"', lines[place])
        assert partial is not None
        before = [_synced(line) for line in lines[:place]]
        # stage.json, written last, is synced under the name that it was written by and its own
        names = [".", "words.txt", "stage.json", "logs", "logs/stage.log", "logs/job.json"]
        for name in names:
            assert str(Path(partial[1]) / name) in before, f"{name} before the rename"
        assert str(toy.folder / "exp") in before, "the new folder above it"
        assert str(home) in [_synced(line) for line in lines[place:]], "the rename itself"
        latest = next(n for n, line in enumerate(lines) if f'"{home}/latest"' in line)
        assert latest > place, "latest names a result that is there"


def _synced(line: str) -> str:
    found = re.search(r"f(?:data)?sync\(\d+<([^>]*)>", line)
    return found[1] if found else ""


def test_python_asks_the_system_for_what_it_syncs(tmp_path: Path) -> None:
    """`files.sync` reaches the disk's driver for files and for folders."""
    if shutil.which("strace") is None:
        pytest.skip("there is no strace")
    (tmp_path / "file").write_text("x")
    code = (
        "from pathlib import Path\nfrom wavewright.io.files import fsync_path\n"
        f"fsync_path(Path({str(tmp_path)!r}))\nfsync_path(Path({str(tmp_path / 'file')!r}))"
    )
    trace = tmp_path / "trace.txt"
    done = subprocess.run(
        ["strace", "-y", "-e", "trace=fsync", "-o", str(trace), sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    if done.returncode:
        pytest.skip(f"processes cannot be traced here: {done.stderr[-200:]}")
    synced = [_synced(line) for line in trace.read_text().splitlines() if line.endswith("= 0")]
    assert synced == [str(tmp_path.resolve()), str(tmp_path.resolve() / "file")]
