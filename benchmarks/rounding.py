"""Likelihood that rounded weights cost a trained WaveNet or WaveRNN.

    python benchmarks/rounding.py CHECKPOINT \\
        --prepared EXP/01_prepare/latest --mels EXP/02_mels/latest

For each precision of the compiled loop: bits per sample of whole dev recordings, each sample after
the true ones, and mel L1 and M-STFT of what it says of their mels.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / root) for root in ("pipeline", "stages")]

import torch

from wavewright.audio.files import from_pcm16
from wavewright.checkpoints.checkpoint import load_vocoder
from wavewright.data.manifest import read_manifest, usable_rows
from wavewright.data.shards import Shards
from wavewright.kernels.loop import Engine
from wavewright.metrics.mel_l1 import MelL1
from wavewright.metrics.mstft import MSTFT
from wavewright.models.autoregressive import AutoregressiveVocoder
from wavewright.training.crops import full_utterance_batch


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--mels", type=Path, required=True)
    parser.add_argument("--utterances", type=int, default=6)
    parser.add_argument("--quick", action="store_true", help="toy sizes: to see it run")
    options = parser.parse_args(argv)
    if options.quick:
        parser.set_defaults(utterances=1)
        options = parser.parse_args(argv)
    vocoder = load_vocoder(options.checkpoint)
    assert isinstance(vocoder, AutoregressiveVocoder)
    audio, mels = Shards(options.prepared / "audio"), Shards(options.mels)
    manifest = read_manifest(options.prepared / "manifest.parquet")
    ids = usable_rows(manifest, "dev")["id"].tolist()[: options.utterances]
    metrics = (MelL1(), MSTFT())
    print("| vocoder | weights | bits a sample | mel L1 | M-STFT |")
    print("|---|---|---:|---:|---:|")
    for precision in ("float32", "bf16", "int8"):
        vocoder.engine = Engine(precision=precision, threads=1)
        bits, distances = [], []
        for utterance in ids:
            batch = full_utterance_batch(audio, mels, utterance, vocoder)
            bits.append(float(vocoder.bits_per_sample_quantized(batch, vocoder.engine)))
            mel = torch.from_numpy(mels.array(utterance).copy())[None]
            said = vocoder.generate(mel, seed=0)[0].numpy()
            natural = from_pcm16(audio.array(utterance))
            length = min(len(said), len(natural))
            pair = natural[:length], said[:length]
            distances.append([float(metric(*pair, vocoder.sample_rate)) for metric in metrics])
        means = " | ".join(f"{fmean(values):.3f}" for values in zip(*distances, strict=True))
        print(f"| {vocoder.name} | {precision} | {fmean(bits):.4f} | {means} |", flush=True)


if __name__ == "__main__":
    main()
