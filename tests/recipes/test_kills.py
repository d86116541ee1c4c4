"""Some seconds of SIGKILL at random, on small stages; tests/faults/fuzz.py does it for minutes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults import fuzz
from tests.recipes.conftest import Toy
from tests.recipes.test_scale import RECIPE


@pytest.mark.long
def test_kills_at_random_change_nothing_in_the_end(toy: Toy, tmp_path: Path) -> None:
    (toy.folder / "recipe.yaml").write_text(RECIPE)
    (toy.folder / "level.txt").write_text("0.5")
    recipe = fuzz.Recipe(
        toy.folder / "recipe.yaml", {"tones": {"pause": 0.1, "jobs": 2}}, toy.environment
    )
    tally = fuzz.fuzz(recipe, 0.15, tmp_path, random.Random(3))
    assert tally.kills.total() >= 2
    assert tally.passes >= 1
    assert tally.faults == []


def test_the_fuzz_sees_what_is_torn_and_what_is_other(toy: Toy) -> None:
    assert toy.run().returncode == 0
    recipe = fuzz.Recipe(toy.folder / "recipe.yaml", {}, toy.environment)
    assert list(fuzz.torn(recipe)) == []
    before = fuzz.files_of(recipe)
    assert len(before) == 7
    result = (toy.folder / "exp" / "01_shout" / "latest").resolve()
    (result / "words.txt").write_text("HELL")
    (what,) = fuzz.torn(recipe)
    assert what == f"01_shout/{result.name}: words.txt was changed"
    (result / "stage.json").unlink()
    assert list(fuzz.torn(recipe)) == [f"01_shout/{result.name} has no record"]
    assert toy.run("--set", "source.words=bye").returncode == 0
    changed = {name for name, sha in fuzz.files_of(recipe).items() if before[name] != sha}
    assert "00_source/words.txt" in changed
