"""Vocoders made quick for inference; the networks and what they say stay the same.

On a processor: convolutions in channels-last order, in pieces whose tensors stay in the cache, and
on request in bfloat16. Those that make one sample after the other are told how their compiled
loops keep the weights. What is gained is in benchmarks/inference.md.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

import torch
from torch import nn

from wavewright.errors import WavewrightError
from wavewright.kernels.loop import Engine
from wavewright.models.autoregressive import AutoregressiveVocoder
from wavewright.models.vocoder import Vocoder
from wavewright.nn.channels_last import channels_last

log = logging.getLogger("wavewright")

_HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
#: Frames of a piece; smaller ones spend too much on their edges.
_PIECE = 320


def optimize_for_inference(
    vocoder: Vocoder, precision: str = "float32", engine: str = "fast"
) -> Vocoder:
    """Lay a loaded vocoder out for speaking, in place; it cannot be trained or saved afterwards.

    Args:
        vocoder: in eval mode.
        precision: `float32`: the same waveform up to 1e-5; `bf16`: faster where the processor
            or GPU has it, and a little noisier; `fp16`: the same for GPUs without bfloat16;
            `int8`: of the weights, for those that make one sample after the other.
        engine: `reference` lets these run their network's own code, sample by sample.

    Returns:
        The same vocoder.
    """
    if vocoder.in_training:
        raise WavewrightError(
            f"'{vocoder.name}' is being trained; optimize_for_inference a loaded copy of it"
        )
    if not vocoder.trains:
        return vocoder
    if isinstance(vocoder, AutoregressiveVocoder):
        vocoder.requires_grad_(False)
        vocoder.engine = Engine.from_options(engine, precision)
        log.info("%s: %s", vocoder.name, vocoder.engine_description)
        return vocoder
    if precision in _HALVES:
        _round(vocoder, vocoder.float32_parts, _HALVES[precision])
    elif precision != "float32":
        raise WavewrightError(
            f"'{vocoder.name}' speaks with precision float32, bf16 or fp16, found '{precision}'"
        )
    vocoder.requires_grad_(False)
    on_processor = vocoder.device.type == "cpu"
    if precision in _HALVES or (on_processor and vocoder.channels_last):
        channels_last(vocoder)  # which also brings what comes in to the weights' type
    if on_processor and vocoder.prefers_chunks:
        vocoder.chunk_frames = _PIECE
    return vocoder


def _round(module: nn.Module, kept: Collection[str], dtype: torch.dtype) -> None:
    """Weights and buffers of the modules inside, but for parts of these names at whatever depth."""
    for name, part in module.named_children():
        if name in kept:
            continue
        for value in (*part.parameters(recurse=False), *part.buffers(recurse=False)):
            if value.is_floating_point():
                value.data = value.data.to(dtype)
        _round(part, kept, dtype)
