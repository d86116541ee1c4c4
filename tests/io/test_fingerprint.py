"""Digests of code, libraries and outside files: what counts changes them, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from wavewright.io import files, fingerprint
from wavewright.io.fingerprint import PathFingerprints, code_fingerprint, json_digest

MODULES = {
    "__init__.py": "",
    "start.py": "import json\nfrom parts_package import middle\nimport parts_package.deep.end\n",
    "middle.py": "def work():\n    import soundfile\n    from wavewright.errors import "
    "did_you_mean\n",
    "deep/__init__.py": "",
    "deep/end.py": "import numpy.linalg\nimport no_such_module\n",
    "deep/page.html": "<p>",
    "unused.py": "import torch\n",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "site" / "parts_package"
    for name, text in MODULES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def parts(package: Path, environment: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """code_fingerprint of the package's start, in a Python of its own: digests are kept per "
    "process."""
    code = (
        "import json, sys\n"
        "from wavewright.io.fingerprint import code_fingerprint\n"
        "found = code_fingerprint(['parts_package.start'])\n"
        "assert not {'parts_package', 'soundfile', 'numpy'} & set(sys.modules)\n"
        "print(json.dumps(found))"
    )
    roots = os.pathsep.join([environment["PYTHONPATH"], str(package.parent)])
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "PYTHONPATH": roots},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    modules, libraries = json.loads(answer.stdout)
    return modules, libraries


def test_imports_are_followed_without_importing(
    package: Path, source_environment: dict[str, str]
) -> None:
    modules, libraries = parts(package, source_environment)
    assert modules.keys() == {
        "parts_package",
        "parts_package.start",
        "parts_package.middle",
        "parts_package.deep",
        "parts_package.deep.end",
        "wavewright.errors",
    }
    expected = {name: ".".join(version(name).split(".")[:2]) for name in ("numpy", "soundfile")}
    assert libraries == expected


def test_an_edit_shows_in_its_module_alone(
    package: Path, source_environment: dict[str, str]
) -> None:
    before, _ = parts(package, source_environment)
    (package / "deep" / "end.py").write_text(MODULES["deep/end.py"] + "# edited\n")
    (package / "deep" / "page.html").write_text("<p>edited")
    (package / "unused.py").write_text("import tgt\n")
    after, _ = parts(package, source_environment)
    assert {name for name in after if after[name] != before[name]} == {
        "parts_package.deep.end",
        "parts_package.deep",
    }


def test_the_place_of_the_code_does_not_count(
    package: Path, source_environment: dict[str, str], tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere" / "parts_package"
    shutil.copytree(package, moved)
    assert parts(package, source_environment) == parts(moved, source_environment)


def test_stages_depend_on_what_shapes_their_output() -> None:
    modules, libraries = code_fingerprint(["wavewright_stages.mels"])
    needed = {
        "wavewright.mel.transform_numpy",
        "wavewright.mel.spec",
        "wavewright.data.shards.members",
    }
    assert needed <= modules.keys()
    assert "wavewright.training.loop" not in modules
    assert {"torch", "scipy"} <= libraries.keys()
    assert "wavewright.training.loop" in code_fingerprint(["wavewright_stages.train"])[0]


def test_unknown_modules_are_nothing() -> None:
    assert code_fingerprint(["no_such_package.module"]) == ({}, {})


def test_digest_is_of_the_value_not_of_its_order() -> None:
    assert json_digest({"a": 1, "b": [1.5, None]}) == json_digest({"b": [1.5, None], "a": 1})
    expected = "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    assert json_digest({"a": 1}) == expected
    values = [{"a": 1}, {"a": "1"}, {"a": [1]}, {"b": 1}, [1], 1, None, {}]
    assert len({json_digest(value) for value in values}) == len(values)


def test_what_lies_outside_counts_by_names_and_contents(tmp_path: Path) -> None:
    look = PathFingerprints(tmp_path / "seen.json").digest
    folder = tmp_path / "a"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "x.wav").write_bytes(b"123")
    first = look(folder)
    folder = folder.rename(tmp_path / "b")
    assert look(folder) == first
    os.utime(folder / "sub" / "x.wav", (1, 1))
    assert look(folder) == first
    (folder / "sub" / "x.wav").rename(folder / "sub" / "y.wav")
    renamed = look(folder)
    assert renamed != first
    (folder / "z").touch()
    assert look(folder) != renamed
    assert look(tmp_path / "nowhere") == "missing"
    assert look(folder / "z") != look(folder / "sub" / "y.wav")


def test_contents_are_read_again_only_where_a_file_was_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, file = tmp_path / "seen.json", tmp_path / "speech.txt"
    file.write_text("hello")
    first = PathFingerprints(memory).digest(file)
    read: list[Path] = []

    def noted(path: Path) -> str:
        read.append(path)
        return files.sha256_of(path)

    monkeypatch.setattr(fingerprint, "sha256_of", noted)
    assert PathFingerprints(memory).digest(file) == first
    assert read == []
    before = file.stat()
    file.write_text("hullo")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, same time
    assert PathFingerprints(memory).digest(file) != first
    assert read == [file]


@pytest.mark.parametrize("rubbish", [b"", b"{", b"\xff\x00", b"[1, 2]", b'{"/a": 3}', b"[" * 99999])
def test_a_memory_that_is_none_is_made_anew(tmp_path: Path, rubbish: bytes) -> None:
    memory, file = tmp_path / "seen.json", tmp_path / "speech.txt"
    file.write_text("hello")
    first = PathFingerprints(memory).digest(file)
    memory.write_bytes(rubbish)
    assert PathFingerprints(memory).digest(file) == first
    assert len(json.loads(memory.read_text())) == 1
