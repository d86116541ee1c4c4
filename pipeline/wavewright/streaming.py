"""Cutting an utterance into windows that overlap, so that what is said of them joins to the whole.

A window holds, beside the frames that are to be spoken, those that their samples depend on. Where a
network pads at a window's ends, it does so as at the utterance's, and what that spoils is cut away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from wavewright.nn.noise import Drawing
from wavewright.nn.reach import Reach


class Window(NamedTuple):
    """Frames of an utterance.

    Attributes:
        first, last: from the first that is given to before the last.
        start, stop: from the first that is spoken to before the last.
    """

    first: int
    last: int
    start: int
    stop: int

    def spoken(self, wav: Tensor, hop_length: int) -> Tensor:
        """What is said of the frames spoken, in (B, samples) of all that are given."""
        return wav[
            :, (self.start - self.first) * hop_length : (self.stop - self.first) * hop_length
        ]


def windows(frames: int, size: int, reach: Reach, grid: int) -> Iterator[Window]:
    """Windows that speak so many frames, `size` at a time.

    Args:
        frames: of the utterance.
        size: frames that a window speaks.
        reach: of the network.
        grid: windows begin at multiples of it.
    """
    for start in range(0, frames, size):
        stop = min(start + size, frames)
        first = max(0, start - reach.before) // grid * grid
        yield Window(first, min(frames, stop + reach.after), start, stop)


def regrouped(mel_chunks: Iterable[Tensor], frames: int) -> Iterator[Tensor]:
    """The same mel in chunks of at least so many frames, but for the first and the last.

    The first comes as it is, so that the first sound does not wait. A stream speaks the frames
    around a chunk again, so that fewer and longer chunks are less work.
    """
    waiting: list[Tensor] = []
    first = True
    for chunk in mel_chunks:
        waiting.append(chunk)
        if first or sum(mel.shape[-1] for mel in waiting) >= frames:
            first = False
            yield torch.cat(waiting, dim=-1)
            waiting = []
    if waiting:
        yield torch.cat(waiting, dim=-1)


class Arriving:
    """Frames of an utterance, kept until all that depends on them has been spoken.

    Args:
        reach: of the network.
        grid: windows begin at multiples of it.
        noises: of as many items as the mels have, for each of their frames.
    """

    def __init__(self, reach: Reach, grid: int, noises: Sequence[Drawing]) -> None:
        self.reach, self.grid, self.noises = reach, grid, noises
        self.mel: Tensor | None = None
        self.drawn: list[Tensor] = []
        self.first = self.done = self.arrived = 0

    def add(self, mel: Tensor) -> None:
        """Take (B, n_mels, frames) that follow those before, and draw noise for them."""
        frames = mel.shape[-1]
        fresh = [noise.draw(frames).to(mel.device, non_blocking=True) for noise in self.noises]
        if self.mel is None:
            self.mel, self.drawn = mel, fresh
        else:
            self.mel = torch.cat([self.mel, mel], dim=-1)
            for place, noise in enumerate(self.noises):
                if noise.noise.frames:
                    self.drawn[place] = torch.cat([self.drawn[place], fresh[place]], dim=-1)
        self.arrived += frames

    def ready(self, *, ended: bool = False) -> Window | None:
        """The frames that can be spoken now; all that are left once the utterance has ended."""
        stop = self.arrived if ended else self.arrived - self.reach.after
        if stop <= self.done:
            return None
        return Window(self.first, self.arrived, self.done, stop)

    def spoke(self, window: Window) -> None:
        """Let go of what nothing depends on any more."""
        assert self.mel is not None
        self.done = window.stop
        first = max(0, self.done - self.reach.before) // self.grid * self.grid
        gone, self.first = first - self.first, first
        self.mel = self.mel[..., gone:]
        for place, noise in enumerate(self.noises):
            if noise.noise.frames:
                self.drawn[place] = self.drawn[place][..., gone * noise.shape[-1] :]
