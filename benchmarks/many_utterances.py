"""Make a finished recipe with very many utterances, to time what a run with nothing to do costs.

    python benchmarks/many_utterances.py FOLDER [--utterances 13100]
    python benchmarks/command_line.py FOLDER/recipe.yaml

The corpus is in LJSpeech layout; each file is a third of a second of noise with a voice's slope
and a syllable's envelope, so that nothing is quarantined. All seven stages run, or those of
`--stages`, with the smallest models and a few steps: what is timed afterwards depends on the number
of files, not on their content. FOLDER needs 0.7 GB.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import lfilter

SAMPLE_RATE = 22050
SYLLABLES = ["ba", "de", "fi", "go", "ku", "la", "me", "ni", "po", "ra", "se", "ti", "vo", "wa"]
RECIPE = """\
recipe: many
about: Very many tiny files.
work_dir: exp
seed: 1
mel: {preset: hifigan}
"""
#: What the recipe says of each stage.
STAGES = {
    "download": "download: {source: corpus}\n",
    "prepare": "prepare: {speaker: noise, trim: none, dev: 8, test: 8}\n",
    "mels": "",
    "acoustic": """\
acoustic: {model: "tacotron2:small", max_steps: 4, batch_size: 4, spoken_utterances: 1}
""",
    "gta": "gta: {}\n",
    "train": """\
train:
  vocoders: {"hifigan:small": {}}
  features: natural-then-gta
  gta_start: 2
  max_steps: 4
  batch_size: 2
  segment_length: 4096
""",
    "evaluate": "evaluate: {metrics: [mel_l1]}\n",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Write corpus and recipe, and run the recipe to its end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--utterances", type=int, default=13_100)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--quick", action="store_true", help="toy sizes: to see it run")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        parser.set_defaults(utterances=24, stages=["download", "prepare"])
        arguments = parser.parse_args(argv)
    write_corpus(arguments.folder / "corpus", arguments.utterances)
    recipe = arguments.folder / "recipe.yaml"
    chosen = [stage for stage in STAGES if stage in arguments.stages]
    listed = f"stages: [{', '.join(chosen)}]\n"
    recipe.write_text(RECIPE + listed + "".join(STAGES[stage] for stage in chosen))
    subprocess.run([sys.executable, "-m", "wavewright", "run", str(recipe)], check=True)


def write_corpus(folder: Path, utterances: int) -> None:
    """`metadata.csv` and `wavs/`, different in every utterance, the same in every run."""
    (folder / "wavs").mkdir(parents=True, exist_ok=True)
    envelope = np.hanning(SAMPLE_RATE // 3)
    lines = []
    for index in range(utterances):
        rng = np.random.default_rng(index)
        noise = lfilter([1.0], [1.0, -0.95], rng.standard_normal(envelope.size)) * envelope
        name = f"many-{index:06d}"
        wav = (0.3 * noise / np.abs(noise).max()).astype(np.float32)
        soundfile.write(folder / "wavs" / f"{name}.wav", wav, SAMPLE_RATE, "PCM_16")
        text = " ".join(rng.choice(SYLLABLES, 3)).capitalize() + "."
        lines.append(f"{name}|{text}|{text}\n")
    (folder / "metadata.csv").write_text("".join(lines))


if __name__ == "__main__":
    main()
