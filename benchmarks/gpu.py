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
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / root) for root in ("pipeline", "stages")]

import torch

from wavewright.inference.optimize import optimize_for_inference
from wavewright.mel.transform import log_mel
from wavewright.models.batch import Batch
from wavewright.registry import create_vocoder
from wavewright.training.state import Session

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


def training(name: str, precision: str, device: torch.device, repeats: int) -> Row:
    """Steps of the whole adversarial training, on noise that is loud enough."""
    torch.manual_seed(0)
    model = create_vocoder(name)
    hop = model.hop_length
    segment = SEGMENT // hop * hop
    wav = 0.1 * torch.randn(BATCH, segment)
    mel = log_mel(wav, model.mel)[..., : segment // hop]
    batch = Batch(wav, mel, ["noise"] * BATCH).to(device)
    session = Session(model, 1000, device, 0, "bf16" if precision == "bf16" else "float32")
    session.step = 10**7  # every adversary has started
    _peak(device)
    seconds = timed(lambda: session.advance(batch), device, repeats)
    audio = batch.seconds(model.mel)
    return {"seconds": seconds, "audio_per_second": audio / seconds, "GiB": _peak(device)}


def inference(name: str, precision: str, device: torch.device, repeats: int) -> Row:
    """Ten seconds of audio, one utterance."""
    torch.manual_seed(0)
    vocoder = create_vocoder(name).to(device).eval()
    quick = optimize_for_inference(copy.deepcopy(vocoder), precision)
    frames = round(10 * vocoder.sample_rate / vocoder.hop_length)
    mel = (torch.randn(1, vocoder.mel.n_mels, frames) - 4).to(device)
    _peak(device)
    with torch.inference_mode():
        seconds = timed(lambda: quick.generate(mel, seed=0), device, repeats)
    return {"seconds": seconds, "audio_per_second": 10 / seconds, "GiB": _peak(device)}


def main() -> None:
    """Measure what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vocoder", action="append")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--device", default="cuda")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else "processor"
    end = time.monotonic() + 60 * arguments.minutes
    found: dict[str, Row] = {}
    if arguments.out.is_file():
        found = json.loads(arguments.out.read_text())
    for name in arguments.vocoder or NAMES:
        for precision in ("float32", "bf16"):
            for kind, work in (("training", training), ("inference", inference)):
                key = f"{machine}/{name}/{precision}/{kind}"
                if key in found or time.monotonic() > end:
                    continue
                try:
                    found[key] = work(name, precision, device, arguments.repeats)
                except torch.OutOfMemoryError:
                    found[key] = {"error": "out of memory"}
                arguments.out.write_text(json.dumps(found, indent=1))
                print(key, found[key], file=sys.stderr, flush=True)
    print(
        f"{date.today()}, torch {torch.__version__}, training on {BATCH} crops of {SEGMENT} samples"
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
