"""Speed of WaveGAN and SpecGAN on this processor.

    python benchmarks/latent.py [--sounds 1000] [--rounds 3] [--threads 2]

The official sizes, with random weights, made quick as every command does: so many sounds by
`sample`, turn by turn with products of 512 x 512 matrices, whose best of five is the rate that
arithmetic can have. `networks` is the rate of the generator's operations in all of `sample`'s time,
which for SpecGAN has Griffin-Lim in it; `generator` is without. Both are the rounds' best.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), *(str(HERE.parent / root) for root in ("pipeline", "stages", ""))]

import torch
from inference import matrix_rate
from torch.utils.flop_counter import FlopCounterMode

from tests.support.tiny import small
from wavewright.inference.optimize import optimize_for_inference
from wavewright.models.latent import LatentVocoder
from wavewright.registry import create_vocoder


def seconds_of(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def measure(name: str, changes: dict[str, Any], sounds: int, rounds: int) -> None:
    """Print the table's line of one vocoder."""
    torch.manual_seed(0)
    vocoder = optimize_for_inference(create_vocoder(name, **changes).eval())
    plain = create_vocoder(name, **changes)
    assert isinstance(vocoder, LatentVocoder)
    assert isinstance(plain, LatentVocoder)
    latents = vocoder.latents(32, seed=0)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        plain.generate_features(latents)
    each = counter.get_total_flops() / len(latents)
    whole, part, peaks = [], [], []
    with torch.inference_mode():
        for _ in range(rounds):
            peaks.append(matrix_rate())
            whole.append(seconds_of(lambda: vocoder.sample(sounds, seed=0)))
            part.append(
                min(seconds_of(lambda: vocoder.generate_features(latents)) for _ in range(5))
            )
    peak, spent = max(peaks), statistics.median(whole)
    audio = sounds * (vocoder.crops.fixed_samples or 0) / vocoder.sample_rate
    print(
        f"| {name} | {sounds} | {each / 1e9:.2f} | {spent:.1f} | {audio / spent:.0f} | "
        f"{each * sounds / min(whole) / peak:.0%} | {each * len(latents) / min(part) / peak:.0%} | "
        f"{peak / 1e9:.0f} |",
        flush=True,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sounds", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="toy sizes: to see it run")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        parser.set_defaults(threads=1, sounds=4, rounds=1)
        arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    print(f"{arguments.threads} threads, torch {torch.__version__}")
    print(
        "| vocoder | sounds | GFLOP each | seconds | x real time | networks | generator | GFLOP/s |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name in ("wavegan", "specgan"):
        changes = small(name) if arguments.quick else {}
        measure(name, changes, arguments.sounds, arguments.rounds)


if __name__ == "__main__":
    main()
