"""Packages that offer plugins: what a recipe does not name is never imported."""

from __future__ import annotations

from tests.faults.conftest import call, said
from tests.recipes.conftest import Toy

GROUPS = ("vocoders", "acoustic", "stages", "metrics")


def test_an_installed_plugin_that_nobody_names_is_not_imported(toy: Toy) -> None:
    plugin = toy.folder.parent / "plugin"
    mark = toy.folder / "imported.txt"
    (plugin / "uninvited.py").write_text(f"open({str(mark)!r}, 'w').close()\nraise SystemExit(9)\n")
    info = plugin / "uninvited-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: uninvited\nVersion: 1.0\n")
    points = "".join(f"[wavewright.{group}]\nguest = uninvited:guest\n" for group in GROUPS)
    (info / "entry_points.txt").write_text(points)
    assert said(call(toy, "list")).count("guest  (from uninvited)") == len(GROUPS)
    for command in ("run", "status", "verify", "clean"):
        assert call(toy, command, "recipe.yaml").returncode == 0
    assert len(toy.ran()) == 5
    assert not mark.exists()
    (toy.folder / "recipe.yaml").write_text(
        "recipe: guest\nabout: Invited.\nwork_dir: exp\nseed: 1\nmel: {preset: hifigan}\n"
        "stages: [guest]\n"
    )
    call(toy, "run", "recipe.yaml")
    assert mark.exists(), "naming it is what allows it"
