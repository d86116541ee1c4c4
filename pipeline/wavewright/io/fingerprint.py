"""Digests of a stage's dependencies: code, libraries, external files."""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from wavewright.io.files import sha256_of, walk_files
from wavewright.io.progress import progress

_MEGABYTE = 10**6
_LONG = 10**9  # bytes from which reading shows its progress
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


def json_digest(value: Any) -> str:
    """sha256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def code_fingerprint(modules: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Fingerprint the code that modules run, from their source files, without importing them.

    Args:
        modules: dotted names; the project modules that they import are followed.

    Returns:
        sha256 by module, and major.minor version by library.
    """
    digests, outside = _follow_imports(frozenset(modules))
    libraries = {
        name: ".".join(_version(_LIBRARIES[name]).split(".")[:2])
        for name in sorted(outside & _LIBRARIES.keys())
    }
    return dict(sorted(digests.items())), libraries


@cache
def _follow_imports(modules: frozenset[str]) -> tuple[dict[str, str], frozenset[str]]:
    """Follow the imports of project modules.

    Returns:
        sha256 by project module, and the top-level names of everything else that is imported.
    """
    digests: dict[str, str] = {}
    outside: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in digests:
            continue
        path = _source_of(module)
        if path is None:
            continue
        content, imports = _read(path)
        digests[module] = content
        package = module.partition(".")[0]
        for name in imports:
            top = name.partition(".")[0]
            if name == "wavewright":
                continue  # it only holds names and the version
            if top in {package, "wavewright"}:
                waiting += [name, *_packages_of(name)]
            else:
                outside.add(top)
    return digests, frozenset(outside)


class PathFingerprints:
    """Content digests of files outside the recipe, cached by size, times and inode.

    A file is read again if its size, times or inode changed since the last look: an edit that keeps
    size and mtime shows in ctime, and a touch or a move changes no digest.

    Args:
        cache_file: file that caches digests; written only if its folder exists.
    """

    def __init__(self, cache_file: Path) -> None:
        self.cache_file = cache_file
        self.cache = _read_cache(cache_file)
        self.saved = dict(self.cache)

    def digest(self, path: Path) -> str:
        """Digest a file, or a folder's file names and contents; its location does not matter."""
        if path.is_file():
            files = {"": path.stat()}
        elif path.is_dir():
            files = dict(walk_files(path))
        else:
            return "missing"
        looks = json_digest(
            [[name, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino] for name, s in files.items()]
        )
        place = str(path.absolute())
        cached = self.cache.get(place)
        if cached is None or cached[0] != looks:
            self.cache[place] = [looks, _hash_contents(path, files)]
        self._keep()
        return self.cache[place][1]

    def _keep(self) -> None:
        if self.cache == self.saved or not self.cache_file.parent.is_dir():
            return
        scratch = self.cache_file.with_name(f"{self.cache_file.name}.{os.getpid()}.partial")
        with suppress(OSError):  # then the files are read again next time
            try:
                scratch.write_text(json.dumps(self.cache))
                os.replace(scratch, self.cache_file)
                self.saved = dict(self.cache)
            finally:
                scratch.unlink(missing_ok=True)


def _read_cache(cache_file: Path) -> dict[str, list[str]]:
    try:
        cache = dict(json.loads(cache_file.read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return {}
    return {
        path: pair
        for path, pair in cache.items()
        if isinstance(pair, list) and len(pair) == 2 and all(isinstance(d, str) for d in pair)
    }


def _hash_contents(path: Path, files: Mapping[str, os.stat_result]) -> str:
    total = sum(stat.st_size for stat in files.values())
    digests = []
    with progress(
        f"read {path.name}", total=total // _MEGABYTE, unit="MB", enabled=total > _LONG
    ) as bar:
        done = 0
        for name, stat in files.items():
            digests.append([name, sha256_of(path / name)])
            before, done = done, done + stat.st_size
            bar.advance(done // _MEGABYTE - before // _MEGABYTE)
    return json_digest(digests)


def _packages_of(module: str) -> list[str]:
    """Packages between the top one and a module, which run when it is imported."""
    parts = module.split(".")
    return [".".join(parts[:i]) for i in range(2, len(parts))]


@cache
def _source_of(module: str) -> Path | None:
    """Source file of a module, found without importing its parents."""
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
    """Yield all statements below a node, without descending into expressions."""
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
