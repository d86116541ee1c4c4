"""Makes weights/: a tiny HiFi-GAN for each client whose mels no vocoder of the recipes knows.

    python -m tests.clients.train_weights [PRESET...]

ljspeech-mini but its last utterance, the mel loss alone; some minutes each on one core. They are
there to be plugged in, not to be listened to for pleasure.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from wavewright.audio.files import load_wav, to_pcm16
from wavewright.checkpoints.checkpoint import load_vocoder, write_weights
from wavewright.data.shards import Array, Shards, write_shards
from wavewright.io.files import atomic_write
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel
from wavewright.registry import create_vocoder
from wavewright.training.crops import CropData
from wavewright.training.loop import train
from wavewright.training.options import TrainingOptions
from wavewright.training.seeding import seed_everything

HERE = Path(__file__).parent
WEIGHTS = HERE / "weights"
PRESETS = ("espnet", "speecht5", "coqui", "nemo-fastpitch-22k", "nemo-fastpitch-44k")
HELD_OUT = "LJ001-0024"
STEPS = 1500
_SEED = 1
_BATCH = 8
_SIZES: dict[str, Any] = {
    "upsample_rates": (8, 8, 4),
    "upsample_kernel_sizes": (16, 16, 8),
    "upsample_initial_channel": 64,
    "resblock": 2,
    "resblock_kernel_sizes": (3, 7),
    "resblock_dilation_sizes": ((1, 2), (1, 6)),
}
_HOP_512 = {"upsample_rates": (8, 8, 8), "upsample_kernel_sizes": (16, 16, 16)}


def main(presets: tuple[str, ...]) -> None:
    """Train one for each preset."""
    beside = HERE.resolve().parents[1].parent / "shared"
    shared = Path(os.environ.get("WAVEWRIGHT_SHARED") or beside)
    corpus = shared / "corpora" / "ljspeech-mini" / "wavs"
    for preset in presets:
        with tempfile.TemporaryDirectory() as scratch:
            _train(preset, corpus, Path(scratch))


def _train(preset: str, corpus: Path, folder: Path) -> None:
    spec = MelSpec.preset(preset).bands_first
    ids = sorted(path.stem for path in corpus.glob("*.wav") if path.stem != HELD_OUT)

    def wav(utterance: str) -> Array:
        return to_pcm16(load_wav(corpus / f"{utterance}.wav", spec.sample_rate)[0])

    def mel(utterance: str) -> Array:
        samples, _ = load_wav(corpus / f"{utterance}.wav", spec.sample_rate)
        values: Array = log_mel(torch.from_numpy(samples), spec).numpy()
        return values

    write_shards(folder / "audio", ids, wav, mel=None, sample_rate=spec.sample_rate)
    write_shards(folder / "mels", ids, mel, mel=spec, sample_rate=spec.sample_rate)
    segment = 16 * spec.hop_length
    data = CropData(
        Shards(folder / "audio"), Shards(folder / "mels"), ids,
        segment_length=segment, batch_size=_BATCH, seed=_SEED,
    )  # fmt: skip
    seed_everything(_SEED, 0)
    sizes = {**_SIZES, **(_HOP_512 if spec.hop_length == 512 else {})}
    model = create_vocoder(
        "hifigan", mel=spec, adversary_start=10**9, learning_rate=2e-3, betas=(0.9, 0.99),
        learning_rate_decay=math.exp(math.log(0.05) * len(data) / STEPS), **sizes,
    )  # fmt: skip
    options = TrainingOptions(max_steps=STEPS, seed=_SEED, checkpoint_every=STEPS, log_every=500)
    train(model, data, run=folder / "run", options=options)
    WEIGHTS.mkdir(exist_ok=True)
    with atomic_write(WEIGHTS / f"hifigan-{preset}.safetensors") as out:
        write_weights(out, load_vocoder(folder / "run"), STEPS, dtype=torch.float16)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or PRESETS)
