"""Evaluation of unconditional samples against the corpus on which their vocoders were trained.

All sets are measured alike, the recordings too: those of the test split show what is possible,
those of the train split what copying would look like.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from wavewright.audio.files import from_pcm16, save_wav
from wavewright.checkpoints.checkpoint import inference_checkpoint, load_vocoder
from wavewright.data.manifest import id_slug, read_manifest, usable_rows
from wavewright.data.shards import Shards
from wavewright.errors import WavewrightError
from wavewright.evaluation.classifier import Classifier, fit_length
from wavewright.evaluation.measure import package_versions
from wavewright.evaluation.sample_metrics import (
    effective_classes,
    frechet_distance,
    inception_score,
    nearest_neighbors,
)
from wavewright.evaluation.samples_results import (
    GeneratedSound,
    SamplesResults,
    SoundSet,
    sample_file,
)
from wavewright.inference.optimize import optimize_for_inference
from wavewright.io.progress import progress
from wavewright.mel.spec import MelSpec
from wavewright.metrics.ltas import long_term_spectrum, spectral_distance
from wavewright.models.capabilities import Sampler, require_sampler
from wavewright.models.vocoder import Vocoder

_MIN_COVARIANCE = 50  # sounds below which a covariance means little
_BATCH = 20  # sounds per update of the progress bar


@dataclass(frozen=True)
class CorpusSounds:
    """Recordings of the corpus by split, and its classifier.

    Attributes:
        classifier: classifier of the corpus's classes.
        sounds: (n, samples) by split.
        ids: by split.
        mel: log-mel by which sounds are compared.
    """

    classifier: Classifier
    sounds: dict[str, np.ndarray]
    ids: dict[str, list[str]]
    mel: MelSpec


@dataclass(frozen=True)
class GeneratedSounds:
    """Samples of one vocoder, and the seconds that they took."""

    name: str
    vocoder: Vocoder
    step: int | None
    sounds: np.ndarray
    seconds: float


def load_corpus(prepared: Path, classifier: Path) -> CorpusSounds:
    """Load the train and test split, cut to the classifier's length."""
    network = Classifier.load(classifier)
    manifest, audio = read_manifest(prepared / "manifest.parquet"), Shards(prepared / "audio")
    sounds, ids = {}, {}
    for split in ("train", "test"):
        ids[split] = usable_rows(manifest, split)["id"].tolist()
        wavs = (from_pcm16(audio.array(id_)) for id_ in ids[split])
        sounds[split] = np.stack([fit_length(wav, network.samples) for wav in wavs])
    return CorpusSounds(network, sounds, ids, network.mel)


def generate_all(
    trained: Mapping[str, Path], count: int, seed: int, device: torch.device, precision: str
) -> list[GeneratedSounds]:
    """Generate `count` sounds with every unconditional vocoder.

    Raises:
        WavewrightError: a vocoder needs mels.
    """
    sets = []
    for name, run in trained.items():
        vocoder = load_vocoder(run, device)
        if vocoder.conditioning == "mel":
            raise WavewrightError(
                f"'{name}' needs mels: evaluate it with the stage 'evaluate', not 'samples'"
            )
        optimize_for_inference(vocoder, precision)
        sampler = require_sampler(vocoder)
        sampler.sample(1, seed=seed)  # compiles
        started = time.perf_counter()
        sounds = generate_sounds(sampler, count, seed)
        seconds = time.perf_counter() - started
        checkpoint = inference_checkpoint(run)
        step = int(checkpoint.name.removeprefix("step-")) if checkpoint else None
        sets.append(GeneratedSounds(name, vocoder, step, sounds, seconds))
    return sets


def generate_sounds(vocoder: Sampler, count: int, seed: int) -> np.ndarray:
    """Generate (count, samples), all different."""
    pieces = []
    with progress(vocoder.name, total=count, unit="sounds", enabled=count > _BATCH) as bar:
        for start in range(0, count, _BATCH):
            # Each batch has its own seed, so that no sound repeats.
            size = min(_BATCH, count - start)
            pieces.append(vocoder.sample(size, seed=seed + start).float().cpu().numpy())
            bar.advance(size)
    return np.concatenate(pieces)


