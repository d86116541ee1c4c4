"""The command that a failed unit prints: run as it stands in a shell, it fails in the same way."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.conftest import said
from tests.recipes.conftest import Toy


def printed(words: str) -> str:
    """The command of a failure."""
    return words.partition("To run it again: ")[2].partition("\n")[0]


def in_a_shell(command: str, toy: Toy, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env=toy.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "name", ["plain", "with space", "qu'ote", '"$HOME"; `date` & #', "neue Zeile\nhier", "ä音"]
)
def test_it_fails_again_wherever_it_is_run(toy: Toy, tmp_path: Path, name: str) -> None:
    odd = toy.folder.with_name(name) if "\n" not in name else toy.folder
    if odd != toy.folder:
        toy.folder = toy.folder.rename(odd)
    (toy.folder / "extra file's.txt").write_text(" there")
    mark = f"shout.mark={name!r}" if "'" not in name else f'shout.mark="{name}"'
    failed = toy.run(
        "--set", "source.source=extra file's.txt", "--set", mark, "--set", "shout.fail=user"
    )
    assert failed.returncode == 2, said(failed)
    toy.ran()
    command = failed.stderr.partition("To run it again: ")[2].strip()
    again = in_a_shell(command, toy, tmp_path)
    assert again.returncode == failed.returncode
    assert toy.ran() == ["shout"], "that unit and no other"
    assert "field 'words' is too quiet; shout" in said(again)
    assert again.stderr.partition("To run it again: ")[2].strip() == command


def test_it_names_the_unit_and_how_it_was_run(toy: Toy) -> None:
    assert toy.run().returncode == 0
    toy.ran()
    options = ("--vocoder", "hifigan:v3", "--vocoder", "griffinlim", "--jobs", "3")
    failed = toy.run(*options, "--set", "learn.rate=-1", "--stage", "learn")
    command = printed(failed.stderr)
    assert "--stage learn --stop-stage learn --vocoder griffinlim --set learn.rate=-1" in command
    assert "--jobs 3" in command
    assert "hifigan" not in command
    again = in_a_shell(command, toy, toy.folder)
    assert "rate is below 0" in said(again)
    assert printed(again.stderr) == command


def test_a_stage_after_chosen_vocoders_gets_the_same_ones(toy: Toy) -> None:
    failed = toy.run("--vocoder", "hifigan:v3", "--set", "judge.strict=true")
    assert failed.returncode == 2
    toy.ran()
    again = in_a_shell(printed(failed.stderr), toy, toy.folder)
    assert "1 is too few to judge" in said(again)
    assert toy.ran() == ["judge"]


def test_what_ran_only_because_of_force_is_forced_again(toy: Toy) -> None:
    assert toy.run().returncode == 0
    toy.environment["TOY_BROKEN"] = "1"
    failed = toy.run("--force", "--stage", "shout", "--stop-stage", "shout")
    assert failed.returncode == 1
    assert printed(failed.stderr).endswith("--force")
    again = in_a_shell(printed(failed.stderr), toy, toy.folder)
    assert again.returncode == 1
    assert "something is broken" in again.stdout


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR2, 143)]
)
def test_a_stopped_run_says_so_by_its_exit_code(toy: Toy, number: int, code: int) -> None:
    (toy.folder / "recipe.yaml").write_text(
        "recipe: drill\nabout: Marching.\nwork_dir: exp\nseed: 1\nmel: {preset: hifigan}\n"
        "stages: [drill]\ndrill: {max_steps: 1000, pause: 0.05}\n"
    )
    runner = subprocess.Popen(
        toy.command("run", "recipe.yaml"),
        cwd=toy.folder,
        env=toy.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not list(toy.folder.glob("exp/00_drill/.partial-*/step-2")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    runner.send_signal(number)
    words, _ = runner.communicate(timeout=30)
    assert runner.returncode == code, words
    assert "was stopped; the same command continues it" in words
    assert "Traceback" not in words
