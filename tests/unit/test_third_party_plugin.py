"""A package of somebody else's (tests/plugin_package) adds a vocoder by entry point alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wavewright.audio import save_wav


@pytest.fixture(scope="module")
def plugin_environment(
    root: Path, source_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The environment of a Python in which the package is really installed, by pip."""
    folder = tmp_path_factory.mktemp("site")
    environment = {**source_environment, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--no-compile", "--quiet")
    pip = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder)]
    installed = subprocess.run(
        [*pip, str(root / "tests" / "plugin_package")],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert installed.returncode == 0, installed.stderr
    paths = (source_environment["PYTHONPATH"], str(folder))
    return {**source_environment, "PYTHONPATH": os.pathsep.join(paths)}


def run(environment: dict[str, str], *arguments: str) -> str:
    """What a Python with the package prints; it must end well."""
    answer = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def test_it_is_listed_with_its_origin(plugin_environment: dict[str, str]) -> None:
    listed = run(plugin_environment, "-m", "wavewright", "list", "vocoders").splitlines()
    assert "  hummer  (from wavewright-hummer)" in listed


def test_it_is_not_imported_unless_named(plugin_environment: dict[str, str]) -> None:
    code = (
        "import sys, wavewright as ww\n"
        "assert 'hummer' in ww.list_vocoders()\n"
        "ww.create_vocoder('griffinlim')\n"
        "assert 'wavewright_hummer' not in sys.modules\n"
        "ww.create_vocoder('hummer')\n"
        "assert 'wavewright_hummer' in sys.modules\n"
    )
    run(plugin_environment, "-c", code)


def test_it_is_created_by_name_variant_and_config(plugin_environment: dict[str, str]) -> None:
    code = (
        "import torch, wavewright as ww\n"
        "loud = ww.create_vocoder('hummer:loud', upsample_rates=[16, 16])\n"
        "assert loud.config.channels == 32 and len(loud.stretch) == 2\n"
        "assert loud.generate(torch.zeros(2, 80, 5)).shape == (2, 5 * 256)\n"
        "try:\n    ww.create_vocoder('hummer', upsample_rates=[2, 2])\n"
        "except ww.WavewrightError as error:\n    print(error)\n"
    )
    assert "upsample_rates (2, 2) multiply to 4" in run(plugin_environment, "-c", code)


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


def test_it_trains_through_a_recipe_that_never_heard_of_it(
    plugin_environment: dict[str, str], recipe: Path
) -> None:
    command = ("-m", "wavewright", "run", str(recipe), "--jobs", "1", "--vocoder", "hummer")
    run(plugin_environment, *command)
    weights = sorted(recipe.parent.glob("exp/**/step-00000012/vocoder.safetensors"))
    assert len(weights) == 1
    code = (
        "import sys, wavewright as ww\n"
        "trained = ww.load_vocoder(sys.argv[1])\n"
        "print(type(trained).__module__, trained.name)\n"
    )
    assert run(plugin_environment, "-c", code, str(weights[0])).split() == [
        "wavewright_hummer",
        "hummer",
    ]
    losses = [
        json.loads(line)["mel_l1"]
        for log in recipe.parent.glob("exp/**/validation.jsonl")
        for line in log.read_text().splitlines()
    ]
    assert losses[-1] < losses[0]
