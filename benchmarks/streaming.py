"""Latency and real-time factor of streamed vocoders on this processor.

    python benchmarks/streaming.py [--vocoder NAME]... [--chunk 1]... [--rounds 5] [--threads 2]

Official sizes with random weights, batch 1, made quick as every command does; the sizes of a chunk
take turns in one process. `waits` is the mel that must have arrived before anything can be said:
the look-ahead and the frame itself, in whole chunks. `computes` is how long after that the first
sound is there, `first sound` both together, where a mel arrives in real time. The steady real-time
factor is the computing of a chunk later on over how long it sounds: below 1 a stream keeps up.
`whole` is the factor of `generate` on ten seconds' mel, or on three of those that are slower than
speech. Medians. The last column is the largest difference of a sample from `generate` of the whole.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / root) for root in ("pipeline", "stages", "")]

import torch
from torch import Tensor

from tests.support.tiny import small
from wavewright.inference.optimize import optimize_for_inference
from wavewright.models.vocoder import Vocoder
from wavewright.registry import create_vocoder

NAMES = [
    "hifigan:v1",
    "hifigan:v3",
    "melgan",
    "vocos",
    "parallel_wavegan",
    "waveglow",
    "wavernn:mol",
]
CHUNKS = [1, 8, 32]
_STEADY = 24  # frames, or two chunks, that are timed after the first sound
_PATIENCE = 8.0  # seconds for them, but for two chunks


def build(name: str, changes: dict[str, Any]) -> Vocoder:
    """Random weights, those that begin as zeros among them."""
    torch.manual_seed(0)
    vocoder = create_vocoder(name, **changes).eval()
    for parameter in vocoder.parameters():
        if parameter.ndim > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.01)
    return optimize_for_inference(vocoder)


def example(vocoder: Vocoder, frames: int) -> Tensor:
    """(1, n_mels, frames)."""
    random = torch.Generator().manual_seed(1)
    return torch.randn(1, vocoder.mel_spec.n_mels, frames, generator=random) - 4


@torch.inference_mode()
def live(vocoder: Vocoder, size: int) -> tuple[float, float]:
    """Seconds that the first frame of sound was computed, and those of one later on."""
    chunk = example(vocoder, size)
    spent: list[float] = []

    def arriving() -> Iterator[Tensor]:
        while True:
            given = time.perf_counter()
            yield chunk
            spent.append(time.perf_counter() - given)

    stream = vocoder.stream(arriving(), seed=0)
    assert vocoder.look_ahead is not None
    before = vocoder.look_ahead // size  # chunks too early for any sound
    said = 0
    while said < vocoder.hop_length:
        said += next(stream).shape[1]
    assert len(spent) == before
    later: list[float] = []
    while len(later) < 2 or (len(later) * size < _STEADY and sum(later) < _PATIENCE):
        next(stream)
        later = spent[before + 1 :]
    return spent[before], sum(later) / len(later) / size


@torch.inference_mode()
def whole(vocoder: Vocoder, seconds: float) -> float:
    """Real-time factor of `generate`."""
    frames = round(seconds * vocoder.sample_rate / vocoder.hop_length)
    started = time.perf_counter()
    vocoder.generate(example(vocoder, frames), seed=0)
    spent = time.perf_counter() - started
    return spent * vocoder.sample_rate / (frames * vocoder.hop_length)


@torch.inference_mode()
def difference(vocoder: Vocoder) -> float:
    """Largest of a sample, with chunks of many sizes."""
    assert vocoder.look_ahead is not None
    sizes = [vocoder.look_ahead + 1, 1, 0, 17, 2, 9, vocoder.look_ahead]
    mel = example(vocoder, sum(sizes))
    streamed = torch.cat(list(vocoder.stream(torch.split(mel, sizes, dim=-1), seed=0)), dim=1)
    return float((streamed - vocoder.generate(mel, seed=0)).abs().max())


def measure(
    name: str, changes: dict[str, Any], chunks: list[int], rounds: int, seconds: float | None
) -> None:
    """Print the table's lines of one vocoder."""
    vocoder = build(name, changes)
    assert vocoder.look_ahead is not None
    seconds = seconds or (10.0 if whole(vocoder, 1.0) < 0.5 else 3.0)
    firsts: dict[int, list[float]] = {size: [] for size in chunks}
    steady: dict[int, list[float]] = {size: [] for size in chunks}
    wholes = []
    frame = vocoder.hop_length / vocoder.sample_rate
    for number in range(rounds + 1):
        made = whole(vocoder, seconds)
        for size in chunks:
            first, later = live(vocoder, size)
            if number:  # the first warms up
                firsts[size].append(first)
                steady[size].append(later / frame)
        if number:
            wholes.append(made)
    error = difference(vocoder)
    for size in chunks:
        waits = (vocoder.look_ahead // size + 1) * size * frame
        computes = statistics.median(firsts[size])
        low, high = min(steady[size]), max(steady[size])
        print(
            f"| {name} | {vocoder.look_ahead} | {size} | {1000 * waits:.0f} | "
            f"{1000 * computes:.0f} | {1000 * (waits + computes):.0f} | "
            f"{statistics.median(steady[size]):.3g} | {low:.3g}-{high:.3g} | "
            f"{statistics.median(wholes):.3g} | {error:.1e} |",
            flush=True,
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vocoder", action="append")
    parser.add_argument("--chunk", action="append", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, help="of the whole; default: 10, or 3")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="toy sizes: to see it run")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        parser.set_defaults(threads=1, seconds=0.1, rounds=1)
        arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    print(f"{arguments.threads} threads, torch {torch.__version__}")
    print(
        "| vocoder | look-ahead | chunk | waits ms | computes ms | first sound ms | "
        "steady real-time factor | range | whole | max error |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---|---:|---:|")
    for name in arguments.vocoder or NAMES:
        changes = small(name) if arguments.quick else {}
        measure(name, changes, arguments.chunk or CHUNKS, arguments.rounds, arguments.seconds)


if __name__ == "__main__":
    main()
