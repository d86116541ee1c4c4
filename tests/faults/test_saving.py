"""A kill at any moment of saving leaves a checkpoint that loads, and a training that goes on."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support import tiny
from tests.training.test_loop import same
from wavewright.checkpoints import checkpoint
from wavewright.checkpoints.checkpoint import (
    best_checkpoint,
    find_damage,
    latest_checkpoint,
    load_training,
    mark_best,
    prune,
    save_checkpoint,
)
from wavewright.io import files

MOMENTS = {
    checkpoint: ("write_weights", "sha256_of", "fsync_path"),
    files: ("fsync_path",),
    os: ("rename", "replace"),
    shutil: ("rmtree",),
    torch: ("save",),
}


def kill_at(moment: int) -> Callable[[], None]:
    """Make this process end itself just before, or just after, the n-th thing that saving does."""
    seen = 0

    def pass_by() -> None:
        nonlocal seen
        seen += 1
        if seen == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            pass_by()
            result = function(*args, **kwargs)
            pass_by()
            return result

        return called

    for module, names in MOMENTS.items():
        for name in names:
            setattr(module, name, around(getattr(module, name)))
    return pass_by


def in_child(work: Callable[[], None], moment: int) -> bool:
    """Do it in a forked process that is killed at a moment; whether it came to its end."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            kill_at(moment)
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0
    return True


def state(step: int) -> dict[str, Any]:
    return {"step": step, "weights": torch.full((100,), float(step))}


def save(run: Path, step: int, better: bool) -> None:
    """Save as the loop does."""
    save_checkpoint(run, step, tiny.hifigan(), state(step))
    prune(run, keep=1)
    if better:
        mark_best(run, step, "mel_l1", 1 / step)
        prune(run, keep=1)


@pytest.mark.parametrize("better", [False, True])
def test_a_kill_at_any_moment_of_saving_leaves_the_checkpoint_before_or_after(
    tmp_path: Path, better: bool
) -> None:
    """Between writing, hashing, fsync and rename, and while the old one is removed."""
    moment, ended, steps = 0, False, set()
    while not ended:
        moment += 1
        run = tmp_path / str(moment)
        save(run, 1, better=False)
        ended = in_child(lambda run=run: save(run, 2, better), moment)  # type: ignore[misc]
        newest = latest_checkpoint(run)
        assert newest is not None
        step = load_training(newest)["step"]
        assert same(load_training(newest), state(step))
        steps.add(step)
        best = best_checkpoint(run)
        assert best is None or find_damage(best) is None
        save(run, 3, better)
        assert [path.name for path in run.iterdir() if path.name.startswith(".")] == []
        assert latest_checkpoint(run) == run / "step-00000003"
        shutil.rmtree(run)
    assert steps == {1, 2}
    assert moment > 20, "each of these moments was tried"


def test_what_is_published_was_put_on_the_disk_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file and their folder, then the rename, then the folder that it happened in."""
    done: list[tuple[str, str]] = []
    sync, rename = files.fsync_path, os.rename

    def noted_sync(path: Path) -> None:
        done.append(("sync", Path(path).name))
        sync(path)

    def noted_rename(source: Path, target: Path) -> None:
        done.append(("rename", Path(target).name))
        rename(source, target)

    monkeypatch.setattr(checkpoint, "fsync_path", noted_sync)
    monkeypatch.setattr(os, "rename", noted_rename)
    folder = save_checkpoint(tmp_path, 1, tiny.hifigan(), state(1))
    renamed = done.index(("rename", folder.name))
    written = {name for what, name in done[:renamed] if what == "sync"}
    assert written == {path.name for path in folder.iterdir()} | {".step-00000001.partial"}
    assert done[renamed + 1 :] == [("sync", tmp_path.name)]
