"""A toy recipe in a folder of its own, run by the real command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.fork_server import ForkServer

RECIPE = """\
recipe: toy
about: Four stages that write text.
work_dir: exp
seed: 1
mel: {preset: hifigan}
stages: [source, shout, learn, judge]
source:
  words: hello
shout:
  mark: "!"
learn:
  max_steps: 3
  vocoders:
    hifigan:v2: {}
    hifigan:v3: {rate: 0.1}
"""


@dataclass
class Toy:
    """The recipe's folder and ways to look at it."""

    folder: Path
    environment: dict[str, str]
    server: ForkServer

    def command(self, *arguments: str) -> list[str]:
        """The command line of `wavewright ARGUMENTS`."""
        return [sys.executable, "-m", "wavewright", *arguments]

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `wavewright ARGUMENTS`, forked from the server where that shows the same; wait."""
        if "LD_PRELOAD" in self.environment:  # a new program alone obeys it
            return self.start(*arguments)
        return self.server.run(arguments, self.folder, self.environment, self.folder.parent)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `wavewright run recipe.yaml ARGUMENTS`, forked from the server, and wait."""
        return self.call("run", "recipe.yaml", *arguments)

    def start(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `wavewright ARGUMENTS` in a Python of its own, as a user does, and wait."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def ran(self) -> list[str]:
        """Units that really ran since this was last asked."""
        counts = Path(self.environment["TOY_COUNTS"])
        lines = counts.read_text().splitlines() if counts.exists() else []
        counts.unlink(missing_ok=True)
        return lines

    def result(self, stage: str, name: str) -> str:
        """Text of a file in a stage's newest result."""
        return (self.folder / "exp" / stage / "latest" / name).read_text()


@pytest.fixture
def toy(tmp_path: Path, source_environment: dict[str, str], fork_server: ForkServer) -> Toy:
    """A fresh toy recipe, its stages registered by an entry point."""
    return make_toy(tmp_path, source_environment, fork_server)


def make_toy(tmp_path: Path, source_environment: dict[str, str], server: ForkServer) -> Toy:
    """Make the toy recipe below any folder."""
    plugin = tmp_path / "plugin"
    shutil.copytree(
        Path(__file__).parent, plugin, ignore=lambda _, names: set(names) - {"toy_stages.py"}
    )
    info = plugin / "toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    names = ("source", "shout", "learn", "judge", "tones", "drill")
    points = "".join(f"{name} = toy_stages:{name}\n" for name in names)
    (info / "entry_points.txt").write_text(f"[wavewright.stages]\n{points}")
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "recipe.yaml").write_text(RECIPE)
    roots = os.pathsep.join([source_environment["PYTHONPATH"], str(plugin)])
    counts = str(tmp_path / "counts.txt")
    environment = {**source_environment, "PYTHONPATH": roots, "TOY_COUNTS": counts}
    return Toy(folder, environment, server)
