"""Checks of streaming, of the declared receptive field and of synthesis in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from wavewright.models.vocoder import Vocoder
from wavewright.nn.receptive_field import ReceptiveField
from wavewright.testing.inputs import (
    FRAMES,
    STREAM_TOLERANCE,
    close,
    example_mel,
    expect,
    ready,
    refuses,
)


def check_streaming(vocoder: Vocoder) -> None:
    """`stream` joined equals `generate` of the whole, or refuses if `streams` is False.

    In chunks of one frame, of several, of none, and all at once; of one frame and of many. Where
    `look_ahead` is declared, a frame is spoken once so many more have arrived.
    """
    vocoder = ready(vocoder)
    if not vocoder.streams:
        mel = example_mel(vocoder, batch=1)
        refuses(lambda: list(vocoder.stream(torch.split(mel, 5, dim=-1))), "stream()")
        return
    expect(not list(vocoder.stream([], seed=0)), "a stream of no mel must say nothing")
    for frames in (1, 2, 2 * (vocoder.look_ahead or 0) + FRAMES):
        mel = example_mel(vocoder, frames=frames)
        whole = vocoder.generate(mel, seed=0)
        for sizes in ([frames], [1] * frames, [0, 1, 4, 0, 2, frames]):
            chunks = list(_chunks(mel, sizes))
            joined = torch.cat(list(vocoder.stream(chunks, seed=0)), dim=-1)
            cut = f"{frames} frames in chunks of {', '.join(map(str, sizes[:6]))}"
            expect(
                joined.shape == whole.shape,
                f"streamed pieces must join to {tuple(whole.shape)}, found {tuple(joined.shape)} "
                f"of {cut}",
            )
            error = float((joined - whole).abs().max())
            expect(
                error <= STREAM_TOLERANCE,
                f"streamed pieces joined must equal generate() of the whole: {cut} differ by "
                f"{error:.2g}; is receptive_field, {vocoder.receptive_field}, all that a sample "
                "depends on?",
            )
    if vocoder.look_ahead is not None:
        _check_promptness(vocoder, vocoder.look_ahead)


def _check_promptness(vocoder: Vocoder, look_ahead: int) -> None:
    arrived, said = 0, 0

    def arriving() -> Iterator[Tensor]:
        nonlocal arrived
        mel = example_mel(vocoder, batch=1, frames=look_ahead + 4)
        for frame in torch.split(mel, 1, dim=-1):
            due = max(0, arrived - look_ahead)
            expect(
                said >= due * vocoder.hop_length,
                f"{due} frames must be spoken once {arrived} have arrived, as look_ahead is "
                f"{look_ahead}; found {said} samples",
            )
            arrived += 1
            yield frame

    for piece in vocoder.stream(arriving(), seed=0):
        said += piece.shape[-1]


def _chunks(mel: Tensor, sizes: Sequence[int]) -> Iterator[Tensor]:
    """Chunks of these sizes, as long as there are frames."""
    start = 0
    for size in sizes:
        yield mel[..., start : start + size]
        start += size


def check_receptive_field(vocoder: Vocoder) -> None:
    """The declared `receptive_field` covers what samples depend on, and little more.

    A frame that is no number makes no number of every sample that it has a part in, be the part
    ever so small.
    """
    vocoder = ready(vocoder)
    if vocoder.conditioning != "mel" or vocoder.receptive_field is None:
        return
    declared, found = vocoder.receptive_field, measured_receptive_field(vocoder)
    expect(
        found.before <= declared.before and found.after <= declared.after,
        f"samples depend on {found.before} frames before and {found.after} after their own; "
        f"receptive_field declares {declared.before} and {declared.after}",
    )
    expect(
        declared.before <= found.before + 2 and declared.after <= found.after + 2,
        f"receptive_field declares {declared.before} frames before and {declared.after} after, but "
        f"samples depend on {found.before} and {found.after} only: streams would wait in vain",
    )


@torch.no_grad()
def measured_receptive_field(vocoder: Vocoder) -> ReceptiveField:
    """Measure the receptive field by a frame of NaN in the midst of others.

    Args:
        vocoder: one that declares a `receptive_field`, which may be too small.

    Raises:
        AssertionError: it declares none.
    """
    declared = vocoder.receptive_field
    expect(
        declared is not None, "receptive_field is None: nothing is declared that could be measured"
    )
    assert declared is not None
    before, after = declared.after + 3, declared.before + 3  # a frame is heard before it comes
    before += -before % vocoder.frame_multiple
    mel = example_mel(vocoder, batch=1, frames=before + 1 + after)
    mel[..., before] = torch.nan
    numbers = vocoder.draw_noise(1, mel.shape[-1], seed=0)
    for noise, kind in zip(numbers, vocoder.noise_inputs(1).values(), strict=True):
        if kind.frames:
            each = kind.shape[-1]
            noise[..., before * each : (before + 1) * each] = torch.nan
    spoilt = (
        vocoder.synthesize_frames(mel, *numbers)[0].isnan().nonzero().flatten()
        // vocoder.hop_length
    )
    return ReceptiveField(before=int(spoilt.max()) - before, after=before - int(spoilt.min()))


def check_chunked(vocoder: Vocoder) -> None:
    """`generate` in pieces equals `generate` of the whole, if `receptive_field` is declared."""
    whole, pieces = ready(vocoder), ready(vocoder)
    if whole.conditioning != "mel" or whole.receptive_field is None:
        return
    pieces.chunk_frames = 3
    mel = example_mel(whole, frames=sum(whole.receptive_field) + 9)
    expect(
        close(pieces.generate(mel, seed=3), whole.generate(mel, seed=3)),
        f"generate() in pieces of 3 frames must give the same as at once; receptive_field is "
        f"{whole.receptive_field}: is that all that a sample depends on?",
    )
