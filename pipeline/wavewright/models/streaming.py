"""Chunked synthesis whose chunks join to the whole.

A window of an utterance holds the frames to synthesize and those that their samples depend on. A
network pads the ends of a window as it pads those of an utterance; what this changes is cut off. A
stream does the same with every block of a network: each recomputes only its own receptive
field, a fraction of the whole network's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from wavewright.nn.noise import NoiseSpec
from wavewright.nn.receptive_field import ReceptiveField, Span


class Window(NamedTuple):
    """Frames of an utterance.

    Attributes:
        first, last: half-open range of the input frames.
        start, stop: half-open range of the frames to synthesize.
    """

    first: int
    last: int
    start: int
    stop: int

    def cut(self, wav: Tensor, hop_length: int) -> Tensor:
        """Samples of the frames to synthesize, out of (B, samples) of all input frames."""
        return wav[
            :, (self.start - self.first) * hop_length : (self.stop - self.first) * hop_length
        ]


def windows(frames: int, size: int, field: ReceptiveField, frame_multiple: int) -> Iterator[Window]:
    """Windows that cover an utterance, `size` frames at a time.

    Args:
        frames: length of the utterance.
        size: frames that a window synthesizes.
        field: receptive field of the network.
        frame_multiple: windows begin at multiples of it.
    """
    for start in range(0, frames, size):
        stop = min(start + size, frames)
        first = max(0, start - field.before) // frame_multiple * frame_multiple
        yield Window(first, min(frames, stop + field.after), start, stop)


def rechunk(mel_chunks: Iterable[Tensor], frames: int) -> Iterator[Tensor]:
    """Merge chunks of a mel into chunks of at least so many frames, except the first and the last.

    The first chunk is passed on at once, for a low latency. A stream recomputes the frames around
    every chunk, so that fewer and longer chunks are less work.
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


@dataclass(frozen=True)
class StreamBlock:
    """Part of a network between two signals over time.

    Attributes:
        run: (B, channels, positions) -> (B, other channels, positions * rate), whatever their
            number; padding at both ends as the network's.
        input_span: positions of the first signal that positions of the second depend on.
        rate: positions of the second signal for one of the first.
        frame_multiple: the input begins at a multiple of it.
    """

    run: Callable[[Tensor], Tensor]
    input_span: Callable[[Span], Span]
    rate: int = 1
    frame_multiple: int = 1


class BlockState:
    """State of a block in a stream: stores the input that later positions still depend on."""

    def __init__(self, block: StreamBlock) -> None:
        self.block = block
        self.latest = [block.input_span(Span(place, place)).last for place in range(block.rate)]
        self.held: Tensor | None = None
        self.first = self.arrived = self.done = 0

    def __call__(self, x: Tensor | None, *, ended: bool) -> Tensor | None:
        """Next input (B, channels, positions) -> output that is complete now; None if none is."""
        if x is not None and x.shape[-1]:
            self.held = x if self.held is None else torch.cat([self.held, x], dim=-1)
            self.arrived += x.shape[-1]
        stop = self._complete_end() if not ended else self.arrived * self.block.rate
        if self.held is None or stop <= self.done:
            return None
        start = self.first * self.block.rate
        output = self.block.run(self.held)[..., self.done - start : stop - start]
        self.done = stop
        self._drop_past()
        return output

    def _complete_end(self) -> int:
        """Position before which all output depends on input that has arrived."""
        rate = self.block.rate
        ends = [
            (self.arrived - 1 - latest) * rate + place + 1
            for place, latest in enumerate(self.latest)
        ]
        return min(max(ends), self.arrived * rate)

    def _drop_past(self) -> None:
        assert self.held is not None
        needed = min(self.block.input_span(Span(self.done, self.done)).first, self.arrived)
        first = max(self.first, needed // self.block.frame_multiple * self.block.frame_multiple)
        self.held, self.first = self.held[..., first - self.first :], first


class StreamPipeline(Protocol):
    """Everything between the frames and the samples of one stream."""

    @property
    def held(self) -> Tensor | None:
        """Latest input that is still needed; None before the first."""

    def __call__(self, x: Tensor, *, ended: bool = False) -> Tensor | None:
        """(B, channels, frames) that follow -> (B, 1, samples) that are complete now, if any."""


class BlockPipeline:
    """All blocks of a network in a stream."""

    def __init__(self, blocks: Iterable[StreamBlock]) -> None:
        self.parts = [BlockState(block) for block in blocks]

    @property
    def held(self) -> Tensor | None:
        """Latest input, as much as the first block stores."""
        return self.parts[0].held

    def __call__(self, x: Tensor, *, ended: bool = False) -> Tensor | None:
        """(B, channels, frames) that follow -> (B, 1, samples) that are complete now, if any."""
        output: Tensor | None = x
        for part in self.parts:
            output = part(output, ended=ended)
        return output


def concat_noise(mel: Tensor, noise: Sequence[Tensor], kinds: Sequence[NoiseSpec]) -> Tensor:
    """Stack the bands of every frame and its noise: (B, channels, frames)."""
    frames = mel.shape[-1]
    rows = [mel]
    for numbers, kind in zip(noise, kinds, strict=True):
        if kind.frames:
            each = torch.unflatten(numbers, -1, (frames, -1)).movedim(-2, -1).flatten(1, -2)
        else:
            each = numbers.flatten(1)[..., None].expand(-1, -1, frames)
        rows.append(each)
    return torch.cat(rows, dim=1)


def split_noise(both: Tensor, bands: int, kinds: Sequence[NoiseSpec]) -> tuple[Tensor, ...]:
    """Undo `concat_noise`: the mel, and each noise.

    Args:
        both: (B, channels, frames).
        bands: of the mel.
        kinds: of one frame.
    """
    sizes = [prod(kind.shape) for kind in kinds]
    mel, *rows = torch.split(both, [bands, *sizes], dim=1)
    noise = []
    for numbers, kind in zip(rows, kinds, strict=True):
        if kind.frames:
            shaped = torch.unflatten(numbers, 1, kind.shape)
            noise.append(shaped.movedim(-1, -2).flatten(-2))
        else:
            noise.append(numbers[..., 0].reshape(-1, *kind.shape))
    return mel, *noise
