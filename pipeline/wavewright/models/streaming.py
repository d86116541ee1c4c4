"""Speaking piece by piece, so that the pieces join to the whole.

A window of an utterance holds, beside the frames that are to be spoken, those that their samples
depend on. Where a network pads at a window's ends, it does so as at the utterance's, and what that
spoils is cut away. A stream does the same with every stage of a network: each speaks again only
what lies within its own reach, a fraction of the whole network's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from wavewright.nn.noise import NoiseSpec
from wavewright.nn.receptive_field import ReceptiveField, Span


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


def windows(frames: int, size: int, reach: ReceptiveField, frame_multiple: int) -> Iterator[Window]:
    """Windows that speak so many frames, `size` at a time.

    Args:
        frames: of the utterance.
        size: frames that a window speaks.
        reach: of the network.
        frame_multiple: windows begin at multiples of it.
    """
    for start in range(0, frames, size):
        stop = min(start + size, frames)
        first = max(0, start - reach.before) // frame_multiple * frame_multiple
        yield Window(first, min(frames, stop + reach.after), start, stop)


def rechunk(mel_chunks: Iterable[Tensor], frames: int) -> Iterator[Tensor]:
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


@dataclass(frozen=True)
class StreamBlock:
    """A part of a network between two signals over time.

    Attributes:
        run: (B, channels, positions) -> (B, other channels, positions * rate), whatever their
            number; padding at both ends as the network's.
        input_span: positions of the first signal that positions of the second depend on.
        rate: positions of the second signal for one of the first.
        frame_multiple: what is given begins at a multiple of it.
    """

    run: Callable[[Tensor], Tensor]
    input_span: Callable[[Span], Span]
    rate: int = 1
    frame_multiple: int = 1


class BlockState:
    """A stage in the midst of an utterance: keeps what later positions still depend on."""

    def __init__(self, stage: StreamBlock) -> None:
        self.stage = stage
        self.latest = [stage.input_span(Span(place, place)).last for place in range(stage.rate)]
        self.held: Tensor | None = None
        self.first = self.arrived = self.done = 0

    def __call__(self, x: Tensor | None, *, ended: bool) -> Tensor | None:
        """(B, channels, positions) that follow -> all that can be said now; None: nothing yet."""
        if x is not None and x.shape[-1]:
            self.held = x if self.held is None else torch.cat([self.held, x], dim=-1)
            self.arrived += x.shape[-1]
        stop = self._end() if not ended else self.arrived * self.stage.rate
        if self.held is None or stop <= self.done:
            return None
        start = self.first * self.stage.rate
        said = self.stage.run(self.held)[..., self.done - start : stop - start]
        self.done = stop
        self._let_go()
        return said

    def _end(self) -> int:
        """Before which everything depends on nothing that has not arrived."""
        rate = self.stage.rate
        ends = [
            (self.arrived - 1 - latest) * rate + place + 1
            for place, latest in enumerate(self.latest)
        ]
        return min(max(ends), self.arrived * rate)

    def _let_go(self) -> None:
        assert self.held is not None
        needed = min(self.stage.input_span(Span(self.done, self.done)).first, self.arrived)
        first = max(self.first, needed // self.stage.frame_multiple * self.stage.frame_multiple)
        self.held, self.first = self.held[..., first - self.first :], first


class BlockPipeline:
    """All stages of a network in the midst of an utterance."""

    def __init__(self, stages: Iterable[StreamBlock]) -> None:
        self.parts = [BlockState(stage) for stage in stages]

    @property
    def held(self) -> Tensor | None:
        """What came in last, as much of it as the first stage keeps."""
        return self.parts[0].held

    def __call__(self, x: Tensor, *, ended: bool = False) -> Tensor | None:
        """(B, channels, frames) that follow -> (B, 1, samples) that can be said now, if any."""
        said: Tensor | None = x
        for part in self.parts:
            said = part(said, ended=ended)
        return said


def concat_noise(mel: Tensor, noise: Sequence[Tensor], kinds: Sequence[NoiseSpec]) -> Tensor:
    """(B, channels, frames): the bands of every frame, and the noise that belongs to it."""
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
    """What `concat_noise` put together: the mel, and each noise.

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
