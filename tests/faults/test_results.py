"""Inputs and results that were touched, moved, edited or spoilt: found, and made again."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import call, said
from tests.recipes.conftest import Toy, make_toy
from tests.recipes.test_runner import ALL
from tests.support.fork_server import ForkServer
from wavewright.runner.record import first_damage, read_record


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
    source_environment: dict[str, str],
    fork_server: ForkServer,
) -> Toy:
    """A toy recipe that is up to date and reads a file from outside."""
    toy = make_toy(tmp_path_factory.mktemp("finished"), source_environment, fork_server)
    (toy.folder / "extra.txt").write_text(" there")
    recipe = toy.folder / "recipe.yaml"
    words = "words: hello"
    recipe.write_text(recipe.read_text().replace(words, f"{words}\n  source: extra.txt"))
    assert toy.run().returncode == 0
    assert toy.ran() == ALL
    return toy


@pytest.fixture
def done(finished: Toy, tmp_path: Path, source_environment: dict[str, str]) -> Toy:
    """A copy of it to spoil."""
    toy = make_toy(tmp_path, source_environment, finished.server)
    shutil.rmtree(toy.folder)
    shutil.copytree(finished.folder, toy.folder, symlinks=True)
    return toy


def result(toy: Toy, stage: str) -> Path:
    return (toy.folder / "exp" / stage / "latest").resolve()


def test_an_input_edited_at_the_same_size_and_time_is_noticed(done: Toy) -> None:
    extra = done.folder / "extra.txt"
    before = extra.stat()
    extra.write_text(" where")
    os.utime(extra, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = extra.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert "what lies at source changed" in said(done.run())
    assert done.ran() == ALL
    assert done.result("01_shout", "words.txt") == "HELLO WHERE!"


def test_an_input_replaced_at_the_same_size_and_time_is_noticed(done: Toy) -> None:
    """rsync and cp -p replace files so: another inode."""
    extra, other = done.folder / "extra.txt", done.folder / "other.txt"
    other.write_text(" where")
    shutil.copystat(extra, other)
    os.replace(other, extra)
    assert done.run().returncode == 0
    assert done.ran() == ALL


def test_an_input_only_touched_reruns_nothing(done: Toy) -> None:
    (done.folder / "extra.txt").touch()
    assert said(done.run()).count("up to date") == 5
    assert done.ran() == []


@pytest.mark.parametrize("copied", [False, True])
def test_moving_everything_reruns_nothing(done: Toy, copied: bool) -> None:
    """A copy has other inodes and times of change, so that all of it is read once."""
    elsewhere = done.folder.with_name("another place")
    if copied:
        shutil.copytree(done.folder, elsewhere, symlinks=True)
        shutil.rmtree(done.folder)
    else:
        done.folder.rename(elsewhere)
    done.folder = elsewhere
    assert done.run().returncode == 0
    assert done.ran() == []
    assert call(done, "verify", "recipe.yaml").returncode == 0


def test_jobs_intervals_and_debug_rerun_nothing(done: Toy) -> None:
    assert done.run("--jobs", "3", "--set", "learn.pause=0.01").returncode == 0
    assert call(done, "--debug", "run", "recipe.yaml").returncode == 0
    assert done.ran() == []


def flip(path: Path, record: Path | None) -> None:
    """Flip one bit; if a record is given, its times say that the file was not touched."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    if record is None:
        return
    told = json.loads(record.read_text())
    stat = path.stat()
    told["outputs"][path.name] |= {
        "mtime_ns": stat.st_mtime_ns,
        "ctime_ns": stat.st_ctime_ns,
        "inode": stat.st_ino,
    }
    record.write_text(json.dumps(told))


@pytest.mark.parametrize("behind", [False, True], ids=["by a program", "by the disk"])
def test_a_flipped_bit_is_found_by_verify_and_repaired(done: Toy, behind: bool) -> None:
    """Bits that rot on the disk change no time: only `verify` sees them, and tells the next run."""
    folder = result(done, "01_shout")
    flip(folder / "words.txt", folder / "stage.json" if behind else None)
    if behind:
        assert said(done.run()).count("up to date") == 5
        assert done.ran() == []
    verify = call(done, "verify", "recipe.yaml")
    assert verify.returncode == 1
    assert "1 shout                  words.txt was changed" in said(verify)
    assert said(verify).count("intact") == 4
    assert done.run().returncode == 0
    assert done.ran() == ["shout"]
    assert call(done, "verify", "recipe.yaml").returncode == 0
    assert done.result("01_shout", "words.txt") == "HELLO THERE!"


