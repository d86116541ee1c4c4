"""Training and inference of the vocoders on a GPU, in float32 and bfloat16; resumable.

    python benchmarks/gpu.py [--vocoder NAME]... [--out results.json] [--minutes 9]

Every measurement is written down as soon as it is made, and not made again: the same command goes
on where it was stopped. Needs the source tree and torch alone. Prints the table at the end, or when
the time is up.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / root) for root in ("pipeline", "stages", "")]

import torch

from wavewright.inference.optimize import optimize_for_inference
from wavewright.mel.transform import log_mel
from wavewright.models.batch import Batch
from wavewright.registry import create_vocoder
from wavewright.training.state import TrainState

NAMES = ["hifigan:v1", "hifigan:v3", "melgan", "vocos", "bigvgan", "parallel_wavegan"]
BATCH, SEGMENT = 16, 8192
Row = dict[str, Any]


def timed(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Median seconds of a call, after a third as many to warm up."""
    took = []
    for _ in range(repeats + repeats // 3):
        _finish(device)
        started = time.perf_counter()
        work()
        _finish(device)
        took.append(time.perf_counter() - started)
    return statistics.median(took[repeats // 3 :])


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak(device: torch.device) -> float:
    """GiB at most since the last call."""
    if device.type != "cuda":
        return float("nan")
    peak = torch.cuda.max_memory_allocated(device) / 2**30
    torch.cuda.reset_peak_memory_stats(device)
    return peak


class Load(NamedTuple):
    """Sizes of the measurement: crops of a training step, and seconds of one utterance."""

    batch: int
    segment: int
    seconds: float
    repeats: int


def training(name: str, changes: Row, precision: str, device: torch.device, load: Load) -> Row:
    """Steps of the whole adversarial training, on noise that is loud enough."""
    torch.manual_seed(0)
    model = create_vocoder(name, **changes)
    hop = model.hop_length
    segment = load.segment // hop * hop
    wav = 0.1 * torch.randn(load.batch, segment)
    mel = log_mel(wav, model.mel_spec)[..., : segment // hop]
    batch = Batch(wav, mel, ["noise"] * load.batch).to(device)
    state = TrainState(model, 1000, device, 0, "bf16" if precision == "bf16" else "float32")
    state.step = 10**7  # every adversary has started
    _peak(device)
    seconds = timed(lambda: state.advance(batch), device, load.repeats)
    audio = batch.seconds(model.mel_spec)
    return {"seconds": seconds, "audio_per_second": audio / seconds, "GiB": _peak(device)}


def inference(name: str, changes: Row, precision: str, device: torch.device, load: Load) -> Row:
    """Whole utterances, one at a time."""
    torch.manual_seed(0)
    vocoder = create_vocoder(name, **changes).to(device).eval()
    quick = optimize_for_inference(copy.deepcopy(vocoder), precision)
    frames = round(load.seconds * vocoder.sample_rate / vocoder.hop_length)
    mel = (torch.randn(1, vocoder.mel_spec.n_mels, frames) - 4).to(device)
    _peak(device)
    with torch.inference_mode():
        seconds = timed(lambda: quick.generate(mel, seed=0), device, load.repeats)
    return {"seconds": seconds, "audio_per_second": load.seconds / seconds, "GiB": _peak(device)}


def toy(name: str) -> Row:
    """Changes that make a vocoder as small as the tests' own."""
    from tests.support.tiny import small  # of no use where the sizes are the official ones

    changes = small(name)
    if name == "vocos":
        # In bfloat16 oneDNN's gradients of the few-bin bands of smaller transforms are at times not
        # finite on a processor, and not the same from one call to the next (torch 2.13.0).
        changes = {**changes, "adversary": {**changes["adversary"], "fft_sizes": (512, 256)}}
    return changes


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vocoder", action="append")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="toy sizes: to see it run")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        parser.set_defaults(repeats=1, device="cuda" if torch.cuda.is_available() else "cpu")
        arguments = parser.parse_args(argv)
    device = torch.device(arguments.device)
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else "processor"
    toys = " (toy)" if arguments.quick else ""
    end = time.monotonic() + 60 * arguments.minutes
    found: dict[str, Row] = {}
    load = Load(BATCH, SEGMENT, 10.0, arguments.repeats)
    if arguments.quick:
        load = Load(2, 1024, 0.1, arguments.repeats)
    if arguments.out.is_file():
        found = json.loads(arguments.out.read_text())
    for name in arguments.vocoder or NAMES:
        changes = toy(name) if arguments.quick else {}
        for precision in ("float32", "bf16"):
            for kind, work in (("training", training), ("inference", inference)):
                key = f"{machine}/{name}{toys}/{precision}/{kind}"
                if key in found or time.monotonic() > end:
                    continue
                try:
                    found[key] = work(name, changes, precision, device, load)
                except torch.OutOfMemoryError:
                    found[key] = {"error": "out of memory"}
                arguments.out.write_text(json.dumps(found, indent=1))
                print(key, found[key], file=sys.stderr, flush=True)
    print(
        f"{date.today()}, torch {torch.__version__}, "
        f"training on {load.batch} crops of {load.segment} samples"
    )
    print("| device | vocoder | precision | what | s | x real time | GiB |")
    print("|---|---|---|---|---:|---:|---:|")
    for key, row in found.items():
        cells = (
            f"{row['error']} | | "
            if "error" in row
            else f"{row['seconds']:.4f} | {row['audio_per_second']:.1f} | {row['GiB']:.2f}"
        )
        print(f"| {' | '.join(key.split('/'))} | {cells} |")


if __name__ == "__main__":
    main()
