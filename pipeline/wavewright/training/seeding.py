"""Seeds of all random generators, set anew at every training step."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_everything(seed: int, step: int, rank: int = 0) -> None:
    """Seed torch, numpy and random for one step of one process."""
    mixed = int(
        np.random.SeedSequence([seed, step, *([rank] if rank else [])]).generate_state(1)[0]
    )
    torch.manual_seed(mixed)
    np.random.seed(mixed)
    random.seed(mixed)
