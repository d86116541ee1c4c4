"""`clean` gives back room, and never what is in use or may be gone on from."""

from __future__ import annotations

from pathlib import Path

from tests.faults.conftest import call, said
from tests.recipes.conftest import Toy


def results(toy: Toy, home: str) -> set[str]:
    folders = (toy.folder / "exp" / home).glob("[0-9a-f]*")
    return {(folder / "words.txt").read_text() for folder in folders}


def make(toy: Toy, words: str) -> None:
    done = toy.run("--stop-stage", "0", "--set", f"source.words={words}")
    assert done.returncode == 0, done.stderr


def clean(toy: Toy, *options: str) -> str:
    done = call(toy, "clean", "recipe.yaml", *options)
    assert done.returncode == 0
    return said(done)


def test_the_newest_stay_and_the_one_in_use(toy: Toy) -> None:
    for words in ("one", "two", "three", "four"):
        make(toy, words)
    make(toy, "one")  # is there already; `latest` names it again
    kept = {"one", "two", "three", "four"}
    now = ("--set", "source.words=one")
    words = clean(toy, *now, "--keep", "2", "--dry-run")
    assert words.count("would remove") == 1
    assert "MB, an older result)" in words
    assert results(toy, "00_source") == kept
    assert clean(toy, *now, "--keep", "2").count("removed") == 1
    assert results(toy, "00_source") == {"one", "three", "four"}
    clean(toy, *now, "--keep", "1")
    assert results(toy, "00_source") == {"one", "four"}
    assert (toy.folder / "exp" / "00_source" / "latest" / "words.txt").read_text() == "one"
    assert call(toy, "clean", "recipe.yaml", "--keep", "0").returncode == 2


def test_what_is_left_over_goes_and_unfinished_work_only_where_asked(toy: Toy) -> None:
    make(toy, "one")
    home = toy.folder / "exp" / "00_source"
    spent = [home / ".replaced-0123", home / ".seed-0123", home / ".removed-0123"]
    unfinished = home / ".partial-0123456789ab"
    for folder in [*spent, unfinished]:
        folder.mkdir()
        (folder / "file").write_text("x")
    (home / ".latest-7.partial").symlink_to("nowhere")
    now = ("--set", "source.words=one")
    words = clean(toy, *now)
    assert f"kept {unfinished}" in words
    assert "--unfinished removes it" in words
    left = {path.name for path in home.iterdir()}
    assert left == {".lock", "latest", unfinished.name, Path(home / "latest").resolve().name}
    clean(toy, *now, "--unfinished")
    assert not unfinished.exists()
    assert results(toy, "00_source") == {"one"}


def test_unfinished_work_under_the_present_options_always_stays(toy: Toy) -> None:
    assert toy.run("--set", "shout.fail=kill once").returncode == 1
    now = ("--set", "shout.fail=kill once")
    assert clean(toy, *now, "--unfinished").count("removed") == 0
    assert list((toy.folder / "exp" / "01_shout").glob(".partial-*"))
    assert "resumes an interrupted run" in said(toy.run(*now))
    assert toy.result("01_shout", "words.txt") == "HELLO!"
