"""How long a vocoder takes: real-time factors, measured the same way everywhere."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from wavewright.report.results import Speed, SystemSpeed
from wavewright.vocoder import Vocoder


def time_vocoders(
    vocoders: Mapping[str, Vocoder], mel: torch.Tensor, *, warm_ups: int = 2, repeats: int = 5
) -> Speed:
    """Time every vocoder, by system id, on one mel (1, n_mels, frames) on the mel's device."""
    first = next(iter(vocoders.values()))
    return Speed(
        device=device_name(mel.device),
        threads=torch.get_num_threads(),
        audio_seconds=mel.shape[-1] * first.hop_length / first.sample_rate,
        warm_ups=warm_ups,
        repeats=repeats,
        systems=tuple(
            time_vocoder(vocoder, mel, system, warm_ups=warm_ups, repeats=repeats)
            for system, vocoder in vocoders.items()
        ),
    )


def time_vocoder(
    vocoder: Vocoder, mel: torch.Tensor, system: str, *, warm_ups: int, repeats: int
) -> SystemSpeed:
    """Real-time factor on one mel (1, n_mels, frames): median and quartiles of `repeats` runs."""
    seconds = mel.shape[-1] * vocoder.hop_length / vocoder.sample_rate
    took = []
    with torch.inference_mode():
        for _ in range(warm_ups + repeats):
            started = time.perf_counter()
            vocoder.generate(mel, seed=0)
            if mel.is_cuda:
                torch.cuda.synchronize(mel.device)
            took.append((time.perf_counter() - started) / seconds)
    measured = took[warm_ups:]
    low, high = np.percentile(measured, [25, 75])
    return SystemSpeed(
        system=system,
        real_time_factor=statistics.median(measured),
        lower_quartile=float(low),
        upper_quartile=float(high),
    )


def device_name(device: torch.device) -> str:
    """The processor or accelerator in the words of its maker."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
