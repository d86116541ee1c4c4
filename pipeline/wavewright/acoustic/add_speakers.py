"""Initialization of a multi-speaker Tacotron 2 from a model with other speakers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor

EMBEDDING = "speaker_embedding.weight"


def add_speakers(
    state: Mapping[str, Tensor],
    known: Sequence[str],
    fresh: Mapping[str, Tensor],
    speakers: Sequence[str],
) -> tuple[dict[str, Tensor], list[str]]:
    """Adapt another network's state dict to a network with the given speakers.

    The speaker embedding is read by the last columns of the layers after the encoder. A
    single-speaker network lacks these columns: they become zero, so that every speaker starts as
    the one there was.

    Args:
        state: state dict of the other network.
        known: its speakers; empty for a single speaker.
        fresh: state dict of the new network.
        speakers: speakers of the new network.

    Returns:
        The adapted state dict, and the names of what is new: speakers, and weights with new
        columns.
    """
    filled, new = dict(state), []
    rows = fresh[EMBEDDING].clone()
    for number, name in enumerate(speakers):
        if name in known and state[EMBEDDING].shape[1] == rows.shape[1]:
            rows[number] = state[EMBEDDING][known.index(name)]
        else:
            new.append(f"speaker '{name}'")
    if not known:
        for key, value in state.items():
            columns = fresh[key].shape[-1] - value.shape[-1] if key in fresh and value.ndim else 0
            if columns == rows.shape[1]:
                filled[key] = F.pad(value, (0, columns))
                new.append(f"{columns} columns of {key}")
    return filled | {EMBEDDING: rows}, new
