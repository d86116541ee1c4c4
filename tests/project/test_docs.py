"""What the docs list is what there is."""

from __future__ import annotations

import re
import runpy
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


def test_every_benchmark_stands_in_the_index_with_a_page() -> None:
    folder = DOCS.parent / "benchmarks"
    text = (folder / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)\.py` \| .+ \| \[(\w+\.md)\]\(\2\) \|$", text, flags=re.MULTILINE)
    assert {script for script, _ in rows} == {path.stem for path in folder.glob("*.py")}
    pages = {path.name for path in folder.glob("*.md")} - {"README.md"}
    assert {page for _, page in rows} == pages


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


def test_the_page_of_options_is_what_the_stages_say() -> None:
    namespace = runpy.run_path(str(DOCS / "write_options.py"))
    written = (DOCS / "options.md").read_text("utf-8")
    assert written == namespace["page"](), "run python docs/write_options.py"
