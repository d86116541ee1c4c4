"""Speed of vocoders: real-time factors, time to the first sound, memory."""

from __future__ import annotations

import ctypes
import platform
import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from wavewright.evaluation.results import Speed, SystemSpeed
from wavewright.models.streamable import can_stream, require_streamable
from wavewright.models.vocoder import Vocoder

_CHUNK = 8  # frames in each chunk of a stream


def time_vocoders(
    vocoders: Mapping[str, Vocoder],
    mel: torch.Tensor,
    *,
    warm_ups: int = 2,
    repeats: int = 5,
    refine: Mapping[str, int] | None = None,
) -> Speed:
    """Time vocoders, by system id, on one mel (1, n_mels, frames) on the mel's device.

    `refine` says by how many iterations some of them are refined.
    """
    first = next(iter(vocoders.values()))
    return Speed(
        device=device_name(mel.device),
        threads=torch.get_num_threads(),
        audio_seconds=mel.shape[-1] * first.hop_length / first.sample_rate,
        warm_ups=warm_ups,
        repeats=repeats,
        systems=tuple(
            time_vocoder(
                vocoder,
                mel,
                system,
                warm_ups=warm_ups,
                repeats=repeats,
                refine=(refine or {}).get(system, 0),
            )
            for system, vocoder in vocoders.items()
        ),
    )


def time_vocoder(
    vocoder: Vocoder,
    mel: torch.Tensor,
    system: str,
    *,
    warm_ups: int,
    repeats: int,
    refine: int = 0,
) -> SystemSpeed:
    """Real-time factor on one mel (1, n_mels, frames): median and quartiles of `repeats` runs."""
    seconds = mel.shape[-1] * vocoder.hop_length / vocoder.sample_rate
    seconds_taken = []
    with torch.inference_mode():
        for _ in range(warm_ups + repeats):
            started = time.perf_counter()
            vocoder.generate(mel, seed=0, refine=refine)
            if mel.is_cuda:
                torch.cuda.synchronize(mel.device)
            seconds_taken.append((time.perf_counter() - started) / seconds)
    factors = seconds_taken[warm_ups:]
    low, high = np.percentile(factors, [25, 75])
    return SystemSpeed(
        system=system,
        real_time_factor=statistics.median(factors),
        lower_quartile=float(low),
        upper_quartile=float(high),
        first_sound=None if refine else _first_sound(vocoder, mel, warm_ups, repeats),
        memory=_most_memory(vocoder, mel, refine),
    )


def _first_sound(vocoder: Vocoder, mel: torch.Tensor, warm_ups: int, repeats: int) -> float | None:
    """Median seconds from the first frames to the first samples; None if it does not stream."""
    if not can_stream(vocoder):
        return None
    stream = require_streamable(vocoder).stream
    seconds_taken = []
    with torch.inference_mode():
        for _ in range(warm_ups + repeats):
            started = time.perf_counter()
            chunks = iter(torch.split(mel, _CHUNK, dim=-1))
            next(wav for wav in stream(chunks, seed=0) if wav.shape[-1])
            if mel.is_cuda:
                torch.cuda.synchronize(mel.device)
            seconds_taken.append(time.perf_counter() - started)
    return statistics.median(seconds_taken[warm_ups:])


def _most_memory(vocoder: Vocoder, mel: torch.Tensor, refine: int) -> float | None:
    """Peak memory of one call in MB, beyond what was allocated before; None if unknown."""
    if mel.is_cuda:
        allocated = torch.cuda.memory_allocated(mel.device)
        torch.cuda.reset_peak_memory_stats(mel.device)
        with torch.inference_mode():
            vocoder.generate(mel, seed=0, refine=refine)
        return (torch.cuda.max_memory_allocated(mel.device) - allocated) / 1e6
    try:
        ctypes.CDLL(None).malloc_trim(0)  # else freed memory of earlier calls is used again
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        before = _resident("VmRSS")
    except (OSError, AttributeError, StopIteration):
        return None
    with torch.inference_mode():
        vocoder.generate(mel, seed=0, refine=refine)
    return max(0.0, _resident("VmHWM") - before)


def _resident(field: str) -> float:
    """Resident memory of this process in MB: `VmRSS` now, `VmHWM` at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024 / 1e6


def device_name(device: torch.device) -> str:
    """Model name of the processor or accelerator."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
