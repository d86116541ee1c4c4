"""Speed of mel extraction on one core, beside the field's extractors.

    python benchmarks/mel.py FOLDER_OF_AUDIO [--files 200] [--rounds 9]

All take the same log-mel (80 bands, 80 to 7,600 Hz, FFT of 1,024, hop of 256, window of the same
length) of the same files, turn by turn in one process with one thread; the table holds medians of
the rounds. ParallelWaveGAN's own function is timed where that package can be imported (it needs
SciPy's old name of the Kaiser window, which is given to it). Two parts of the work give the floor:
the Fourier transform alone, and that with the cutting of frames.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

for _library in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"
sys.path[:0] = [str(Path(__file__).resolve().parents[1] / root) for root in ("pipeline", "stages")]

import librosa
import numpy as np
import torch

from wavewright.audio.files import load_wav
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel
from wavewright.mel.transform_numpy import log_mel_numpy

SPEC = MelSpec.preset("parallel-wavegan").bands_first
Extractor = Callable[[np.ndarray], object]


def parallel_wavegan() -> Extractor | None:
    """The peer's own function, in the configuration of its LJSpeech recipes."""
    import scipy.signal

    if not hasattr(scipy.signal, "kaiser"):
        scipy.signal.kaiser = scipy.signal.windows.kaiser
    try:
        from parallel_wavegan.bin.preprocess import logmelfilterbank
    except ImportError as error:
        print(f"parallel_wavegan cannot be imported ({error}): its line is left out")
        return None
    return lambda wav: logmelfilterbank(
        wav, SPEC.sample_rate, fft_size=1024, hop_size=256, num_mels=80, fmin=80, fmax=7600
    )


def librosa_mel(wav: np.ndarray) -> np.ndarray:
    """librosa's, whose basis is computed for every file too."""
    amplitude = librosa.feature.melspectrogram(
        y=wav, sr=SPEC.sample_rate, n_fft=1024, hop_length=256, n_mels=80, fmin=80, fmax=7600,
        power=1.0, pad_mode="reflect",
    )  # fmt: skip
    return np.log10(np.maximum(amplitude, SPEC.floor))


def fourier_only(wav: np.ndarray) -> torch.Tensor:
    """The transform of every frame and nothing else, in blocks that stay in the cache."""
    frames = torch.from_numpy(wav).unfold(0, 1024, 256)
    block = torch.empty(64, 1024)
    for part in frames.split(64):
        spectrum = torch.fft.rfft(block[: len(part)].copy_(part))
    return spectrum


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="toy sizes: to see it run")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        parser.set_defaults(files=2, rounds=1)
        arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    paths = sorted(p for p in arguments.folder.rglob("*") if p.suffix in (".wav", ".flac"))
    wavs = [load_wav(path, SPEC.sample_rate)[0] for path in paths[: arguments.files]]
    seconds = sum(map(len, wavs)) / SPEC.sample_rate
    peer = parallel_wavegan()
    extractors: dict[str, Extractor] = {
        **({"ParallelWaveGAN logmelfilterbank": peer} if peer else {}),
        "librosa melspectrogram + log10": librosa_mel,
        "wavewright log_mel (torch, the reference)": lambda wav: log_mel(
            torch.from_numpy(wav), SPEC
        ),
        "wavewright log_mel_numpy": lambda wav: log_mel_numpy(wav, SPEC),
        "floor: framing and Fourier transform only": fourier_only,
    }
    times: dict[str, list[float]] = {name: [] for name in extractors}
    for turn in range(arguments.rounds + 1):
        for name, extract in extractors.items():
            started = time.perf_counter()
            for wav in wavs:
                extract(wav)
            if turn:  # the first turn compiles and warms the caches
                times[name].append(time.perf_counter() - started)
    first = next(iter(extractors))
    print(f"{len(wavs)} files, {seconds:.0f} s of audio, medians of {arguments.rounds} rounds")
    print(f"| extractor | x real time | range | ratio to {first} |\n|---|---:|---|---:|")
    for name, values in times.items():
        speed = seconds / statistics.median(values)
        spread = f"{seconds / max(values):.0f}-{seconds / min(values):.0f}"
        ratio = statistics.median(a / b for a, b in zip(times[first], values, strict=True))
        print(f"| {name} | {speed:.0f} | {spread} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
