"""Accuracy of `wavewright doctor` on every preset's mels of real speech.

    python benchmarks/doctor.py FOLDER_OF_AUDIO [--files 4] [--jobs 2]

Each preset's mel of each recording (resampled where the preset's rate asks for it) is given with
its recording and alone, as it is and changed as mels are in the wild. The answer counts as

- named: the preset, or one of equal numbers, is the one answer;
- ambiguous: it is among several answers, and the report says what would decide;
- unsure: it is not among them, and the report says that its confidence is low;
- wrong: it is not among them, and the report does not say so.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

for _library in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"
sys.path[:0] = [str(Path(__file__).resolve().parents[1] / root) for root in ("pipeline", "stages")]

import numpy as np

from wavewright.audio.files import load_wav, resample
from wavewright.doctor import mel_alone, mel_and_wav
from wavewright.doctor.diagnosis import Diagnosis
from wavewright.doctor.fit import Recording
from wavewright.doctor.identify import preset_groups
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform_numpy import log_mel_numpy

OUTCOMES = ("named", "ambiguous", "unsure", "wrong")
GIVEN = ("with the recording", "alone")
TIMELESS = {"half a hop late", "1234 samples trimmed"}  # changes that a mel alone cannot show


def changes(spec: MelSpec, wav: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """(what was done, mel) in the preset's layout unless the change is of that."""
    mel = log_mel_numpy(wav, spec)
    axis = 1 if spec.layout == "bands_first" else 0
    frames = mel.shape[axis]
    yield "as it is", mel
    yield "other layout", mel.T
    yield "half precision", mel.astype(np.float16)
    if spec.normalisation is None:
        deviation = np.maximum(mel.std(axis, keepdims=True), 1e-3)
        yield "statistics", (mel - mel.mean(axis, keepdims=True)) / deviation
    yield "cut from the middle", np.take(mel, range(frames // 3, frames // 3 + 70), axis)
    yield "half a hop late", log_mel_numpy(wav[spec.hop_length // 2 :].copy(), spec)
    yield "1234 samples trimmed", log_mel_numpy(wav[1234:].copy(), spec)
    widths = [(0, 0), (0, 12)] if axis == 1 else [(0, 12), (0, 0)]
    yield "12 frames of 0.0 after", np.pad(mel, widths)
    yield (
        "scaled to a peak of 0.95",
        log_mel_numpy(wav / np.abs(wav).max() * np.float32(0.95), spec),
    )


def outcome(diagnosis: Diagnosis, true: set[str]) -> str:
    """Which of OUTCOMES."""
    if not true & set(diagnosis.names):
        return "unsure" if diagnosis.confidence == "low" else "wrong"
    if true >= set(diagnosis.names):
        return "named"
    return "ambiguous" if diagnosis.decide or diagnosis.differences else "wrong"


Counted = dict[tuple[str, str], Counter[str]]
Spent = dict[str, list[float]]


def grid(path: Path, conventions: int | None) -> tuple[Counted, Spent, list[str]]:
    """Outcomes, seconds, and what was not named right, of one recording and so many conventions."""
    counted: Counted = defaultdict(Counter)
    spent: Spent = defaultdict(list)
    wrong: list[str] = []
    wav, rate = load_wav(path)
    for names, _ in preset_groups()[:conventions]:
        spec = MelSpec.preset(names[0])
        for what, mel in changes(spec, resample(wav, rate, spec.sample_rate)):
            for given in GIVEN[: 1 if what in TIMELESS else 2]:
                started = time.perf_counter()
                if given == GIVEN[0]:
                    diagnosis, _ = mel_and_wav.diagnose(mel, Recording(wav, rate))
                else:
                    diagnosis, _ = mel_alone.diagnose(mel)
                spent[given].append(time.perf_counter() - started)
                ended = outcome(diagnosis, set(names))
                counted[given, what][ended] += 1
                if ended in OUTCOMES[2:]:
                    wrong.append(f"{path.stem} {names[0]} {what} {given} {ended} {diagnosis.names}")
    return counted, spent, wrong


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--conventions", type=int, help="default: all")
    parser.add_argument("--show", action="store_true", help="print what was not named right")
    parser.add_argument("--quick", action="store_true", help="toy sizes: to see it run")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        parser.set_defaults(files=1, conventions=1)
        arguments = parser.parse_args(argv)
    counted: Counted = defaultdict(Counter)
    spent: Spent = defaultdict(list)
    paths = sorted(p for p in arguments.folder.rglob("*") if p.suffix in (".wav", ".flac"))
    work = partial(grid, conventions=arguments.conventions)
    with contextlib.ExitStack() as stack:
        results: Iterable[tuple[Counted, Spent, list[str]]]
        if arguments.jobs == 1:
            results = map(work, paths[: arguments.files])
        else:
            pool = ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn"))
            results = stack.enter_context(pool).map(work, paths[: arguments.files])
        for counts, seconds, wrong in results:
            for key, counter in counts.items():
                counted[key] += counter
            for given, times in seconds.items():
                spent[given] += times
            if arguments.show and wrong:
                print("\n".join(wrong), flush=True)
    table(counted, spent)


def table(counted: Counted, spent: Spent) -> None:
    """Print counts as Markdown, and the medians of the times."""
    print("| given | change | " + " | ".join(OUTCOMES) + " |")
    print("|---|---|" + "---:|" * len(OUTCOMES))
    for given in GIVEN:
        total: Counter[str] = Counter()
        for (which, what), counts in counted.items():
            if which == given:
                total += counts
                print(
                    f"| {given} | {what} | " + " | ".join(str(counts[o]) for o in OUTCOMES) + " |"
                )
        print(f"| {given} | **all** | " + " | ".join(f"**{total[o]}**" for o in OUTCOMES) + " |")
    for given, times in spent.items():
        print(f"\n{given}: median {np.median(times):.2f} s, longest {max(times):.2f} s")


if __name__ == "__main__":
    main()
