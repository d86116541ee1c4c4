"""Weights of a Tacotron 2 for speakers that another one does not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor

EMBEDDING = "speaker_embedding.weight"


def with_speakers(
    state: Mapping[str, Tensor],
    known: Sequence[str],
    fresh: Mapping[str, Tensor],
    speakers: Sequence[str],
) -> tuple[dict[str, Tensor], list[str]]:
    """A state that holds what another one knows, ready for a network with the given speakers.

    What a speaker adds to the encoded text stands in the last columns of the maps that read it.
    Without speakers these columns are missing: they become zero, so that every speaker starts as
    the one voice there was.

    Args:
        state: of the other network.
        known: its speakers; empty for one voice.
        fresh: state of the network to fill.
        speakers: its speakers.

    Returns:
        The state, and what is new in it: speakers, and weights with new columns.
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