def evaluate_samples(
    corpus_sounds: CorpusSounds,
    generated: Sequence[GeneratedSounds],
    folder: Path,
    *,
    title: str,
    corpus: str,
    note: str,
    seed: int,
) -> SamplesResults:
    """Measure every set, and write the generated sounds into `folder/wavs`."""
    metrics = _SampleMetrics(corpus_sounds)
    random = np.random.default_rng(seed)
    subset = random.permutation(len(corpus_sounds.sounds["train"]))[
        : len(corpus_sounds.sounds["test"])
    ]
    sets = [
        metrics.measure(
            corpus_sounds.sounds["train"][subset],
            own=subset,
            id="train",
            title="train split",
            kind="recordings",
        ),
        metrics.measure(
            corpus_sounds.sounds["test"], id="test", title="test split", kind="recordings"
        ),
    ]
    copies = {}
    for item in generated:
        id_, rate = id_slug(item.name), item.vocoder.sample_rate
        if rate != corpus_sounds.mel.sample_rate:
            raise WavewrightError(
                f"'{item.name}' synthesizes at {rate} Hz, "
                f"the corpus is at {corpus_sounds.mel.sample_rate} Hz"
            )
        (folder / sample_file(id_, 0)).parent.mkdir(parents=True, exist_ok=True)
        for number, wav in enumerate(item.sounds):
            save_wav(folder / sample_file(id_, number), wav, rate)
        fit = np.stack([fit_length(wav, corpus_sounds.classifier.samples) for wav in item.sounds])
        sound_set = metrics.measure(
            fit,
            uncut=item.sounds,
            id=id_,
            title=item.name,
            kind="vocoder",
            parameters=item.vocoder.parameter_count(),
            step=item.step,
            real_time_factor=item.seconds * rate / item.sounds.size,
        )
        sets.append(sound_set)
        copies[id_] = sum(sound.distance < metrics.closest for sound in sound_set.examples)
    return SamplesResults(
        title=title,
        corpus=corpus,
        note=note,
        seed=seed,
        mel=corpus_sounds.mel,
        accuracy=corpus_sounds.classifier.about["accuracy"],
        closest_held_out=metrics.closest,
        copies=copies,
        sets=tuple(sets),
        versions=package_versions(),
    )


class _SampleMetrics:
    """Metrics of sets of sounds against one corpus."""

    def __init__(self, corpus: CorpusSounds) -> None:
        self.corpus, self.network = corpus, corpus.classifier
        train, test = corpus.sounds["train"], corpus.sounds["test"]
        _, self.features = self.network.predict(train)
        self.images = self._images(train)
        self.ltas = long_term_spectrum(self._without_silence(test), corpus.mel)
        held_out = nearest_neighbors(self._images(test), self.images).distances
        self.closest = float(np.quantile(held_out, 0.01))

    def measure(
        self,
        sounds: np.ndarray,
        *,
        uncut: np.ndarray | None = None,
        own: np.ndarray | None = None,
        **about: object,
    ) -> SoundSet:
        """Measure one set.

        Args:
            sounds: (n, samples) at the classifier's length.
            uncut: the same sounds as they were generated; None for recordings.
            own: indices in the train split, for recordings of it.
            about: further fields of the result.
        """
        probabilities, features = self.network.predict(sounds)
        images = self._images(sounds)
        within = nearest_neighbors(images, images, own=np.arange(len(images)))
        in_train = nearest_neighbors(images, self.images, own=own)
        classes = self.network.classes
        labels = probabilities.argmax(axis=1)
        score = inception_score(probabilities)
        ltas = long_term_spectrum(
            self._without_silence(sounds) if uncut is None else uncut, self.corpus.mel
        )
        examples = (
            ()
            if uncut is None
            else tuple(
                GeneratedSound(
                    file=sample_file(str(about["id"]), number),
                    heard=classes[labels[number]],
                    sureness=float(probabilities[number].max()),
                    nearest=self.corpus.ids["train"][in_train.indices[number]],
                    distance=float(in_train.distances[number]),
                )
                for number in range(len(sounds))
            )
        )
        enough = len(sounds) >= _MIN_COVARIANCE
        return SoundSet.model_validate(
            {
                **about,
                "sounds": len(sounds),
                "inception": score.mean,
                "inception_deviation": score.deviation,
                "frechet": frechet_distance(features, self.features) if enough else None,
                "classes": effective_classes(probabilities),
                "counts": {name: int((labels == i).sum()) for i, name in enumerate(classes)},
                "to_train": float(in_train.distances.mean()),
                "to_itself": float(within.distances.mean()),
                "ltas": tuple(ltas.tolist()),
                "ltas_distance": spectral_distance(ltas, self.ltas),
                "examples": examples,
            }
        )

    def _images(self, sounds: np.ndarray) -> np.ndarray:
        images: np.ndarray = self.network.image(torch.from_numpy(sounds)).numpy()
        return images

    @staticmethod
    def _without_silence(sounds: np.ndarray) -> list[np.ndarray]:
        """Cut the silence at the end of each sound."""
        return [wav[: int(np.flatnonzero(wav)[-1]) + 1] if wav.any() else wav for wav in sounds]
