"""What the docs list is what there is."""

from __future__ import annotations

import re
from pathlib import Path

from wavewright.evaluation.measure import METRICS, metric_class
from wavewright.registry import plugins
from wavewright.text.verbalisation.english import RULES

DOCS = Path(__file__).parents[2] / "docs"


def test_every_metric_stands_in_the_table_with_its_recipe() -> None:
    text = (DOCS / "evaluation.md").read_text("utf-8")
    found = {name: (star, recipe) for name, star, recipe in re.findall(
        r"^\| `(\w+)`( \*)? \| `([^`]+)` \|", text, flags=re.MULTILINE)}  # fmt: skip
    assert set(found) == set(plugins("metrics"))
    for name, (star, recipe) in found.items():
        assert recipe == metric_class(name)().id
        assert bool(star) == (name in METRICS), name


def test_every_text_rule_stands_in_the_table_with_its_examples() -> None:
    text = (DOCS / "text.md").read_text("utf-8")
    rows = [
        f"| {'' if number else rule.name} | `{written}` | {spoken} |"
        for rule in RULES
        for number, (written, spoken) in enumerate(rule.examples)
    ]
    expected = "\n".join(["| rule | written | spoken |", "|---|---|---|", *rows, ""])
    assert expected in text, f"docs/text.md needs this table:\n{expected}"


def test_every_fault_names_tests_that_there_are() -> None:
    text = (DOCS / "reliability.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \|.+\|.+\| (.+) \|$", text, flags=re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 45))
    for number, tests in rows:
        named = re.findall(r"`((?:tests/)?[\w/.]*)(?:::(\w+)(?:\[\w+\])?)?`", tests)
        assert named, number
        place = ""
        for path, name in named:
            place = path or place
            assert (DOCS.parent / place).exists(), f"{number}: {place}"
            if name:
                assert f"def {name}(" in (DOCS.parent / place).read_text(), f"{number}: {name}"
