"""setup.sh, with a stand-in for Python that writes down what it is asked and installs nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

STAND_IN = """\
#!/usr/bin/env bash
case "$*" in
"-m venv "*)
    folder=${!#}
    mkdir -p "$folder/bin"
    cp "$0" "$folder/bin/python"
    echo "command = $0 $*" >"$folder/pyvenv.cfg" ;;
"-m pip install"*)
    echo "${*:3}" >>"$CALLS"
    [[ ! -e $CALLS.fails ]] || exit 1
    [[ ! -e $CALLS.no-compiler || $* != *pyworld* ]] || exit 1
    printf '#!/bin/sh\\n' >"${0%/*}/wavewright"
    chmod +x "${0%/*}/wavewright" ;;
"-W ignore -"*) cat >/dev/null; echo "${TORCH:-}" ;;
"-c import sys; print(sys._base_executable)") echo "$0" ;;
"-c import wavewright"*) ;;
*) if [[ $0 != */.venv/* ]]; then exec "$REAL_PYTHON" "$@"; fi ;;
esac
"""


@dataclass
class House:
    """A checkout in which setup.sh can run, and what pip was asked to install."""

    folder: Path
    environment: dict[str, str]

    def setup(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run setup.sh from elsewhere, through a symbolic link."""
        return subprocess.run(
            [str(self.folder.parent / "elsewhere" / "link"), *arguments],
            env=self.environment | environment,
            cwd=self.folder.parent / "elsewhere",
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def installs(self) -> list[str]:
        """Arguments of `pip install` since the last look."""
        calls = Path(self.environment["CALLS"])
        lines = calls.read_text().splitlines() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return lines

    @property
    def constraints(self) -> list[str]:
        """What pip was told to keep to."""
        return (self.folder / ".venv" / "constraints.txt").read_text().splitlines()


@pytest.fixture
def house(root: Path, tmp_path: Path) -> House:
    folder = tmp_path / "a checkout"
    folder.mkdir()
    for name in ("setup.sh", "pyproject.toml", "constraints.txt"):
        shutil.copy(root / name, folder / name)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link").symlink_to(folder / "setup.sh")
    python = tmp_path / "python3.13"
    python.write_text(STAND_IN)
    python.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "CALLS": str(tmp_path / "calls"),
        "REAL_PYTHON": sys.executable,
    }
    return House(folder, environment)


@pytest.mark.slow
def test_it_installs_once_and_then_does_nothing(house: House) -> None:
    first = house.setup()
    assert first.returncode == 0, first.stderr
    assert any(line.endswith("-e .[alignments,phonemes]") for line in house.installs)
    again = house.setup()
    assert again.stdout == "setup: nothing to do (.venv is up to date)\n"
    assert house.installs == []


@pytest.mark.slow
def test_a_changed_version_installs_again(house: House) -> None:
    house.setup()
    assert house.installs
    with (house.folder / "constraints.txt").open("a") as file:
        file.write("another==1.0\n")
    assert house.setup().returncode == 0
    assert "another==1.0" in house.constraints
    assert house.installs


@pytest.mark.slow
def test_what_development_needs_is_kept_once_asked_for(house: House) -> None:
    house.setup()
    house.setup("--dev")
    assert any(line.endswith("[alignments,phonemes,dev]") for line in house.installs)
    house.setup()
    assert house.installs == []


@pytest.mark.slow
def test_a_failed_install_is_told_and_mended_by_the_next_call(house: House) -> None:
    fails = Path(house.environment["CALLS"] + ".fails")
    fails.touch()
    broken = house.setup()
    assert broken.returncode == 1
    assert "run setup.sh again" in broken.stderr
    fails.unlink()
    assert house.setup().stdout.splitlines()[-1] == "setup: done: .venv/bin/wavewright is ready"


def test_what_metrics_need_is_installed_with_the_rest(house: House, root: Path) -> None:
    told = house.setup().stdout
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = " ".join(extras["optional-dependencies"]["metrics"])
    *_, ours, others = house.installs
    assert ours.endswith(f"constraints.txt {wanted}")
    assert others.endswith("--no-deps distillmos xls-r-sqa")
    assert "left out" not in told


@pytest.mark.slow
def test_without_a_compiler_everything_else_is_installed(house: House) -> None:
    Path(house.environment["CALLS"] + ".no-compiler").touch()
    told = house.setup()
    assert told.returncode == 0, told.stderr
    (left_out,) = (line for line in told.stdout.splitlines() if "left out" in line)
    assert left_out.startswith("setup: left out: pyworld. ")
    assert any(line.endswith(" pystoi>=0.4.1") for line in house.installs)
    assert "nothing to do" in house.setup().stdout


@pytest.mark.slow
def test_a_new_compiler_builds_what_was_left_out(house: House) -> None:
    lacking = Path(house.environment["CALLS"] + ".no-compiler")
    lacking.touch()
    house.setup()
    lacking.unlink()
    compiler = house.folder.parent / "c++"
    compiler.touch()
    compiler.chmod(0o755)
    assert "left out" not in house.setup().stdout
    assert any("pyworld" in line for line in house.installs)


def test_an_importable_torch_is_kept(house: House) -> None:
    told = house.setup(TORCH="2.11.0+cu128").stdout
    assert "keeping torch 2.11.0+cu128" in told
    assert "torch==2.11.0+cu128" in house.constraints
    assert not any(line.startswith("sympy==") for line in house.constraints)
    assert "--system-site-packages" in (house.folder / ".venv" / "pyvenv.cfg").read_text()


def test_another_torch_can_be_asked_for_and_stays(house: House) -> None:
    house.setup(WAVEWRIGHT_TORCH="2.11.0")
    assert house.constraints[-1] == "torch==2.11.0"
    assert "nothing to do" in house.setup().stdout


def test_a_moved_checkout_gets_a_new_environment(house: House) -> None:
    house.setup()
    moved = House(house.folder.rename(house.folder.with_name("moved")), house.environment)
    (house.folder.parent / "elsewhere" / "link").unlink()
    (house.folder.parent / "elsewhere" / "link").symlink_to(moved.folder / "setup.sh")
    assert "making .venv" in moved.setup().stdout
    assert f"{moved.folder}/.venv" in (moved.folder / ".venv" / "pyvenv.cfg").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("python", ["/nowhere/python3", "/bin/false"])
def test_an_unfit_python_is_named(house: House, python: str) -> None:
    refused = house.setup(PYTHON=python)
    assert refused.returncode == 1
    assert f"PYTHON={python} is not a Python 3.11 to 3.13" in refused.stderr


def test_an_unknown_option_is_refused(house: House) -> None:
    assert house.setup("--all").returncode == 2
    assert house.installs == []
