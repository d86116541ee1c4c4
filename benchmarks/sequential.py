"""Samples per second of WaveNet and WaveRNN here, beside the floor of reading their weights.

    python benchmarks/sequential.py [--vocoder NAME]... [--rounds 5] [--seconds 1]

Official sizes with random weights, one utterance. Each line is a compiled loop with its weights in
one precision, on one or two threads; lines of a vocoder take turns in one process. Every sample
needs every weight, so the floor is the weights' bytes over the rate at which the same number of
threads reads an array of that size again and again, measured here in the same rounds. `reference`
is the network's own PyTorch code sample by sample.

First sound is the time from the first chunk of a streamed mel, just long enough to be spoken, to
the first samples.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / root) for root in ("pipeline", "stages", "")]

import numba
import numpy as np
import torch
from numba import float32

from tests.support.tiny import small
from wavewright.kernels.loop import Engine, LoopWindow
from wavewright.mel.spec import MelSpec
from wavewright.models.autoregressive import AutoregressiveVocoder
from wavewright.nn.upsample_network import SMOOTHING_FRAMES
from wavewright.registry import create_vocoder

#: Samples a second of the authors' own loops on one and two threads, measured on 2026-11-20 on a
#: machine of this kind, in processes of their own: fatchord's WaveRNN, r9y9's WaveNet.
PUBLISHED = {
    "wavernn:mol": (1108, 1120),
    "wavernn:raw9": (985, 1024),
    "wavenet:mol": (257, 247),
    "wavenet:mulaw": (164, 168),
}
_24K = MelSpec.preset("hifigan").model_copy(update={"sample_rate": 24000})
#: Name, changes, precisions.
LINES: dict[str, tuple[str, dict[str, Any]]] = {
    "wavernn:mol": ("wavernn:mol", {}),
    "wavernn:raw9": ("wavernn:raw9", {}),
    "wavernn:dual-softmax": ("wavernn:dual-softmax", {}),
    "wavernn:sparse 896": ("wavernn:sparse", {"mel": _24K}),
    "wavernn:sparse 1024": ("wavernn:sparse", {"mel": _24K, "units": 1024}),
    "wavernn:sparse 896 4x4": ("wavernn:sparse", {"mel": _24K, "pruning": {"block": "4x4"}}),
    "wavenet:mol": ("wavenet:mol", {}),
    "wavenet:mulaw": ("wavenet:mulaw", {}),
    "wavenet:tacotron2-mulaw": ("wavenet:tacotron2-mulaw", {}),
    "wavenet:unconditional": ("wavenet:unconditional", {}),
}


@numba.njit(nogil=True, fastmath=True)
def _read(array: np.ndarray, times: int) -> float:
    total = float32(0.0)
    for _ in range(times):
        part = float32(0.0)
        for i in range(array.shape[0]):
            part += array[i]
        total += part
    return total


def read_rate(size: int, threads: int) -> float:
    """Bytes a second that threads read of an array of so many bytes, each its own share."""
    shares = [np.ones(max(size // threads // 4, 64), dtype=np.float32) for _ in range(threads)]
    times = max(1, int(2e8 // size))
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda share: _read(share, 1), shares))
        started = time.perf_counter()
        list(pool.map(lambda share: _read(share, times), shares))
        return sum(share.nbytes for share in shares) * times / (time.perf_counter() - started)


class Line(NamedTuple):
    """One way to make samples."""

    precision: str
    threads: int


def build(name: str, changes: dict[str, Any]) -> AutoregressiveVocoder:
    """Random weights of a size that keeps signals alive; pruned ones pruned to the end."""
    torch.manual_seed(0)
    vocoder = create_vocoder(name, **changes).eval()
    assert isinstance(vocoder, AutoregressiveVocoder)
    for parameter in vocoder.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    pruning = getattr(vocoder.config, "pruning", None)
    if pruning is not None:
        vocoder.prune(pruning.sparsity)  # type: ignore[operator]
    return vocoder


@torch.no_grad()
def rate(vocoder: AutoregressiveVocoder, engine: Engine, seconds: float) -> float:
    """Samples a second of one utterance after a first window of it."""
    vocoder.engine = engine
    loop = vocoder.start_loop(1)
    frames = max(1, round(seconds * vocoder.sample_rate / vocoder.hop_length))
    mel = None
    if vocoder.conditioning == "mel":
        mel = torch.randn(1, vocoder.mel_spec.n_mels, frames + 2 * vocoder.crops.context_frames)
    window = LoopWindow(mel, 0, frames)
    numbers = torch.rand(1, frames * vocoder.hop_length, vocoder.uniforms_per_sample) * 0.999 + 5e-4
    short = None if mel is None else mel[..., : 1 + 2 * vocoder.crops.context_frames]
    loop(LoopWindow(short, 0, 1), numbers[:, : vocoder.hop_length])
    started = time.perf_counter()
    loop(window, numbers)
    return frames * vocoder.hop_length / (time.perf_counter() - started)


def first_sound(vocoder: AutoregressiveVocoder, engine: Engine) -> float:
    """Seconds of computing until a streamed utterance is first heard."""
    vocoder.engine = engine
    frames = vocoder.crops.context_frames + SMOOTHING_FRAMES + 1
    chunk = torch.randn(1, vocoder.mel_spec.n_mels, frames)
    started = time.perf_counter()
    next(iter(vocoder.stream(iter([chunk, chunk]), seed=0)))
    return time.perf_counter() - started


def measure(title: str, toy: bool, rounds: int, seconds: float) -> float:
    """Print one vocoder's lines; returns the samples a second of its reference loop."""
    name, changes = LINES[title]
    vocoder = build(name, small(name) if toy else changes)
    sparse = "sparse" in name
    precisions = ("float32",) if sparse else ("float32", "bf16", "int8")
    lines = [Line(p, t) for p in precisions for t in ((1,) if sparse else (1, 2))]
    found: dict[Line, list[float]] = {line: [] for line in lines}
    reads: dict[Line, list[float]] = {line: [] for line in lines}
    sounds: dict[Line, list[float]] = {line: [] for line in lines}
    reference = []
    for number in range(rounds + 1):
        reference.append(rate(vocoder, Engine("reference"), 0.02))
        for line in lines:
            engine = Engine("fast", line.precision, line.threads)  # type: ignore[arg-type]
            size = vocoder.compiled_loop(engine).weight_bytes
            made = rate(vocoder, engine, seconds)
            if vocoder.conditioning == "mel":
                sounds[line].append(first_sound(vocoder, engine))
            if number:  # the first compiles
                found[line].append(made)
                reads[line].append(read_rate(size, line.threads))
    for line in lines:
        engine = Engine("fast", line.precision, line.threads)  # type: ignore[arg-type]
        loop = vocoder.compiled_loop(engine)
        if line.threads > loop.threads:
            continue
        made, bandwidth = statistics.median(found[line]), statistics.median(reads[line])
        floor = bandwidth / loop.weight_bytes
        theirs = PUBLISHED.get(title)
        times = f"{made / theirs[line.threads - 1]:.1f}" if theirs else "-"
        sound = f"{1000 * statistics.median(sounds[line][1:]):.0f}" if sounds[line] else "-"
        print(
            f"| {title} | {line.precision} | {line.threads} | {made:,.0f} | "
            f"{min(found[line]):,.0f}-{max(found[line]):,.0f} | {made / vocoder.sample_rate:.2f} | "
            f"{times} | {loop.weight_bytes / 1e6:.2f} | {bandwidth / 1e9:.0f} | {floor:,.0f} | "
            f"{floor / made:.2f} | {sound} |",
            flush=True,
        )
    return statistics.median(reference)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocoder", action="append", choices=LINES, help="default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--quick", action="store_true", help="toy sizes: to see it run")
    options = parser.parse_args(argv)
    if options.quick:
        parser.set_defaults(rounds=1, seconds=0.05)
        options = parser.parse_args(argv)
    print(
        "| vocoder | weights | threads | samples/s | range | x real time | x published loop | "
        "MB a sample | GB/s read | floor samples/s | floor / ours | first sound ms |"
    )
    print("|---|---|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|")
    references = [
        f"{title} {measure(title, options.quick, options.rounds, options.seconds):.0f}/s"
        for title in options.vocoder or LINES
    ]
    print(f"\nReference loops: {'; '.join(references)}")


if __name__ == "__main__":
    main()
