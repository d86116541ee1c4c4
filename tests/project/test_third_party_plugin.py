"""The template package (docs/plugin-template) installs, keeps the contract and trains."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import tiny
from wavewright import testing
from wavewright.audio.files import save_wav
from wavewright.models.vocoder import Vocoder

MODULE = "wavewright_whistle"


@pytest.fixture(scope="module")
def template(root: Path) -> Path:
    """The package's folder."""
    return root / "docs" / "plugin-template"


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    """What is written about it."""
    return (root / "docs" / "write-a-vocoder.md").read_text("utf-8")


@pytest.fixture(scope="module")
def plugin_environment(
    template: Path, source_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The environment of a Python in which the package is really installed, by pip."""
    folder = tmp_path_factory.mktemp("site")
    environment = {**source_environment, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--no-compile", "--quiet")
    pip = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder)]
    installed = subprocess.run(
        [*pip, str(template)], env=environment, capture_output=True, text=True
    )
    assert installed.returncode == 0, installed.stderr
    paths = (source_environment["PYTHONPATH"], str(folder))
    return {
        **source_environment,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def run(environment: dict[str, str], *arguments: str, folder: Path | None = None) -> str:
    """What a Python with the package prints; it must end well."""
    answer = subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=folder, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@pytest.mark.slow
def test_it_is_listed_with_its_origin(plugin_environment: dict[str, str]) -> None:
    rows = run(plugin_environment, "-m", "wavewright", "list", "vocoders").splitlines()
    for name in ("whistle ", "whistle:small "):
        (row,) = (row for row in rows if row.startswith(name))
        assert row.endswith("(from wavewright-whistle)")


@pytest.mark.slow
def test_it_is_created_by_name_variant_and_config_and_not_imported_before(
    plugin_environment: dict[str, str],
) -> None:
    code = (
        "import sys, torch, wavewright as ww\n"
        "assert 'whistle' in ww.list_vocoders()\n"
        "ww.create_vocoder('griffinlim')\n"
        f"assert '{MODULE}' not in sys.modules\n"
        "small = ww.create_vocoder('whistle:small', layers=2)\n"
        f"assert '{MODULE}' in sys.modules\n"
        "assert small.config.channels == 64 and len(small.blocks) == 2\n"
        "assert small.generate(torch.zeros(2, 80, 5)).shape == (2, 5 * 256)\n"
        "wide = small.mel_spec.model_copy(update={'hop_length': 600})\n"
        "try:\n    ww.create_vocoder('whistle', mel=wide)\n"
        "except ww.WavewrightError as error:\n    print(error)\n"
    )
    refused = run(plugin_environment, "-c", code)
    assert refused == "whistle: mel.hop_length 600 exceeds half of mel.n_fft\n"


@pytest.mark.slow
def test_its_own_tests_find_that_it_keeps_the_contract(
    plugin_environment: dict[str, str], template: Path
) -> None:
    own = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "2 passed" in run(plugin_environment, *own, folder=template)


def test_the_page_shows_the_very_module_of_sixty_lines(template: Path, page: str) -> None:
    module = (template / f"{MODULE}.py").read_text("utf-8")
    assert python_blocks(page)[0] == module
    assert sum(bool(line.strip()) for line in module.splitlines()) <= 60


PUBLIC = {"wavewright", "wavewright.nn", "wavewright.metrics", "wavewright.testing"}


def test_the_template_and_the_page_import_public_modules_alone(template: Path, page: str) -> None:
    sources = [path.read_text("utf-8") for path in template.glob("*.py")] + python_blocks(page)
    imported = {
        name
        for source in sources
        for node in ast.walk(ast.parse(source))
        for name in modules_of(node)
        if name.partition(".")[0] == "wavewright"
    }
    assert imported <= PUBLIC


def modules_of(node: ast.AST) -> list[str]:
    """Modules that an import statement names."""
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


@pytest.fixture
def of_the_page(
    template: Path, page: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Vocoder]]:
    """Builds a small vocoder of a class that the page derives from the template's."""
    monkeypatch.syspath_prepend(str(template))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def build(name: str) -> Vocoder:
        (block,) = (block for block in python_blocks(page) if f"class {name}(" in block)
        names: dict[str, Any] = {"__name__": MODULE}
        exec(compile(block, "write-a-vocoder.md", "exec"), names)
        made: Vocoder = names[name].create("derived", "small", channels=16, mel=tiny.SPEC)
        return made

    yield build
    sys.modules.pop(MODULE, None)


def test_the_pages_adversary_keeps_the_contract(of_the_page: Callable[[str], Vocoder]) -> None:
    vocoder = of_the_page("AdversarialWhistle")
    testing.check_saving(vocoder)
    testing.check_training(vocoder)


def test_the_pages_stream_keeps_the_contract(of_the_page: Callable[[str], Vocoder]) -> None:
    vocoder = of_the_page("StreamingWhistle")
    testing.check_receptive_field(vocoder)
    testing.check_streaming(vocoder)


def python_blocks(page: str) -> list[str]:
    """The page's blocks of Python, in order."""
    return re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)


RECIPE = """\
recipe: plugin
about: A few harmonic tones, and whatever vocoder the command line names.
work_dir: exp
seed: 1
mel: {preset: hifigan}
stages: [download, prepare, mels, train]
download:
  source: corpus
prepare:
  dev: 1
  test: 1
mels: {}
train:
  max_steps: 12
  checkpoint_every: 6
  batch_size: 4
  segment_length: 4096
  vocoders:
    hifigan:v3: {}
"""
WORDS = ("one", "two", "three", "four", "five", "six")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe over a corpus of one-second tones with decaying harmonics."""
    (tmp_path / "corpus" / "wavs").mkdir(parents=True)
    time = np.arange(22050) / 22050
    for number, word in enumerate(WORDS):
        pitch = 110 * 2 ** (number / 6)
        tone = sum(0.3 / k * np.sin(2 * np.pi * k * pitch * time) for k in range(1, 8))
        wav = np.asarray(0.5 * tone * np.hanning(len(time)), dtype=np.float32)
        save_wav(tmp_path / "corpus" / "wavs" / f"{word}.wav", wav, 22050)
    lines = [f"{word}|{word}|{word}" for word in WORDS]
    (tmp_path / "corpus" / "metadata.csv").write_text("\n".join(lines) + "\n")
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


@pytest.mark.slow
def test_it_trains_through_a_recipe_that_never_heard_of_it(
    plugin_environment: dict[str, str], recipe: Path
) -> None:
    command = ("-m", "wavewright", "run", str(recipe), "--jobs", "1", "--vocoder", "whistle:small")
    run(plugin_environment, *command)
    weights = sorted(recipe.parent.glob("exp/**/step-00000012/vocoder.safetensors"))
    assert len(weights) == 1
    code = (
        "import sys, wavewright as ww\n"
        "trained = ww.load_vocoder(sys.argv[1])\n"
        "print(type(trained).__module__, trained.name)\n"
    )
    assert run(plugin_environment, "-c", code, str(weights[0])).split() == [MODULE, "whistle:small"]
    losses = [
        json.loads(line)["mel_l1"]
        for log in recipe.parent.glob("exp/**/validation.jsonl")
        for line in log.read_text().splitlines()
    ]
    assert losses[-1] < 0.85 * losses[0]
