"""Digests of what a stage's result depends on: its code, the libraries, files outside."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from wavewright.files import files_below

# Import names of libraries whose version can change what a stage writes, and their packages.
_LIBRARIES = {
    "espeakng_loader": "espeakng-loader",
    "librosa": "librosa",
    "numpy": "numpy",
    "phonemizer": "phonemizer-fork",
    "scipy": "scipy",
    "soundfile": "soundfile",
    "soxr": "soxr",
    "tgt": "tgt",
    "torch": "torch",
}


def digest(value: Any) -> str:
    """sha256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def code_parts(modules: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """What code these modules run, read from their files without importing them.

    Args:
        modules: dotted names; the project modules that they import are followed.

    Returns:
        sha256 by module, and major.minor version by library.
    """
    seen: dict[str, str] = {}
    outside: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        path = _source_of(module)
        if path is None:
            continue
        content, imports = _read(path)
        seen[module] = content
        package = module.partition(".")[0]
        for name in imports:
            top = name.partition(".")[0]
            if name == "wavewright":
                continue  # it only holds names and the version
            if top in {package, "wavewright"}:
                waiting += [name, *_packages_of(name)]
            else:
                outside.add(top)
    libraries = {
        name: ".".join(_version(_LIBRARIES[name]).split(".")[:2])
        for name in sorted(outside & _LIBRARIES.keys())
    }
    return dict(sorted(seen.items())), libraries


def path_digest(path: Path) -> str:
    """Digest of a file's or folder's listing: names, sizes and times, not where it lies."""
    if path.is_file():
        stat = path.stat()
        return digest([stat.st_size, stat.st_mtime_ns])
    if not path.is_dir():
        return "missing"
    listing = files_below(path)
    return digest([[name, found.st_size, found.st_mtime_ns] for name, found in listing])


def _packages_of(module: str) -> list[str]:
    """The packages between the top one and a module; importing it runs them."""
    parts = module.split(".")
    return [".".join(parts[:i]) for i in range(2, len(parts))]


@cache
def _source_of(module: str) -> Path | None:
    """File of a module. Only its top package is looked up: more would import its parents."""
    top, *rest = module.split(".")
    spec = find_spec(top)
    if spec is None or spec.origin is None:
        return None
    if not rest:
        return Path(spec.origin)
    path = Path(spec.origin).parent.joinpath(*rest)
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


@cache
def _read(path: Path) -> tuple[str, frozenset[str]]:
    """sha256 of a source file, and every module name that it may import.

    A package's digest includes the templates and other data files beside its `__init__.py`.
    """
    source = path.read_bytes()
    data = sorted(path.parent.glob("[!._]*.*")) if path.name == "__init__.py" else []
    data = [file for file in data if file.is_file() and file.suffix not in (".py", ".pyc")]
    content = [source, *(file.read_bytes() for file in data)]
    names: set[str] = set()
    for node in _statements(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return hashlib.sha256(b"\0".join(content)).hexdigest(), frozenset(names)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements below a node: imports are among them, and expressions are most of a file."""
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        for inner in getattr(node, block, ()):
            yield inner
            yield from _statements(inner)


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
