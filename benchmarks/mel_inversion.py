"""Quality and speed of waveforms made of a mel alone, by Griffin-Lim and its relatives.

    python benchmarks/mel_inversion.py RECORDINGS [--count 8] [--mel hifigan] [--seed 0]

Copies of recordings by every variant of `griffinlim`, and by two published methods that look for a
spectrum's magnitudes and phases together: alternating proximal steps with inertia (Masuyama, Ueno
and Ono 2023, arXiv:2307.12232) and the alternating direction method of multipliers (the same,
2025, arXiv:2501.05557). No code of theirs is public: `proximal` and `admm` are our reading of the
abstracts' formulation, with weights of our own, and stand for the methods, not for their results.
All begin with the same phases and take 60 iterations (`griffinlim:streaming` its own). Real-time
factors are CPU time on one thread.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), *(str(HERE.parent / root) for root in ("pipeline", "stages", ""))]

import numpy as np
import torch
from torch import Tensor

from wavewright.audio.files import load_wav
from wavewright.evaluation.measure import metric_class
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel
from wavewright.nn.mel_consistency import MelConsistency
from wavewright.registry import create_vocoder
from wavewright.vocoders.griffinlim import GriffinLim

ITERATIONS = 60
METRICS = ("pesq", "mel_l1", "mstft", "f0_rmse", "vuv_f1")
Method = Callable[[Tensor, int], Tensor]


class _Fit:
    """Magnitudes near given ones whose mel is near the given one: a least-squares solution.

    Minimizes near/2 |y - v|^2 + weight/2 |F y - m|^2 over y, and clips it at 0. Bands are scaled
    alike, so that one weight serves all of them.
    """

    def __init__(
        self, consistency: MelConsistency, mel: Tensor, weight: float, near: float = 1.0
    ) -> None:
        filterbank = consistency.filterbank  # (bins, n_mels)
        norms = filterbank.norm(dim=0).clamp(min=1e-12)
        scaled = filterbank / norms
        matrix = near * torch.eye(len(scaled)) + weight * scaled @ scaled.T
        inverse = torch.linalg.inv(matrix)
        target = consistency.band_amplitudes(mel) / norms
        self.from_magnitude = near * inverse
        self.offset = weight * target @ (scaled.T @ inverse)

    def __call__(self, magnitude: Tensor) -> Tensor:
        return (magnitude @ self.from_magnitude + self.offset).clamp(min=0)


def _with_magnitude(spectrum: Tensor, magnitude: Tensor, above: Tensor) -> Tensor:
    """Spectrum with other magnitudes, except in the bins above the highest band."""
    changed = spectrum * (magnitude / spectrum.abs().clamp(min=1e-12))
    return torch.where(above > 0, spectrum, changed)


def proximal(vocoder: GriffinLim, mel: Tensor, seed: int, weight: float, inertia: float) -> Tensor:
    """Waveform by alternating steps: nearest consistent spectrum, nearest magnitudes of the mel."""
    consistency, stft = vocoder.consistency, vocoder.stft
    spectrum = _start(vocoder, mel, seed)
    fit, previous = _Fit(consistency, mel, weight), None
    for _ in range(ITERATIONS):
        consistent = stft(stft.inverse(spectrum))
        ahead = consistent
        if previous is not None:
            ahead = consistent + inertia * (consistent - previous)
        previous = consistent
        spectrum = _with_magnitude(ahead, fit(ahead.abs()), consistency.above)
    return stft.crop(stft.inverse(spectrum))


def admm(vocoder: GriffinLim, mel: Tensor, seed: int, weight: float, penalty: float) -> Tensor:
    """Waveform by splitting the spectrum into a consistent one and one with the right mel."""
    consistency, stft = vocoder.consistency, vocoder.stft
    spectrum = _start(vocoder, mel, seed)
    dual = torch.zeros_like(spectrum)
    fit = _Fit(consistency, mel, weight, near=penalty / (1 + penalty))
    consistent = spectrum
    for _ in range(ITERATIONS):
        consistent = stft(stft.inverse(spectrum + dual))
        goal = consistent - dual
        magnitude = (fit(goal.abs()) + penalty * goal.abs()) / (1 + penalty)
        spectrum = _with_magnitude(goal, magnitude, consistency.above)
        dual = dual + spectrum - consistent
    return stft.crop(stft.inverse(consistent))


def _start(vocoder: GriffinLim, mel: Tensor, seed: int) -> Tensor:
    (phases,) = vocoder.draw_noise(len(mel), mel.shape[-1], seed=seed)
    return vocoder.first_estimate(vocoder.consistency.band_amplitudes(mel), phases)


def methods(spec: MelSpec) -> dict[str, Method]:
    """Every method by name, from a mel (1, n_mels, frames) and a seed to (1, samples)."""

    def griffin_lim(name: str) -> Method:
        vocoder = create_vocoder(name, mel=spec)
        return lambda mel, seed: vocoder.generate(mel, seed=seed)

    base = create_vocoder("griffinlim", mel=spec)
    assert isinstance(base, GriffinLim)
    names = ("griffinlim:magnitude", "griffinlim:mel", "griffinlim:streaming")
    found = {name: griffin_lim(name) for name in names}
    for weight in (3.0, 30.0):
        found[f"proximal, weight {weight:g}"] = lambda mel, seed, weight=weight: proximal(
            base, mel, seed, weight, 0.9
        )
    for penalty in (0.05, 0.2):
        found[f"admm, penalty {penalty:g}"] = lambda mel, seed, penalty=penalty: admm(
            base, mel, seed, 30.0, penalty
        )
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table of metrics and real-time factors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path, help="folder of recordings")
    parser.add_argument("--count", type=int, default=8, help="recordings, spread over the folder")
    parser.add_argument("--mel", default="hifigan", help="preset of the mel")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="one recording: to see it run")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    spec = MelSpec.preset(arguments.mel).bands_first
    files = sorted(path for path in arguments.recordings.rglob("*") if path.is_file())
    count = 1 if arguments.quick else arguments.count
    files = [files[i] for i in np.linspace(0, len(files) - 1, min(count, len(files))).astype(int)]
    chosen = ("mel_l1", "mstft") if arguments.quick else METRICS
    metrics = [metric_class(name)() for name in chosen]
    print(f"| {len(files)} recordings, {arguments.mel} | RTF | {' | '.join(chosen)} |")
    print("|---|" + "---:|" * (len(chosen) + 1))
    for name, method in methods(spec).items():
        seconds, spent, rows = 0.0, 0.0, []
        for file in files:
            wav, _ = load_wav(file, spec.sample_rate)
            if arguments.quick:
                wav = wav[: spec.sample_rate]
            wav = wav[: len(wav) // spec.hop_length * spec.hop_length]
            mel = log_mel(torch.from_numpy(wav), spec)[None]
            started = time.process_time()
            with torch.no_grad():
                copy = method(mel, arguments.seed)[0, : len(wav)].clamp(-1, 1).numpy()
            spent += time.process_time() - started
            seconds += len(wav) / spec.sample_rate
            rows.append([float(metric(wav, copy, spec.sample_rate)) for metric in metrics])
        means = " | ".join(f"{value:.3f}" for value in np.nanmean(rows, axis=0))
        print(f"| {name} | {spent / seconds:.3f} | {means} |", flush=True)


if __name__ == "__main__":
    main()
