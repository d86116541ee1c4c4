"""Speed of a loaded vocoder against its plain module, on this processor.

    python benchmarks/inference.py [--vocoder NAME]... [--seconds 10] [--rounds 7] [--threads 2]

Each vocoder in its official size, batch 1: the plain module of eager torch; after
`optimize_for_inference`, as every command uses it; and that in bfloat16. Turn by turn in one
process; medians, and the median of the rounds' own ratios. The last column but one is the rate of
arithmetic against the best that this processor reaches in products of 512 x 512 matrices, measured
in the same rounds.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / root) for root in ("pipeline", "stages", "")]

import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.support.tiny import small
from wavewright.inference.optimize import optimize_for_inference
from wavewright.models.vocoder import Vocoder
from wavewright.registry import create_vocoder

NAMES = ["hifigan:v1", "hifigan:v2", "hifigan:v3", "melgan", "multiband_melgan", "vocos", "bigvgan"]


def operations(vocoder: Vocoder, mel: torch.Tensor) -> int:
    """Floating-point operations of the plain module."""
    with FlopCounterMode(display=False) as counter:
        vocoder.generate(mel, seed=0)
    return int(counter.get_total_flops())


def matrix_rate() -> float:
    """Operations a second in matrix products: the best of five."""
    a, b = torch.randn(512, 512), torch.randn(512, 512)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(20):
            a @ b
        seconds.append((time.perf_counter() - started) / 20)
    return 2 * 512**3 / min(seconds)


def measure(name: str, changes: dict[str, Any], seconds: float, rounds: int) -> None:
    """Print the table's lines of one vocoder."""
    torch.manual_seed(0)
    plain = create_vocoder(name, **changes).eval()
    for parameter in plain.parameters():  # a flow begins as the identity
        if parameter.ndim > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.01)
    frames = round(seconds * plain.sample_rate / plain.hop_length)
    mel = torch.randn(1, plain.mel_spec.n_mels, frames) - 4
    quick = {
        precision: optimize_for_inference(copy.deepcopy(plain), precision)
        for precision in ("float32", "bf16")
    }
    runs: dict[str, Callable[[], torch.Tensor]] = {
        "plain": lambda: plain.generate(mel, seed=0),
        "quick": lambda: quick["float32"].generate(mel, seed=0),
        "quick bf16": lambda: quick["bf16"].generate(mel, seed=0),
    }
    count, peak = operations(plain, mel), 0.0
    expected = plain.generate(mel, seed=0)
    times: dict[str, list[float]] = {run: [] for run in runs}
    errors = {run: float((speak() - expected).abs().max()) for run, speak in runs.items()}
    with torch.inference_mode():
        for _ in range(rounds):
            peak = max(peak, matrix_rate())
            for run, speak in runs.items():
                started = time.perf_counter()
                speak()
                times[run].append(time.perf_counter() - started)
    for run, values in times.items():
        ratio = statistics.median(a / b for a, b in zip(times["plain"], values, strict=True))
        rate = count / min(values)
        print(
            f"| {name} | {run} | {statistics.median(values) / seconds:.4f} | "
            f"{min(values) / seconds:.4f}-{max(values) / seconds:.4f} | {ratio:.2f} | "
            f"{rate / peak:.0%} | {errors[run]:.1e} |",
            flush=True,
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vocoder", action="append")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="toy sizes: to see it run")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        parser.set_defaults(threads=1, seconds=0.2, rounds=1)
        arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    print(
        f"{arguments.seconds:g} s of audio, {arguments.threads} threads, torch {torch.__version__}"
    )
    print("| vocoder | run | real-time factor | range | ratio | of the matrix rate | max error |")
    print("|---|---|---:|---|---:|---:|---:|")
    for name in arguments.vocoder or NAMES:
        changes = small(name) if arguments.quick else {}
        measure(name, changes, arguments.seconds, arguments.rounds)


if __name__ == "__main__":
    main()
