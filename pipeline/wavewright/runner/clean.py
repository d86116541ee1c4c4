"""Remove results that nothing uses any more."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from wavewright.runner.plan import Plan, Unit
from wavewright.runner.store import lock_unit, partial_folder, published_results

_SPENT = (".replaced-*", ".removed-*", ".seed-*", ".latest*.partial")


def clean(
    plan: Plan,
    keep: int,
    print_line: Callable[[str], None],
    *,
    unfinished: bool = False,
    dry: bool = False,
) -> None:
    """Remove old results of every unit, and what interrupted runs left that nobody can use.

    The result that `latest` names, and that of the present options, stay whatever `keep` is.

    Args:
        plan: plan of a recipe.
        keep: newest results of each unit that stay.
        print_line: prints a line to the user.
        unfinished: remove unfinished work under other options too, instead of only listing it.
        dry: print what would be removed, and remove nothing.

    Raises:
        Locked: another run is at work on a unit.
    """
    freed = 0
    for unit in plan.units:
        if not unit.home.is_dir():
            continue
        with lock_unit(unit):
            for path, what, spent in _find_removable(plan, unit, keep):
                goes = spent or unfinished
                size = _size(path)
                verb = ("would remove" if dry else "removed") if goes else "kept"
                hint = "" if goes else "; --unfinished removes it"
                print_line(f"{unit.label:<24} {verb} {path} ({size / 1e6:.1f} MB, {what}{hint})")
                if goes:
                    freed += size
                if goes and not dry:
                    _remove(path)
    print_line(f"{'would free' if dry else 'freed'} {freed / 1e6:.1f} MB")


def _find_removable(plan: Plan, unit: Unit, keep: int) -> Iterator[tuple[Path, str, bool]]:
    """Yield (path, description, certainly useless) of everything that may be removed."""
    present = plan.assess(unit)
    in_use = {unit.latest, Path(os.path.realpath(present.folder))}
    results = [folder for folder, _ in published_results(unit)]
    for folder in results[keep:]:
        if Path(os.path.realpath(folder)) not in in_use:
            yield folder, "an older result", True
    for pattern in _SPENT:
        for path in sorted(unit.home.glob(pattern)):
            yield path, "left by an interrupted run", True
    for path in sorted(unit.home.glob(".partial-*")):
        if path != partial_folder(present):
            yield path, "unfinished, under other options", False


def _size(path: Path) -> int:
    if path.is_symlink() or path.is_file():
        return path.lstat().st_size
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())


def _remove(path: Path) -> None:
    """Remove a result, renamed first, so that no partial result keeps its name."""
    if not path.is_dir() or path.is_symlink():
        path.unlink()
        return
    gone = path.with_name(f".removed-{path.name.lstrip('.')}")
    if gone != path:
        shutil.rmtree(gone, ignore_errors=True)
        os.rename(path, gone)
    shutil.rmtree(gone)
