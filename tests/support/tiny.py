"""Vocoders and corpora small enough to train in a moment."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wavewright.audio.files import from_pcm16, to_pcm16
from wavewright.data.shards import Array, Shards, write_shards
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel
from wavewright.vocoders.hifigan import HiFiGAN

SPEC = MelSpec(
    sample_rate=8000,
    n_fft=64,
    hop_length=16,
    win_length=64,
    n_mels=8,
    fmax=4000.0,
    magnitude_eps=1e-9,
    framing="hop",
)
HIFIGAN: dict[str, Any] = {
    "mel": SPEC,
    "upsample_rates": (4, 4),
    "upsample_kernel_sizes": (8, 8),
    "upsample_initial_channel": 16,
    "resblock": 2,
    "resblock_kernel_sizes": (3, 5),
    "resblock_dilation_sizes": ((1, 2), (1, 3)),
    "adversary": {"periods": (2, 3), "scales": 2, "width_divisor": 8},
}
#: Changes that make a registered vocoder small.
SMALL: dict[str, dict[str, Any]] = {
    "bigvgan": {
        "mel": SPEC,
        "upsample_rates": (4, 4),
        "upsample_kernel_sizes": (8, 8),
        "upsample_initial_channel": 16,
        "resblock_kernel_sizes": (3, 5),
        "resblock_dilation_sizes": ((1,), (3,)),
        "adversary": {
            "periods": (2, 3),
            "resolutions": ((128, 16, 64), (64, 8, 32)),
            "width_divisor": 8,
        },
    },
    "griffinlim": {"mel": SPEC, "iterations": 4},
    "hifigan": HIFIGAN,
    "melgan": {
        "mel": SPEC,
        "upsample_rates": (4, 4),
        "base_channels": 4,
        "residual_layers": 2,
        "adversary": {"scales": 2, "base_channels": 4, "downsamplings": 2},
    },
    "multiband_melgan": {
        "mel": SPEC,
        "channels": 16,
        "upsample_rates": (2, 2),
        "residual_layers": 2,
        "adversary": {"scales": 2, "base_channels": 4, "downsamplings": 2},
        "resolutions": ((128, 16, 64), (64, 8, 32)),
        "band_resolutions": ((48, 5, 20), (24, 3, 10)),
    },
    "nhv": {
        "mel": SPEC,
        "channels": 16,
        "groups": 2,
        "layers": 1,
        "cepstrum": 32,
        "filter_fft": 64,
        "final_taps": 20,
        "f0_channels": 16,
        "f0_layers": 1,
        "resolutions": ((128, 16, 64), (64, 8, 32)),
        "adversary": {"resolutions": ((128, 16, 64), (64, 8, 32)), "width_divisor": 8},
    },
    "parallel_wavegan": {
        "mel": SPEC,
        "layers": 6,
        "cycles": 2,
        "residual_channels": 8,
        "gate_channels": 16,
        "skip_channels": 8,
        "upsample_rates": (4, 4),
        "adversary": {"layers": 4, "channels": 8},
        "resolutions": ((128, 16, 64), (64, 8, 32)),
    },
    "specgan": {"mel": SPEC, "channels": 2, "latent_size": 5, "iterations": 2},
    "vocos": {
        "mel": SPEC,
        "channels": 16,
        "hidden_channels": 32,
        "layers": 2,
        "adversary": {"periods": (2, 3), "fft_sizes": (256, 64), "width_divisor": 8},
    },
    "wavegan": {"mel": SPEC, "channels": 2, "latent_size": 5, "rates": (4, 4)},
    "waveglow": {
        "mel": SPEC,
        "flows": 4,
        "group": 4,
        "early_every": 2,
        "channels": 8,
        "layers": 2,
    },
    "wavenet": {
        "mel": SPEC,
        "layers": 4,
        "cycles": 2,
        "residual_channels": 8,
        "gate_channels": 16,
        "skip_channels": 8,
        "upsample_rates": (4, 4),
    },
    "wavenet:unconditional": {
        "mel": SPEC,
        "layers": 4,
        "cycles": 2,
        "residual_channels": 8,
        "gate_channels": 16,
        "skip_channels": 8,
        "sample_frames": 9,
    },
    "wavernn:dual-softmax": {"mel": SPEC, "units": 16, "sample_frames": 9},
    "wavernn": {
        "mel": SPEC,
        "units": 16,
        "head_channels": 16,
        "reader_channels": 8,
        "reader_blocks": 1,
        "reader_out": 8,
        "upsample_rates": (4, 4),
    },
}
TACOTRON: dict[str, Any] = {
    "encoder_width": 8,
    "encoder_convolutions": 1,
    "prenet_width": 8,
    "attention_rnn_width": 8,
    "attention_width": 8,
    "attention_location_filters": 2,
    "decoder_rnn_width": 8,
    "postnet_width": 8,
}
IDS = [f"tone{i}" for i in range(6)]


def small(name: str) -> dict[str, Any]:
    """Changes that make a vocoder small, whichever of its published sizes is named."""
    if name == "wavernn:sparse":  # whose blocks must fill its rows
        return {**SMALL["wavernn:dual-softmax"], "units": 64}
    return SMALL.get(name) or SMALL[name.partition(":")[0]]


def hifigan(**changes: Any) -> HiFiGAN:
    """The same weights at every call."""
    torch.manual_seed(0)
    return HiFiGAN.create("hifigan", **{**HIFIGAN, **changes})


def tone(utterance: str) -> Array:
    """int16 (samples,): a tone and its octave, another pitch and length for every utterance."""
    number = IDS.index(utterance)
    time = np.arange(900 + 150 * number) / SPEC.sample_rate
    pitch = 200 * 2 ** (number / 5)
    wave = 0.4 * np.sin(2 * np.pi * pitch * time) + 0.2 * np.sin(4 * np.pi * pitch * time)
    return to_pcm16(wave)


def mel(utterance: str, shift: float = 0.0, spec: MelSpec = SPEC) -> Array:
    """float32 (n_mels, frames), each value raised by `shift`."""
    values: Array = log_mel(torch.from_numpy(from_pcm16(tone(utterance))), spec).numpy()
    return values + np.float32(shift)


def corpus(folder: Path, shift: float = 0.0) -> tuple[Shards, Shards]:
    """Shards of the audio and of the mels."""
    write_shards(folder / "audio", IDS, tone, mel=None, sample_rate=SPEC.sample_rate)
    load = partial(mel, shift=shift)
    write_shards(folder / "mels", IDS, load, mel=SPEC, sample_rate=SPEC.sample_rate)
    return Shards(folder / "audio"), Shards(folder / "mels")
