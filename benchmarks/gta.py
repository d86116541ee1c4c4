"""Speed of GTA mels in batches against one utterance at a time.

    python benchmarks/gta.py PREPARED MELS ACOUSTIC [--utterances 48] [--batch 16] [--rounds 5]

The three are the folders of a recipe's stages prepare, mels and acoustic. The same utterances,
spread over the corpus, are made by the code of the stage in one process, turn by turn one at a time
and in batches of like length; medians, and the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / root) for root in ("pipeline", "stages")]

import numpy as np
import torch

from wavewright.evaluation.layout import pick_evenly
from wavewright.gta.maker import GtaMaker


def maker(arguments: argparse.Namespace, batch_size: int) -> GtaMaker:
    """Build the stage's maker, without the folder that it would fill."""
    return GtaMaker(
        prepared=arguments.prepared,
        mels=arguments.mels,
        acoustic=arguments.acoustic,
        gta=Path(),
        device="cpu",
        seed=0,
        on_missing="natural",
        least_diagonality=None,
        on_bad_alignment="keep",
        dropout_samples=1,
        batch_size=batch_size,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("prepared", "mels", "acoustic"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--utterances", type=int, default=48)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="toy sizes: to see it run")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        parser.set_defaults(threads=1, utterances=4, batch=2, rounds=1)
        arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    makers = {size: maker(arguments, size) for size in (1, arguments.batch)}
    ids = pick_evenly(sorted(makers[1].texts), arguments.utterances)
    made, took = {}, {size: [] for size in makers}  # type: ignore[var-annotated]
    for lap in range(arguments.rounds + 1):
        for size, one in makers.items():
            started = time.perf_counter()
            made[size], _ = one.make_mels(ids)
            if lap:  # the first is to warm up
                took[size].append(time.perf_counter() - started)
    apart = max(float(np.abs(made[1][u] - made[arguments.batch][u]).max()) for u in ids)
    spec = makers[1].spec
    frames = sum(mel.shape[1] for mel in made[1].values())
    audio = frames * spec.hop_length / spec.sample_rate
    print("| batch | seconds | x real time | ratio |\n|---:|---:|---:|---:|")
    for size, seconds in took.items():
        ratio = statistics.median(a / b for a, b in zip(took[1], seconds, strict=True))
        spent = statistics.median(seconds)
        print(f"| {size} | {spent:.2f} | {audio / spent:.0f} | {ratio:.2f} |")
    print(f"\n{len(ids)} utterances, {audio:.0f} s; largest difference of a value {apart:.1e}")


if __name__ == "__main__":
    main()
