"""Receptive fields: the positions of a network's input that some of its output depends on.

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
        """Extend by positions before and after; negative numbers shrink it."""
        return Span(self.first - before, self.last + after)

    def union(self, other: Span) -> Span:
        """Smallest span that contains both."""
        return Span(min(self.first, other.first), max(self.last, other.last))

    def to_frames(self, rate: int) -> Span:
        """Frames of `rate` samples that contain these samples."""
        return Span(self.first // rate, self.last // rate)

    def to_samples(self, rate: int) -> Span:
        """Samples of these frames of `rate` samples each."""
        return Span(self.first * rate, self.last * rate + rate - 1)


@runtime_checkable
class HasInputSpan(Protocol):
    """Module that knows its input span."""

    def input_span(self, span: Span) -> Span:
        """Positions of its input that positions of its output depend on."""


def input_span(layers: Iterable[nn.Module], span: Span) -> Span:
    """Positions of the first layer's input that positions of the last one's output depend on.

    Args:
        layers: in their order, convolutions over time or `HasInputSpan` modules. Pointwise layers
            may be left out.
        span: output positions of the last layer.

    Raises:
        TypeError: nothing is known of a layer.
    """
    for layer in reversed(list(layers)):
        span = _layer_input_span(layer, span)
    return span


def _layer_input_span(layer: nn.Module, span: Span) -> Span:
    if isinstance(layer, HasInputSpan):
        return layer.input_span(span)
    if isinstance(layer, nn.Sequential):
        return input_span(layer, span)
    if not isinstance(layer, nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | ChannelsLastConv):
        raise TypeError(f"the input span of {type(layer).__name__} is not known")
    stride, padding = _last(layer.stride), _last(layer.padding)
    extent = (layer.weight.shape[-1] - 1) * _last(layer.dilation)
    if isinstance(layer, nn.ConvTranspose1d) or getattr(layer, "transposed", False) is True:
        return Span(-((extent - span.first - padding) // stride), (span.last + padding) // stride)
    return Span(span.first * stride - padding, span.last * stride - padding + extent)


def _last(sizes: object) -> int:
    """Size of a convolution along time, its last dimension."""
    size = sizes[-1] if isinstance(sizes, tuple) else sizes
    assert isinstance(size, int)
    return size
