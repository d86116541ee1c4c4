"""Train a classifier of the corpus's own classes, which scores unconditional vocoders."""

from __future__ import annotations

import logging
from typing import Literal

from pydantic import PositiveInt

from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.stage import In, Out, stage

log = logging.getLogger("wavewright")


@stage(version=1)
def classifier(
    prepared: In,
    classifier: Out,
    *,
    mel: MelSpec,
    seed: int,
    classes_are: Literal["text", "speaker"] = "text",
    samples: PositiveInt = 16384,
    epochs: PositiveInt = 15,
) -> None:
    """Train a classifier on the train split and measure its accuracy on the test split.

    Args:
        prepared: manifest and audio shards.
        classifier: weights, and classifier.json with the accuracies and the confused classes.
        mel: Mel convention of the classifier's input.
        seed: Seed of initial weights and batch order.
        classes_are: Manifest column that holds the classes.
        samples: Samples of an input; longer sounds are cut, shorter ones padded with silence.
        epochs: Passes over the train split.
    """
    import numpy as np
    import torch

    from wavewright.audio.files import from_pcm16
    from wavewright.data.manifest import read_manifest, usable_rows
    from wavewright.data.shards import Shards
    from wavewright.evaluation.classifier import Classifier, fit_length

    manifest, audio = read_manifest(prepared / "manifest.parquet"), Shards(prepared / "audio")
    sounds, labels = {}, {}
    for split in ("train", "dev", "test"):
        rows = usable_rows(manifest, split)
        if rows.empty:
            raise WavewrightError(f"{prepared}: no usable utterances in split '{split}'")
        wavs = [fit_length(from_pcm16(audio.array(id_)), samples) for id_ in rows["id"]]
        sounds[split], labels[split] = np.stack(wavs), rows[classes_are].tolist()
    classes = sorted(set(labels["train"]))
    if len(classes) < 2 or len(classes) > len(labels["train"]) // 2:
        raise WavewrightError(
            f"column '{classes_are}' of {prepared / 'manifest.parquet'} has {len(classes)} values "
            f"in {len(labels['train'])} utterances, which are no classes"
        )
    torch.manual_seed(seed)
    network = Classifier(classes, mel, samples)
    network.fit(sounds["train"], labels["train"], epochs=epochs, seed=seed)
    accuracies, confused = {}, {}
    for split, sounds_of_split in sounds.items():
        predictions = [classes[i] for i in network.predict(sounds_of_split)[0].argmax(axis=1)]
        pairs = list(zip(labels[split], predictions, strict=True))
        accuracies[split] = sum(a == b for a, b in pairs) / len(pairs)
        confused[split] = [f"{a} heard as {b}" for a, b in pairs if a != b]
    network.save(
        classifier,
        accuracy=accuracies,
        utterances={split: len(pairs) for split, pairs in labels.items()},
        confused=confused["test"],
    )
    log.info(
        "classifier: %.1f %% of %d test utterances told (%.1f %% of train)",
        100 * accuracies["test"],
        len(sounds["test"]),
        100 * accuracies["train"],
    )
