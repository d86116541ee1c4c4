"""Contract of the runner: it runs what is not up to date, nothing else, and gives reasons."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.recipes.conftest import Toy

ALL = ["source", "shout", "learn hifigan:v2", "learn hifigan:v3", "judge"]


def test_first_run_makes_everything_and_the_second_nothing(toy: Toy) -> None:
    first = toy.start("run", "recipe.yaml")
    assert first.returncode == 0, first.stderr
    assert toy.ran() == ALL
    assert toy.result("01_shout", "words.txt") == "HELLO!"
    assert toy.result("03_judge", "verdict.txt") == "hifigan:v2 3\nhifigan:v3 3"
    again = toy.start("run", "recipe.yaml")
    assert again.returncode == 0
    assert toy.ran() == []
    assert again.stdout.count("up to date") == 5


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("source.words=bye", ALL),
        ("shout.mark='?'", ALL[1:]),
        ("mel.fmax=7600", ["shout"]),  # its text does not depend on the mel
        ("seed=2", ALL[2:]),
        ("learn.rate=0.4", ["learn hifigan:v2", "judge"]),
        ("learn.vocoders.hifigan:v3.rate=0.2", ["learn hifigan:v3", "judge"]),
        ("shout.jobs=7", []),
        ("learn.pause=0.001", []),
        ("learn.max_steps=2", []),
    ],
)
def test_a_changed_option_reruns_what_depends_on_it(
    toy: Toy, change: str, expected: list[str]
) -> None:
    assert toy.run().returncode == 0
    toy.ran()
    done = toy.run("--set", change)
    assert done.returncode == 0, done.stderr
    assert toy.ran() == expected


def test_equal_output_of_a_rerun_stage_stops_the_wave(toy: Toy) -> None:
    toy.run()
    toy.ran()
    toy.run("--force", "--stage", "shout", "--stop-stage", "shout")
    assert toy.ran() == ["shout"]
    toy.run()
    assert toy.ran() == []


def test_stage_and_stop_stage_by_number_and_name(toy: Toy) -> None:
    assert toy.run("--stop-stage", "1").returncode == 0
    assert toy.ran() == ["source", "shout"]
    assert toy.run("--stage", "learn", "--stop_stage", "2").returncode == 0
    assert toy.ran() == ["learn hifigan:v2", "learn hifigan:v3"]
    unknown = toy.run("--stage", "lern")
    assert unknown.returncode == 2
    assert "Did you mean 'learn'?" in unknown.stderr
    assert toy.run("--stage", "3", "--stop-stage", "1").returncode == 2


def test_starting_late_refuses_stale_input_but_not_unneeded_stages(toy: Toy) -> None:
    late = toy.run("--stage", "2")
    assert late.returncode == 77
    assert "start with --stage" in late.stderr
    assert toy.run("--stop-stage", "0").returncode == 0
    toy.ran()
    deaf = ("--set", "learn.listen=false", "--stage", "2", "--stop-stage", "2")
    assert toy.run(*deaf).returncode == 0
    assert toy.ran() == ["learn hifigan:v2", "learn hifigan:v3"]


@pytest.mark.parametrize("look", ["--dry-run", "--explain"])
def test_the_whole_plan_is_printed_on_a_fresh_machine_too(toy: Toy, look: str) -> None:
    plan = toy.run(look, "--stage", "2", "--stop-stage", "2")
    assert plan.returncode == 0, plan.stderr
    lines = plan.stdout.splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["0", "1", "2", "2", "3"]
    assert "to do" in lines[1]
    assert "stage 2 needs it" in lines[1]
    assert "will run" in lines[2]
    assert "after --stop-stage" in lines[4]
    assert "start with --stage" in lines[5]
    assert "--allow-stale" not in plan.stdout
    assert toy.ran() == []


def test_allow_stale_is_offered_only_where_there_is_something_to_accept(toy: Toy) -> None:
    assert "--allow-stale" not in toy.run("--stage", "2").stderr
    toy.run("--stop-stage", "1")
    stale = toy.run("--stage", "2", "--set", "shout.mark='?'")
    assert stale.returncode == 77
    assert "--allow-stale" in stale.stderr


def test_allow_stale_uses_what_is_there_and_records_it(toy: Toy) -> None:
    toy.run()
    toy.ran()
    late = ("--stage", "judge", "--set", "shout.mark='?'")
    assert toy.run(*late).returncode == 77
    assert toy.run(*late, "--allow-stale", "--force").returncode == 0
    assert toy.ran() == ["judge"]
    record = json.loads(toy.result("03_judge", "stage.json"))
    assert record["stale"] == ["1 shout"]


def test_vocoder_option_chooses_the_units(toy: Toy) -> None:
    assert toy.run("--vocoder", "hifigan:v3", "--vocoder", "griffinlim").returncode == 0
    assert toy.ran() == ["source", "shout", "learn hifigan:v3", "learn griffinlim", "judge"]
    assert toy.result("03_judge", "verdict.txt") == "hifigan:v3 3\ngriffinlim 3"


def test_a_larger_budget_continues_from_the_smaller(toy: Toy) -> None:
    toy.run()
    toy.ran()
    done = toy.run("--set", "learn.max_steps=5", "--set", "learn.pause=0.01")
    assert "continues from 3 to 5 steps" in done.stdout
    assert toy.result("02_learn/hifigan-v2", "steps.txt") == "....."
    log = toy.result("02_learn/hifigan-v2", "stage.json")
    assert json.loads(log)["budget"] == 5
    back = toy.run("--set", "learn.max_steps=3")
    assert back.returncode == 0
    assert toy.result("03_judge", "verdict.txt") == "hifigan:v2 3\nhifigan:v3 3"


def test_dry_run_and_explain_say_why_and_do_nothing(toy: Toy) -> None:
    toy.run()
    toy.ran()
    dry = toy.run("--dry-run", "--set", "mel.fmax=7600")
    assert "mel.fmax 8000.0 -> 7600.0" in dry.stdout
    assert "1 shout comes first" in dry.stdout
    explained = toy.run("--explain", "--set", "shout.mark='?'")
    assert "mark ! -> ?" in explained.stdout
    assert toy.ran() == []


def test_edited_code_reruns_a_stage_and_spares_a_precious_one(toy: Toy) -> None:
    toy.run()
    toy.ran()
    module = toy.folder.parent / "plugin" / "toy_stages.py"
    module.write_text(module.read_text() + "\n# edited\n")
    done = toy.run()
    assert toy.ran() == ["source", "shout", "judge"]
    assert "code changed since; --force trains again" in done.stdout


def test_a_failing_stage_shows_its_log_and_how_to_repeat_it(toy: Toy) -> None:
    failed = toy.run("--set", "shout.fail=user")
    assert failed.returncode == 2
    assert "error: words.txt: field 'words' is too quiet; shout" in failed.stdout
    assert "--stage shout --stop-stage shout --set shout.fail=user" in failed.stderr
    crashed = toy.run("--set", "shout.fail=crash")
    assert crashed.returncode == 1
    assert "RuntimeError: out of breath" in crashed.stdout
    assert not (toy.folder / "exp" / "01_shout" / "latest").exists()


def test_a_killed_stage_publishes_nothing_and_the_next_run_finishes(toy: Toy) -> None:
    assert toy.run("--set", "shout.fail=kill").returncode == 1
    assert not (toy.folder / "exp" / "01_shout" / "latest").exists()
    assert toy.run().returncode == 0
    assert toy.result("03_judge", "verdict.txt") == "hifigan:v2 3\nhifigan:v3 3"


def test_what_a_killed_attempt_left_half_written_is_not_published(toy: Toy) -> None:
    once = ("--set", "shout.fail=kill once")
    assert toy.run(*once).returncode == 1
    assert list((toy.folder / "exp" / "01_shout").glob(".partial-*/.words.txt.partial"))
    assert toy.run(*once).returncode == 0
    assert toy.result("01_shout", "words.txt") == "HELLO!"
    assert not list((toy.folder / "exp").rglob("*.partial"))


def test_a_file_from_outside_counts_by_content_times_not_by_place(toy: Toy, tmp_path: Path) -> None:
    extra = tmp_path / "extra.txt"
    extra.write_text(" there")
    toy.run("--set", f"source.source={extra}")
    assert toy.result("01_shout", "words.txt") == "HELLO THERE!"
    toy.ran()
    moved = tmp_path / "moved.txt"
    extra.rename(moved)
    toy.run("--set", f"source.source={moved}")
    assert toy.ran() == []
    moved.write_text(" here")
    toy.run("--set", f"source.source={moved}")
    assert toy.ran() == ALL


def test_tampered_output_is_noticed_and_made_again(toy: Toy) -> None:
    toy.run()
    toy.ran()
    path = toy.folder / "exp" / "01_shout" / "latest" / "words.txt"
    before = path.stat()
    path.write_text("HELLO?")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, same mtime
    again = toy.run()
    assert "its result was damaged: words.txt was changed" in again.stdout
    assert toy.ran() == ["shout"]
    assert toy.result("01_shout", "words.txt") == "HELLO!"


def test_a_damaged_training_goes_on_from_what_is_whole(toy: Toy) -> None:
    """A stray file must not cost a week: the stage itself knows which checkpoints to trust."""
    toy.run()
    toy.ran()
    result = toy.folder / "exp" / "02_learn" / "hifigan-v3" / "latest"
    (result / "stray.txt").touch()
    (result / "steps.txt").write_text("ab")  # the last of three steps is lost
    again = toy.run()
    assert "its result was damaged" in again.stdout
    assert toy.ran() == ["learn hifigan:v3", "judge"]
    assert toy.result("02_learn/hifigan-v3", "steps.txt") == "..."
    (result / "stray2.txt").touch()
    (result / "steps.txt").write_text("abc")
    toy.run()
    assert toy.ran() == ["learn hifigan:v3", "judge"]
    assert toy.result("02_learn/hifigan-v3", "steps.txt") == "abc", "nothing was left to do"
    toy.run("--force", "--stage", "learn", "--stop-stage", "learn", "--vocoder", "hifigan:v3")
    assert toy.result("02_learn/hifigan-v3", "steps.txt") == "..."


def test_touching_an_output_changes_nothing(toy: Toy) -> None:
    toy.run()
    toy.ran()
    (toy.folder / "exp" / "01_shout" / "latest" / "words.txt").touch()
    assert toy.run().returncode == 0
    assert toy.ran() == []


def test_status_and_verify(toy: Toy) -> None:
    toy.run()
    status = toy.call("status", "recipe.yaml")
    assert status.returncode == 0
    assert status.stdout.count("up to date") == 5
    assert toy.call("verify", "recipe.yaml").returncode == 0
    (toy.folder / "exp" / "00_source" / "latest" / "words.txt").write_text("hellx")
    broken = toy.call("verify", "recipe.yaml")
    assert broken.returncode == 1
    assert "words.txt was changed" in broken.stdout


def test_a_no_op_run_loads_no_torch(toy: Toy) -> None:
    toy.run()
    code = (
        "import sys; sys.argv = ['wavewright', 'run', 'recipe.yaml']\n"
        "from wavewright.cli.app import app\n"
        "app(standalone_mode=False)\n"
        "assert not {'torch', 'pandas', 'librosa'} & set(sys.modules)"
    )
    command = [toy.command()[0], "-c", code]
    done = subprocess.run(command, cwd=toy.folder, env=toy.environment, check=False)
    assert done.returncode == 0
