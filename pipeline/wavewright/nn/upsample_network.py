"""Upsampling of frames to samples by repetition and smoothing, one filter for all bands.

Used by wavenet_vocoder, ParallelWaveGAN and fatchord's WaveRNN. Because the filter is the same for
every band, anything linear that follows can be done at the frame rate instead, before it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wavewright.nn.receptive_field import Span, input_span


class Stretch(nn.Module):
    """Each rate repeats every value and smooths over the values beside it."""

    def __init__(self, rates: Sequence[int]) -> None:
        super().__init__()
        self.rates = tuple(rates)
        self.smooth = nn.ModuleList(
            nn.Conv2d(1, 1, (1, 2 * rate + 1), padding=(0, rate), bias=False) for rate in self.rates
        )
        for conv in self.smooth:
            nn.init.constant_(conv.weight, 1 / conv.weight.numel())  # type: ignore[arg-type, operator]

    def forward(self, values: Tensor) -> Tensor:
        """(B, bands, frames) -> (B, bands, frames * product of the rates)."""
        x = values[:, None]
        for rate, conv in zip(self.rates, self.smooth, strict=True):
            x = conv(x.repeat_interleave(rate, dim=-1))
        return x[:, 0]

    def input_span(self, span: Span) -> Span:
        """Input span of all smoothing filters."""
        for rate, conv in zip(reversed(self.rates), reversed(self.smooth), strict=True):
            span = input_span([conv], span).to_frames(rate)
        return span


class ContextStretch(Stretch):
    """Reads every frame with its neighbours first."""

    def __init__(self, bands: int, rates: Sequence[int], context_frames: int) -> None:
        super().__init__(rates)
        self.conv_in = nn.Conv1d(bands, bands, 2 * context_frames + 1, bias=False)

    def forward(self, values: Tensor) -> Tensor:
        """(B, bands, frames) -> (B, bands, (frames - 2 context) * product of the rates)."""
        return super().forward(self.conv_in(values))

    def input_span(self, span: Span) -> Span:
        """Input span of the smoothing and of the first convolution, which is not padded."""
        return input_span([self.conv_in], super().input_span(span))


#: Frames on either side that `Stretch` can mix into one: 1 + 1/2 + 1/4 + ... of a frame.
SMOOTHING_FRAMES = 2


def interpolation_weights(stretch: Stretch, frames: int) -> tuple[Tensor, Tensor]:
    """Weights of the neighboring frames in every sample that `Stretch` makes of `frames` frames.

    Returns:
        weights (kinds, hop_length, 2 * SMOOTHING_FRAMES + 1) float32: for each kind of frame and
        each of its samples, the weights of the frames from SMOOTHING_FRAMES before to
        SMOOTHING_FRAMES after; and the kind (frames) of each frame. Only frames near the ends
        differ in kind.
    """
    size = min(frames, 4 * SMOOTHING_FRAMES + 1)
    with torch.no_grad():
        device = next(stretch.parameters()).device
        response = Stretch.forward(stretch, torch.eye(size, device=device)[None])[0].cpu()
    hop = response.shape[1] // size
    weights = torch.zeros(size, hop, 2 * SMOOTHING_FRAMES + 1)
    for frame in range(size):
        for offset in range(2 * SMOOTHING_FRAMES + 1):
            source = frame + offset - SMOOTHING_FRAMES
            if 0 <= source < size:
                weights[frame, :, offset] = response[source, frame * hop : (frame + 1) * hop]
    indices = torch.arange(frames)
    from_end = indices - frames + size
    middle = torch.full_like(indices, size // 2)
    kinds = torch.where(
        indices < size // 2, indices, torch.where(from_end > size // 2, from_end, middle)
    )
    return weights, kinds
