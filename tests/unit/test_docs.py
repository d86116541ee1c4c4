"""What the docs list is what there is."""

from __future__ import annotations

import re
from pathlib import Path

from wavewright.evaluation import METRICS, metric_kind
from wavewright.registry import plugins
from wavewright.verbalisation.english import RULES

DOCS = Path(__file__).parents[2] / "docs"


def test_every_metric_stands_in_the_table_with_its_recipe() -> None:
    text = (DOCS / "evaluation.md").read_text("utf-8")
    found = {name: (star, recipe) for name, star, recipe in re.findall(
        r"^\| `(\w+)`( \*)? \| `([^`]+)` \|", text, flags=re.MULTILINE)}  # fmt: skip
    assert set(found) == set(plugins("metrics"))
    for name, (star, recipe) in found.items():
        assert recipe == metric_kind(name)().id
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
