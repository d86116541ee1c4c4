"""The house itself: what is declared, what is loaded when, what ships."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import wavewright
from wavewright.registry import FIRST_PARTY

HEAVY = ("torch", "numba", "librosa", "pandas", "pyarrow", "matplotlib", "scipy")
GPL = ("tgt", "phonemizer", "espeakng_loader")
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3)) + r")\b")


@pytest.fixture(scope="module")
def pyproject(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text())


def run_python(
    *arguments: str, environment: dict[str, str] | None = None, folder: Path | None = None
) -> str:
    """What a fresh Python prints; it must end well."""
    answer = subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=folder, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def loaded_by(code: str, watched: tuple[str, ...], environment: dict[str, str]) -> list[str]:
    """Which of the watched modules a fresh Python holds after running the code."""
    report = f"import sys\n{code}\nprint('loaded', *({set(watched)} & sys.modules.keys()))"
    return run_python("-c", report, environment=environment).splitlines()[-1].split()[1:]


def test_the_registry_equals_the_declared_entry_points(pyproject: dict[str, Any]) -> None:
    declared = pyproject["project"]["entry-points"]
    assert {f"wavewright.{group}": names for group, names in FIRST_PARTY.items()} == declared


def test_the_version_is_stated_once(root: Path, pyproject: dict[str, Any]) -> None:
    assert "version" not in pyproject["project"]
    file = root / pyproject["tool"]["hatch"]["version"]["path"]
    assert f'__version__ = "{wavewright.__version__}"' in file.read_text()


def test_every_declared_dependency_has_a_tested_version(
    root: Path, pyproject: dict[str, Any]
) -> None:
    project = pyproject["project"]
    extras = project["optional-dependencies"].values()
    declared = project["dependencies"] + [line for extra in extras for line in extra]
    names = {re.split(r"[><=!~\[; ]", line)[0].lower().replace("_", "-") for line in declared}
    tested = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (root / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    assert names - tested == set()


@pytest.mark.parametrize("arguments", [["--help"], ["list"]])
def test_quick_commands_load_nothing_heavy(
    arguments: list[str], source_environment: dict[str, str]
) -> None:
    code = (
        f"sys.argv = ['wavewright', *{arguments!r}]\n"
        "from wavewright.cli.app import main\n"
        "try:\n    code = main()\n"
        "except SystemExit as end:\n    code = end.code\n"
        "assert not code, code"
    )
    assert loaded_by(code, HEAVY, source_environment) == []


@pytest.mark.slow
def test_the_core_imports_no_gpl_package(source_environment: dict[str, str]) -> None:
    code = (
        "import importlib, pkgutil, wavewright, wavewright_stages\n"
        "for package in (wavewright, wavewright_stages):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if not module.name.endswith('.__main__'):\n"
        "            importlib.import_module(module.name)\n"
        "assert 'wavewright.text.textgrid' in sys.modules\n"
        "assert 'wavewright.text.symbols' in sys.modules"
    )
    assert loaded_by(code, GPL, source_environment) == []


@pytest.mark.slow
def test_stage_modules_load_nothing_heavy(source_environment: dict[str, str]) -> None:
    targets = [target.partition(":")[0] for target in FIRST_PARTY["stages"].values()]
    assert loaded_by(f"import {', '.join(targets)}", HEAVY, source_environment) == []


def test_runs_from_the_source_roots_anywhere(
    source_environment: dict[str, str], tmp_path: Path
) -> None:
    shown = run_python(
        "-m", "wavewright", "--help", environment=source_environment, folder=tmp_path
    )
    assert "run" in shown


def test_every_recipe_is_complete_and_parses(root: Path) -> None:
    from wavewright.runner.recipe import load_recipe

    recipes = sorted((root / "recipes").glob("*/recipe.yaml"))
    assert recipes, "no recipe ships"
    for recipe in recipes:
        load_recipe(recipe)
        assert (recipe.parent / "README.md").is_file()
        assert (recipe.parent / "run.sh").stat().st_mode & 0o111, f"{recipe.parent}/run.sh"


def test_the_wheel_holds_both_packages_and_the_recipes(root: Path, tmp_path: Path) -> None:
    run_python("-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path), folder=root)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"wavewright/cli/app.py", "wavewright/py.typed", "wavewright_stages/train.py"} <= names
    shipped = {
        path.relative_to(root / "recipes").as_posix()
        for path in (root / "recipes").glob("*/*")
        if path.name in ("recipe.yaml", "run.sh", "README.md")
    }
    assert {f"wavewright/_recipes/{name}" for name in shipped} <= names
    assert not any("/exp/" in name or name.startswith("tests/") for name in names)


def test_nothing_is_marked_unfinished(root: Path) -> None:
    marked = [
        f"{path.relative_to(root)}:{number}"
        for folder in ("pipeline", "stages", "recipes", "tests", "benchmarks")
        for path in (root / folder).rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert marked == []
