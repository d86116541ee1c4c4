"""A real training on tones by the processes of a group, one of which goes wrong once.

python -m tests.faults.learners FOLDER FAULT STEP
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch

from tests.faults.marchers import go_wrong
from tests.support import tiny
from wavewright.data.shards import Shards
from wavewright.training.crops import CropData
from wavewright.training.loop import train
from wavewright.training.options import TrainingOptions


class Faulty:
    """Data at one step of which a process goes wrong, the first time that it comes there."""

    def __init__(self, data: CropData, mark: Path, fault: str, at: int) -> None:
        self.data, self.mark, self.fault, self.at = data, mark, fault, at
        self.batch_size = data.batch_size

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, step: int, share: int = 0, shares: int = 1) -> Any:
        """Batch of the data, or none."""
        due = os.environ["RANK"] == "1" and step == self.at and shares > 1
        if self.fault and due and not self.mark.exists():
            self.mark.touch()
            go_wrong(self.fault)
        return self.data.batch(step, share, shares)


def main() -> None:
    """Train ten steps."""
    folder, fault, at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    torch.set_num_threads(1)
    audio, mels = Shards(folder / "audio"), Shards(folder / "mels")
    data = CropData(audio, mels, tiny.IDS, segment_length=512, batch_size=4, seed=3)
    train(
        tiny.hifigan(adversary_start=2),
        Faulty(data, folder / "mark", fault, at),
        run=folder / "run",
        options=TrainingOptions(
            max_steps=10, seed=3, checkpoint_every=3, log_every=1, device="cpu"
        ),
    )


if __name__ == "__main__":
    main()
