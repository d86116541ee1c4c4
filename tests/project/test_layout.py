"""The house: how full a folder may be, which way imports run, which words are the field's."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("pipeline", "stages")
PACKAGE = ROOT / "pipeline" / "wavewright"

MOST_AT_THE_TOP = 32
MOST_IN_A_FOLDER = 26
MANY = {"vocoders", "metrics", "nn"}  # one file per system, metric and layer
MOST_LINES = 400
LONG = {"kernels/ops.py"}  # compiled together

#: First words of a docstring that answer a question nobody has asked yet.
RIDDLES = re.compile(
    r"(Of|By|Whom|Whose|The same|Until|Around|From|As|For|With|In|What|Where|How|Whether|That)\b"
)
#: Modules whose every public name is part of a contract and says its shapes and units.
CONTRACTS = ("models", "stage.py", "metrics/metric.py", "kernels/loop.py")

#: Names that were a private vocabulary: none may come back as a public name of its kind.
OLD_WORDS = {
    "module": """
        adversaries adversary averaged_scales averaging bad_steps beside cleaning
        comparisons compiling conditions contents digits drawing found given hearing
        initial journal kept level live mel_residual melstream places precision
        pronouncing raw reach reading recurrence reflected_residual saying sequential
        session speakers starting stopping stretching swift unconditional voice wav_steps
        words
    """,
    "class": """
        Average Beside Chain Drawing FastLoop Found Given Group Guard Heart Journal Judge
        Kept Optimisation Reach Running Said SequentialConfig SequentialVocoder Session
        Shell Speaker Spoken Start Undoing
    """,
    "function": """
        adopt aim apart beside costly cutting doubt doubtful drawn encoded explained few
        follow followed give give_gains hear heard heard_at heard_bits in_pieces in_words
        joined judge judged labelled_by learn learning_alone listen meet nearest noises
        optimisation own_context pronouncing quicken reason_told regrouped remember said
        say_folds say_live settle slower sounding speak start_training to_speech told
        told_apart took undoes_steps wider
    """,
    "attribute": """
        crop_samples float32_parts grid judged_by learning_alone loss_leap
        most_bad_steps own_context piece_frames predicts_spectra quick_in_pieces
        relaunches shown_utterances tells_likelihood told_apart trains undoes_steps
    """,
}


def modules() -> Iterator[tuple[str, Path]]:
    """Dotted name and path of every module of the two packages."""
    for source in SOURCES:
        root = ROOT / source
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            yield ".".join(parts).removesuffix(".__init__"), path


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "__pycache__")


def test_the_package_shows_its_plan_at_one_level() -> None:
    assert len(entries(PACKAGE)) <= MOST_AT_THE_TOP, entries(PACKAGE)


def test_no_folder_is_too_full() -> None:
    full = {
        path.relative_to(ROOT).as_posix(): len(entries(path))
        for source in SOURCES
        for path in (ROOT / source).rglob("*")
        if path.is_dir() and path.name not in MANY | {"__pycache__"} and path != PACKAGE
    }
    assert {folder: number for folder, number in full.items() if number > MOST_IN_A_FOLDER} == {}


def test_no_module_is_too_long() -> None:
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for _, path in modules()
        if (lines := path.read_text().count("\n")) > MOST_LINES
        and not path.as_posix().endswith(tuple(LONG))
    }
    assert long == {}


def imports_of(path: Path, known: set[str]) -> set[str]:
    """Modules of ours that a module imports, inside functions and for types too."""
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in known else node.module for name in full}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names & known


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected components of more than one module (Tarjan 1972)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in order:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], order[other])
        if lowest[name] == order[name]:
            component = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(component) > 1:
                components.append(sorted(component))

    for name in sorted(graph):
        if name not in order:
            visit(name)
    return components


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}
    assert circles(graph) == [["a", "b", "c"]]


def test_no_modules_import_each_other_in_a_circle() -> None:
    paths = dict(modules())
    # The public face imports for type checkers what everybody may import from it.
    graph = {
        name: imports_of(path, set(paths)) - {name, "wavewright"} if name != "wavewright" else set()
        for name, path in paths.items()
    }
    assert circles(graph) == []


def documented(path: Path) -> Iterator[tuple[str, str]]:
    """Place and docstring of a module and of everything in it that has one."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node)
            if text:
                line = getattr(node, "lineno", 1)
                yield f"{path.relative_to(ROOT).as_posix()}:{line}", text.splitlines()[0]


def test_docstrings_begin_with_a_statement() -> None:
    scripts = [path for folder in ("benchmarks", "docs") for path in (ROOT / folder).rglob("*.py")]
    riddles = [
        f"{place}: {line}"
        for path in [path for _, path in modules()] + scripts
        for place, line in documented(path)
        if RIDDLES.match(line)
    ]
    assert riddles == [], "\n".join(riddles)


def public_definitions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """Public functions, classes and methods of a module."""
    for node in tree_of(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for part in node.body:
                    if isinstance(part, ast.FunctionDef) and not part.name.startswith("_"):
                        yield f"{node.name}.{part.name}", part


@pytest.mark.parametrize("place", CONTRACTS)
def test_every_public_name_of_a_contract_is_documented(place: str) -> None:
    folder = PACKAGE / place
    paths = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder]
    bare = [
        f"{path.name}: {name}"
        for path in paths
        for name, node in public_definitions(path)
        if not ast.get_docstring(node) and not name.endswith(("_consistent", "setter"))
    ]
    assert bare == []


def public_names() -> Iterator[tuple[str, str, str]]:
    """Kind, name and place of every public name: modules, classes, functions, class attributes."""
    for dotted, path in modules():
        where = path.relative_to(ROOT).as_posix()
        yield "module", dotted.rpartition(".")[2], where
        for full, node in public_definitions(path):
            kind = "class" if isinstance(node, ast.ClassDef) else "function"
            yield kind, full.rpartition(".")[2], f"{where}:{node.lineno}"
            if isinstance(node, ast.ClassDef):
                for part in node.body:
                    if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                        yield "attribute", part.target.id, f"{where}:{part.lineno}"


def test_the_private_vocabulary_does_not_come_back() -> None:
    old = {kind: set(words.split()) for kind, words in OLD_WORDS.items()}
    back = [f"{where}: {kind} {name}" for kind, name, where in public_names() if name in old[kind]]
    assert back == [], "\n".join(back)
