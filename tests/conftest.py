"""Fixtures for every test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.fork_server import ForkServer
    from tests.support.official import FixtureFolder

# One thread each, before torch is imported: tests run side by side on small machines.
for _library in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "Agg"

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files that hold slow tests first, so that the workers end at about the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of corpora and official outputs that development machines have."""
    folder = Path(os.environ.get("WAVEWRIGHT_SHARED") or ROOT.parent / "shared").absolute()
    if not (folder / "fixtures").is_dir():
        pytest.skip(f"no shared material at {folder} (WAVEWRIGHT_SHARED says where to look)")
    return folder


@pytest.fixture(scope="session")
def fixture_folder(shared: Path) -> FixtureFolder:
    """`fixture_folder("hifigan-v2")` -> that official run (see tests/support/official.py)."""
    from tests.support.official import load_official

    return lambda name: load_official(shared / "fixtures" / name)


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the source tree."""
    return ROOT


@pytest.fixture(autouse=True)
def _blank_plots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots are built but not rendered, which takes a second each, except if marked `renders`.

    Every PNG that matplotlib would write in this process is one white pixel.
    """
    if request.node.get_closest_marker("renders"):
        return
    from matplotlib.figure import Figure
    from matplotlib.image import imsave

    def save_white_pixel(_: Figure, path: Any, **options: Any) -> None:
        imsave(path, [[[1.0, 1.0, 1.0]]], format="png", metadata=options.get("metadata"))

    monkeypatch.setattr(Figure, "savefig", save_white_pixel)


@pytest.fixture(scope="session")
def source_environment() -> dict[str, str]:
    """The environment of a child Python that runs from the source roots."""
    roots = os.pathsep.join(str(ROOT / name) for name in ("pipeline", "stages"))
    return {**os.environ, "PYTHONPATH": roots}


@pytest.fixture(scope="session")
def fork_server(source_environment: dict[str, str]) -> Iterator[ForkServer]:
    """Server of quick `wavewright` commands."""
    from tests.support.fork_server import ForkServer

    roots = os.pathsep.join([source_environment["PYTHONPATH"], str(ROOT)])
    server = ForkServer({**source_environment, "PYTHONPATH": roots})
    yield server
    server.close()
