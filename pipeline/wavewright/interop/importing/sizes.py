"""Configuration fields read from the shapes of a network's tensors.

Every function takes a state dict in our names. Settings that shapes do not show come from a sidecar
configuration or are the published ones; a missing tensor raises KeyError with its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

from torch import Tensor

State = Mapping[str, Tensor]


class NetworkSizes(NamedTuple):
    """Sizes of a network, read from the shapes of its weights.

    Attributes:
        fields: fields of its configuration.
        bands: bands of its input or output mel; None without a mel.
        hop: samples per frame; None if any.
        at_once: samples per step of the last layer, a factor of `hop` besides the upsampling rates.
    """

    fields: dict[str, Any]
    bands: int | None
    hop: int | None
    at_once: int = 1


def hifigan(state: State) -> NetworkSizes:
    """Sizes of HiFi-GAN; rates are half the kernels, as in every published configuration."""
    stages = count_numbers(state, r"ups\.(\d+)\.")
    kernels = [state[f"ups.{i}.weight"].shape[2] for i in range(stages)]
    blocks = count_numbers(state, r"resblocks\.(\d+)\.")
    branches = range(blocks // max(len(kernels), 1))
    kind = 1 if any(".convs1." in key for key in state) else 2
    convolutions = "convs1" if kind == 1 else "convs"
    sizes = [state[f"resblocks.{j}.{convolutions}.0.weight"].shape[2] for j in branches]
    layers = [count_numbers(state, rf"resblocks\.{j}\.{convolutions}\.(\d+)\.") for j in branches]
    rates = tuple(kernel // 2 for kernel in kernels)
    fields: dict[str, Any] = {
        "upsample_rates": rates,
        "upsample_kernel_sizes": tuple(kernels),
        "upsample_initial_channel": state["conv_pre.weight"].shape[0],
        "resblock_kernel_sizes": tuple(sizes),
        "resblock": kind,
        "resblock_dilation_sizes": _dilations(kind, layers),
    }
    return NetworkSizes(fields, state["conv_pre.weight"].shape[1], prod(rates))


def bigvgan(state: State) -> NetworkSizes:
    """Sizes of BigVGAN: a HiFi-GAN with one kind of residual block."""
    sizes = hifigan(state)
    del sizes.fields["resblock"]
    return sizes


_PUBLISHED_DILATIONS = {1: ((1, 3, 5),) * 3, 2: ((1, 2), (2, 6), (3, 12))}


def _dilations(kind: int, layers: list[int]) -> tuple[tuple[int, ...], ...] | None:
    published = _PUBLISHED_DILATIONS[kind]
    if [len(dilations) for dilations in published] == layers:
        return published
    return ((1, 3, 5),) * len(layers) if kind == 1 and set(layers) == {3} else None


def melgan(state: State) -> NetworkSizes:
    """Sizes of MelGAN, whose upsampling kernels are twice the rates."""
    stages = count_numbers(state, r"ups\.(\d+)\.")
    rates = tuple(state[f"ups.{i}.weight"].shape[2] // 2 for i in range(stages))
    fields = {
        "upsample_rates": rates,
        "base_channels": state["conv_post.weight"].shape[1],
        "residual_layers": count_numbers(state, r"blocks\.0\.(\d+)\."),
    }
    return NetworkSizes(fields, state["conv_pre.weight"].shape[1], prod(rates))


def multiband_melgan(state: State) -> NetworkSizes:
    """Sizes of Multi-band MelGAN, whose filters no weight shows."""
    sizes = melgan(state)
    del sizes.fields["base_channels"]
    bands = state["conv_post.weight"].shape[0]
    sizes.fields.update(channels=state["conv_pre.weight"].shape[0], bands=bands)
    return sizes._replace(hop=(sizes.hop or 0) * bands, at_once=bands)


_PUBLISHED_CYCLES = {30: 3, 24: 4, 20: 2, 12: 2}


def parallel_wavegan(state: State) -> NetworkSizes:
    """Sizes of Parallel WaveGAN; cycles are the published ones for the number of layers."""
    layers, rates = (
        count_numbers(state, r"layers\.(\d+)\."),
        _upsample_rates(state, "upsampler.smooth"),
    )
    context = state["upsampler.conv_in.weight"]
    fields = {
        "layers": layers,
        "cycles": _PUBLISHED_CYCLES.get(layers),
        "residual_channels": state["conv_pre.weight"].shape[0],
        "gate_channels": state["layers.0.dilated.weight"].shape[0],
        "skip_channels": state["layers.0.skip.weight"].shape[0],
        "upsample_rates": rates,
        "context_frames": context.shape[2] // 2,
    }
    return NetworkSizes(fields, context.shape[1], prod(rates))


def wavenet(state: State) -> NetworkSizes:
    """Sizes of WaveNet; the last layer's width shows the distribution."""
    sizes = parallel_wavegan(state)
    input_channels, out = state["conv_pre.weight"].shape[1], state["conv_post.weight"].shape[0]
    fields = {**sizes.fields, "kernel_size": state["layers.0.dilated.weight"].shape[2]}
    if input_channels > 1:
        fields |= {"distribution": "categorical", "classes": out}
    elif out == 2:
        fields |= {"distribution": "gaussian"}
    else:
        fields |= {"distribution": "logistics", "mixtures": max(out // 3, 1)}
    if "voices.weight" in state:
        speakers, width = state["voices.weight"].shape
        fields |= {"speakers": tuple(str(i) for i in range(speakers)), "speaker_channels": width}
    return sizes._replace(fields=fields)


def wavernn(state: State) -> NetworkSizes:
    """Sizes of fatchord's WaveRNN; a last layer of a power of two is mu-law, else a mixture."""
    rates = _upsample_rates(state, "network.stretch.smooth")
    conv_in = state["network.reader.conv_in.weight"]
    out = state["network.fc3.weight"].shape[0]
    fields: dict[str, Any] = {
        "units": state["network.enter.weight"].shape[0],
        "head_channels": state["network.fc1.weight"].shape[0],
        "reader_channels": conv_in.shape[0],
        "reader_blocks": count_numbers(state, r"network\.reader\.layers\.(\d+)\."),
        "reader_out": state["network.reader.conv_out.weight"].shape[0],
        "upsample_rates": rates,
        "context_frames": conv_in.shape[2] // 2,
    }
    if out & (out - 1):
        fields |= {"distribution": "logistics", "mixtures": max(out // 3, 1)}
    else:
        fields |= {"distribution": "categorical", "bits": out.bit_length() - 1}
    return NetworkSizes(fields, conv_in.shape[1], prod(rates))


def dual_softmax(state: State) -> NetworkSizes:
    """Sizes of fatchord's dual-softmax WaveRNN, which no mel drives."""
    return NetworkSizes({"units": state["network.recurrent.weight"].shape[1]}, None, None)


def waveglow(state: State) -> NetworkSizes:
    """Sizes of NVIDIA's WaveGlow, whose upsampling mixes four frames."""
    flows = count_numbers(state, r"mixing\.(\d+)\.")
    widths = [state[f"mixing.{i}.weight"].shape[0] for i in range(flows)]
    early = sorted({a - b for a, b in pairwise(widths)} - {0}) or [2]
    upsampler = state["upsampler.weight"]
    fields = {
        "group": state["couplings.0.condition.weight"].shape[1] // upsampler.shape[0],
        "flows": flows,
        "early_every": widths.count(widths[0]),
        "early_size": early[0],
        "channels": state["couplings.0.start.weight"].shape[0],
        "layers": count_numbers(state, r"couplings\.0\.dilated\.(\d+)\."),
        "kernel_size": state["couplings.0.dilated.0.weight"].shape[2],
    }
    return NetworkSizes(fields, upsampler.shape[0], upsampler.shape[2] // 4)


def tacotron2(state: State) -> NetworkSizes:
    """Sizes of NVIDIA's Tacotron 2."""
    location = state["decoder.attention_layer.location_conv.weight"]
    fields = {
        "encoder_width": state["embedding.weight"].shape[1],
        "encoder_convolutions": count_numbers(state, r"encoder\.convolutions\.(\d+)\."),
        "encoder_kernel": state["encoder.convolutions.0.conv.weight"].shape[2],
        "prenet_width": state["decoder.prenet.layers.0.weight"].shape[0],
        "attention_rnn_width": state["decoder.attention_rnn.weight_hh"].shape[1],
        "attention_width": state["decoder.attention_layer.query.weight"].shape[0],
        "attention_location_filters": location.shape[0],
        "attention_location_kernel": location.shape[2],
        "decoder_rnn_width": state["decoder.decoder_rnn.weight_hh"].shape[1],
        "postnet_width": state["postnet.convolutions.0.conv.weight"].shape[0],
        "postnet_convolutions": count_numbers(state, r"postnet\.convolutions\.(\d+)\."),
        "postnet_kernel": state["postnet.convolutions.0.conv.weight"].shape[2],
        "ignore_padding": False,
    }
    return NetworkSizes(fields, state["decoder.linear_projection.weight"].shape[0], None)


def vocos(state: State) -> NetworkSizes:
    """Sizes of Vocos; no tensor shows its hop length."""
    fields = {
        "channels": state["conv_pre.weight"].shape[0],
        "hidden_channels": state["blocks.0.expand.weight"].shape[0],
        "layers": count_numbers(state, r"blocks\.(\d+)\."),
    }
    return NetworkSizes(fields, state["conv_pre.weight"].shape[1], None)


def count_numbers(state: State, pattern: str) -> int:
    """Count the distinct numbers that a pattern finds at the start of keys."""
    return len({match[1] for key in state if (match := re.match(pattern, key))})


def _upsample_rates(state: State, place: str) -> tuple[int, ...]:
    stages = count_numbers(state, rf"{re.escape(place)}\.(\d+)\.")
    return tuple(state[f"{place}.{i}.weight"].shape[-1] // 2 for i in range(stages))
