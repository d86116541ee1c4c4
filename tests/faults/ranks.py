"""Trainings by two processes over gloo, forked from one that has loaded torch already."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tests.support import tiny

_STARTS = multiprocessing.get_context("forkserver")
_STARTS.set_forkserver_preload(
    [
        "pandas",
        "pyarrow.dataset",
        "pyarrow.parquet",
        "tests.support.tiny",
        "torch",
        "torch._dynamo",
        "torch.utils.tensorboard",
        "wavewright.training.crops",
        "wavewright.training.loop",
    ]
)


class PoisonedShare:
    """Data of which one process's share is no number at one step."""

    def __init__(self, data: Any, at: int, poisoned: int) -> None:
        self.data, self.at, self.poisoned = data, at, poisoned
        self.batch_size = data.batch_size

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, step: int, share: int = 0, shares: int = 1) -> Any:
        """Batch of the data, or a bad one."""
        batch = self.data.batch(step, share, shares)
        if step == self.at and share == self.poisoned and shares > 1:
            batch.wav[:] = float("nan")
        return batch


def learn(rank: int, folder: Path, run: Path, poison: tuple[int, int] | None, options: Any) -> None:
    """Work of each of the two processes."""
    import torch

    from wavewright.data.shards import Shards
    from wavewright.training.crops import CropData
    from wavewright.training.loop import train
    from wavewright.training.options import TrainingOptions

    torch.set_num_threads(1)
    meeting = str(run.parent / f"meeting-{run.name}-{options['max_steps']}")
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", WAVEWRIGHT_MEETING=meeting)
    audio, mels = Shards(folder / "audio"), Shards(folder / "mels")
    data: Any = CropData(audio, mels, tiny.IDS, segment_length=512, batch_size=2, seed=3)
    if poison is not None:
        data = PoisonedShare(data, *poison)
    settings = {"seed": 3, "checkpoint_every": 100, "log_every": 1, "device": "cpu", **options}
    train(tiny.hifigan(adversary_start=2), data, run=run, options=TrainingOptions(**settings))


def advance(rank: int, folder: Path, port: int, steps: int) -> None:
    """Take steps as one of two processes that torchrun started; write what came out."""
    import torch

    from wavewright.data.shards import Shards
    from wavewright.training.crops import CropData
    from wavewright.training.distributed import join_world
    from wavewright.training.state import TrainState

    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    cpu = torch.device("cpu")
    audio, mels = Shards(folder / "audio"), Shards(folder / "mels")
    data = CropData(audio, mels, tiny.IDS, segment_length=512, batch_size=4, seed=3)
    with join_world(cpu) as world:
        state = TrainState(tiny.hifigan(), len(data), cpu, 3, world=world)
        losses = []
        for step in range(steps):
            logs = state.advance(data.batch(step, world.rank, world.size))
            losses.append({name: float(value) for name, value in world.mean(logs).items()})
        weights = torch.cat([p.detach().flatten() for p in state.model.parameters()])
        text = json.dumps({"losses": losses, "weights": weights.double().sum().item()})
        (folder / f"rank{rank}.json").write_text(text)


def advance_together(folder: Path, steps: int) -> list[int | None]:
    """Take steps in two processes as torchrun starts them; their exit codes."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return _join([_STARTS.Process(target=advance, args=(i, folder, port, steps)) for i in (0, 1)])


def together(
    folder: Path, run: Path, *, poison: tuple[int, int] | None = None, **options: Any
) -> list[int | None]:
    """Train in two processes; their exit codes."""
    arguments = (folder, run, poison, options)
    return _join([_STARTS.Process(target=learn, args=(i, *arguments)) for i in (0, 1)])


def _join(ranks: list[ForkServerProcess]) -> list[int | None]:
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(120)
    return [rank.exitcode for rank in ranks]
