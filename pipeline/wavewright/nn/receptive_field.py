"""What a sample hears: the positions of a network's input that some of its output depends on.

Walked from the output backwards, through the kernels, dilations, strides and paddings of the layers
there are, in whole numbers, so that nothing is lost by rounding on the way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol, runtime_checkable

from torch import nn

from wavewright.nn.channels_last import ChannelsLastConv


class ReceptiveField(NamedTuple):
    """Frames that a sample depends on beside its own.

    Attributes:
        before: how many earlier ones.
        after: how many later ones, which a stream waits for.
    """

    before: int
    after: int


class Span(NamedTuple):
    """Positions of a signal from `first` to `last`, both of them included; 0 is its beginning."""

    first: int
    last: int

    def expand(self, before: int, after: int) -> Span:
        """With positions before and after; negative numbers take some away."""
        return Span(self.first - before, self.last + after)

    def union(self, other: Span) -> Span:
        """From the first of both to the last."""
        return Span(min(self.first, other.first), max(self.last, other.last))

    def to_frames(self, rate: int) -> Span:
        """Blocks of `rate` positions that these lie in."""
        return Span(self.first // rate, self.last // rate)

    def to_samples(self, rate: int) -> Span:
        """Positions of blocks of `rate` each."""
        return Span(self.first * rate, self.last * rate + rate - 1)


@runtime_checkable
class HasInputSpan(Protocol):
    """A module that knows what it hears."""

    def input_span(self, span: Span) -> Span:
        """Positions of its input that positions of its output depend on."""


def input_span(layers: Iterable[nn.Module], span: Span) -> Span:
    """Positions of the first layer's input that positions of the last one's output depend on.

    Args:
        layers: each hears the one before: convolutions over time, or modules that say themselves
            what they are `HasInputSpan`. Layers that keep every position to itself may be left out.
        span: of the last one's output.

    Raises:
        TypeError: nothing is known of a layer.
    """
    for layer in reversed(list(layers)):
        span = _heard_by(layer, span)
    return span


def _heard_by(layer: nn.Module, span: Span) -> Span:
    if isinstance(layer, HasInputSpan):
        return layer.input_span(span)
    if isinstance(layer, nn.Sequential):
        return input_span(layer, span)
    if not isinstance(layer, nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | ChannelsLastConv):
        raise TypeError(f"what {type(layer).__name__} hears is not known")
    stride, padding = _last(layer.stride), _last(layer.padding)
    reach = (layer.weight.shape[-1] - 1) * _last(layer.dilation)
    if isinstance(layer, nn.ConvTranspose1d) or getattr(layer, "transposed", False) is True:
        return Span(-((reach - span.first - padding) // stride), (span.last + padding) // stride)
    return Span(span.first * stride - padding, span.last * stride - padding + reach)


def _last(sizes: object) -> int:
    """Of a convolution's sizes, the one over time."""
    size = sizes[-1] if isinstance(sizes, tuple) else sizes
    assert isinstance(size, int)
    return size
