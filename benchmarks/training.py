"""Gain of the loop's order of operations over the published one, and of bfloat16.

    python benchmarks/training.py FOLDER_OF_AUDIO [--vocoder NAME]... [--batch N] [--steps 10]

For every vocoder three trainings of the same seed take the same steps turn by turn in one process:
in the order of operations that the authors published (tests/published_order.py), in the loop's, and
in the loop's with bfloat16. The first two must have the same losses. All in the official size, on
crops of 8,192 samples of real speech.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / root) for root in ("pipeline", "stages", "")]

import numpy as np
import torch

from tests.support.published_order import STEPS
from tests.support.tiny import small
from wavewright.audio.files import load_wav
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel
from wavewright.models.batch import Batch
from wavewright.registry import create_vocoder
from wavewright.training.state import TrainState

SEGMENT = 8192
BATCHES = {"hifigan:v3": 4, "melgan": 16}


def crops(folder: Path, spec: MelSpec, batch: int, steps: int) -> list[Batch]:
    """Random crops of the files in a folder, one batch per step."""
    random = np.random.default_rng(0)
    paths = sorted(p for p in folder.rglob("*") if p.suffix in (".wav", ".flac"))[:200]
    wavs = [load_wav(path, spec.sample_rate)[0] for path in paths]
    wavs = [wav for wav in wavs if len(wav) > SEGMENT]
    made = []
    for _ in range(steps):
        picked = [wavs[i] for i in random.integers(len(wavs), size=batch)]
        starts = [int(random.integers(len(wav) - SEGMENT)) for wav in picked]
        pairs = zip(picked, starts, strict=True)
        wav = torch.from_numpy(np.stack([w[s : s + SEGMENT] for w, s in pairs]))
        mel = log_mel(wav, spec)[..., : SEGMENT // spec.hop_length]
        made.append(Batch(wav, mel, [str(i) for i in range(batch)]))
    return made


def fresh_state(name: str, changes: dict[str, Any], precision: str) -> TrainState:
    """A fresh training; the same weights at every call."""
    torch.manual_seed(0)
    return TrainState(
        create_vocoder(name, **changes),
        10**6,
        torch.device("cpu"),
        0,
        "bf16" if precision == "bf16" else "float32",
    )


def compare(name: str, changes: dict[str, Any], folder: Path, batch: int, steps: int) -> None:
    """Print the table's lines of one vocoder."""
    published, ours, half = (fresh_state(name, changes, kind) for kind in ("", "", "bf16"))
    # Passes bring HiFi-GAN's spectral norm nearer to the true one, and ours makes one less a step.
    for one in (published, ours, half):
        with torch.no_grad():
            for _ in range(50):
                one.model.discriminators["discriminator"](torch.zeros(1, 1024))
    step_as_published = STEPS[name.partition(":")[0]]
    times: dict[str, list[float]] = {"published": [], "ours": [], "bf16": []}
    largest = 0.0
    for data in crops(folder, ours.model.mel_spec, batch, steps):
        rows = []
        for label, step in (
            ("published", lambda data: step_as_published(published, data)),
            ("ours", ours.advance),
            ("bf16", half.advance),
        ):
            started = time.perf_counter()
            rows.append({key: float(value.detach()) for key, value in step(data).items()})
            times[label].append(time.perf_counter() - started)
        largest = max(
            largest, *(abs(rows[1][key] - value) / abs(value) for key, value in rows[0].items())
        )
    base = times["published"][1:]
    for label, values in times.items():
        ratio = statistics.median(a / b for a, b in zip(base, values[1:], strict=True))
        error = f"{largest:.1e}" if label == "ours" else ""
        print(
            f"| {name} | {batch} | {label} | {statistics.median(values[1:]):.2f} | "
            f"{min(values[1:]):.2f}-{max(values[1:]):.2f} | {ratio:.2f} | {error} |",
            flush=True,
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vocoder", action="append", choices=list(BATCHES))
    parser.add_argument("--batch", type=int)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="toy sizes: to see it run")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        parser.set_defaults(steps=2, batch=2)
        arguments = parser.parse_args(argv)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    print("| vocoder | batch | order | s/step | range | ratio | largest difference of a loss |")
    print("|---|---:|---|---:|---|---:|---:|")
    for name in arguments.vocoder or BATCHES:
        changes = small(name) if arguments.quick else {}
        batch = arguments.batch or BATCHES[name]
        compare(name, changes, arguments.folder, batch, arguments.steps)


if __name__ == "__main__":
    main()
