"""Paths inside a report's folder, and picks spread over a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def wav_file(system: str, condition: str, utterance: str) -> str:
    """Path of a WAV file, relative to the report's folder."""
    return f"wavs/{system}/{condition or 'recording'}/{utterance}.wav"


def pick_evenly(items: Sequence[Item], count: int) -> list[Item]:
    """Pick `count` items, spread over the whole list."""
    if count >= len(items):
        return list(items)
    return [items[round(i * (len(items) - 1) / max(1, count - 1))] for i in range(count)]