@pytest.mark.parametrize(
    ("stage", "change"),
    [
        *(("01_shout", change) for change in ("deleted", "added", "deeply added", "emptied")),
        ("00_source", "deleted"),
        ("03_judge", "emptied"),
    ],
)
def test_a_file_that_is_gone_or_too_many_is_noticed(done: Toy, stage: str, change: str) -> None:
    folder = result(done, stage)
    file = next(folder.glob("*.txt"))
    if change == "deleted":
        file.unlink()
        words = f"{file.name} is missing"
    elif change == "emptied":
        file.write_bytes(b"")
        words = f"{file.name} was changed"
    else:
        name = "a/b/stray" if change == "deeply added" else ".stray"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
        words = f"{name} was added"
    if stage == "01_shout":
        verify = call(done, "verify", "recipe.yaml")
        assert verify.returncode == 1
        assert words in said(verify)
    assert f"its result was damaged: {words}" in said(done.run())
    assert done.ran() == [stage[3:]]
    assert not (result(done, stage) / "a").exists()
    record = read_record(result(done, stage))
    assert record is not None
    assert first_damage(result(done, stage), record, thorough=True) is None


def test_a_whole_result_deleted_is_made_again(done: Toy) -> None:
    shutil.rmtree(result(done, "01_shout"))
    assert done.run().returncode == 0
    assert done.ran() == ["shout"]


RECORDS: dict[str, Any] = {
    "nothing": b"",
    "cut": lambda text: text[: len(text) // 2],
    "garbage": b"{]",
    "binary": b"\x00\xff\xfe\x80" * 100,
    "null": b"null",
    "list": b"[]",
    "deep": b"[" * 100_000,
    "huge number": lambda text: text.replace(b'"size": ', b'"size": 1' + b"0" * 5000),
    "future version": lambda text: text.replace(b'"format": 1', b'"format": 2'),
    "future field": lambda text: text.replace(b'"format": 1', b'"format": 1, "blessed": true'),
    "wrong types": lambda text: text.replace(b'"outputs": {', b'"outputs": 3, "was": {'),
    "no key": lambda text: text.replace(b'"key"', b'"kee"'),
    "other key": lambda text: text.replace(b'"key": "', b'"key": "0'),
    "folder": None,
    "gone": None,
    "dangling": None,
}


def spoil(path: Path, how: str) -> None:
    old = path.read_bytes()
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how == "dangling":
        path.symlink_to("nowhere.json")
    elif how != "gone":
        new = RECORDS[how](old) if callable(RECORDS[how]) else RECORDS[how]
        assert new != old
        path.write_bytes(new)


@pytest.mark.parametrize("how", RECORDS)
def test_a_spoilt_record_makes_its_stage_run_again(done: Toy, how: str) -> None:
    spoil(result(done, "01_shout") / "stage.json", how)
    if how in ("garbage", "gone", "other key"):
        verify = call(done, "verify", "recipe.yaml")
        assert verify.returncode == (0 if how == "other key" else 1)
        assert ("stage.json cannot be read" in said(verify)) == (how != "other key")
    again = done.run()
    assert again.returncode == 0, said(again)
    assert "Traceback" not in said(again)
    assert done.ran() == ["shout"]
    record = read_record(result(done, "01_shout"))
    assert record is not None
    assert first_damage(result(done, "01_shout"), record, thorough=True) is None


@pytest.mark.parametrize("how", ["nothing", "garbage", "future version", "gone"])
def test_a_training_outlives_its_record(done: Toy, how: str) -> None:
    """It goes on from what is there, whose checkpoints have sums of their own."""
    folder = result(done, "02_learn/hifigan-v3")
    (folder / "steps.txt").write_text("abc")
    spoil(folder / "stage.json", how)
    again = done.run()
    assert "its result was damaged: stage.json cannot be read" in said(again)
    assert done.ran() == ["learn hifigan:v3", "judge"]
    assert done.result("02_learn/hifigan-v3", "steps.txt") == "abc", "not one step was taken anew"
    spoil(result(done, "02_learn/hifigan-v3") / "stage.json", how)
    more = done.run("--set", "learn.max_steps=5", "--vocoder", "hifigan:v3")
    assert "continues from 3 to 5 steps" in said(more)
    assert done.result("02_learn/hifigan-v3", "steps.txt") == "....."


def install(toy: Toy, name: str, version: str) -> None:
    """Another version of a package is installed before the one that is there."""
    info = toy.folder.parent / "plugin" / f"{name}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(text)


def test_an_upgrade_is_explained_and_spares_trainings(done: Toy) -> None:
    install(done, "numpy", "99.3.1")
    explained = call(done, "run", "recipe.yaml", "--explain")
    assert explained.returncode == 0
    assert done.ran() == []
    will_run = [line for line in said(explained).splitlines() if not line.startswith("2")]
    assert len(will_run) == 3
    for line in will_run:
        assert "will run" in line
        assert re.search(r"numpy [\d.]+ -> 99\.3", line)
    assert done.run().returncode == 0
    assert done.ran() == ["source", "shout", "judge"]
    status = said(call(done, "status", "recipe.yaml")).splitlines()
    spared = [line for line in status if "2 learn" in line]
    for line in spared:
        assert re.search(r"numpy [\d.]+ -> 99\.3 since; --force trains again", line)
    assert len(spared) == 2
    shutil.rmtree(done.folder.parent / "plugin" / "numpy-99.3.1.dist-info")
    install(done, "numpy", "99.3.2")
    assert done.run().returncode == 0
    assert done.ran() == [], "a patch release changes nothing"
