"""Sounds that vocoders make of noise or of nothing, held against the corpus they learnt from.

Every set of sounds is judged alike, the recordings too: those of the test split show what is
possible, those of the train split what copying would look like.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from wavewright.audio.files import from_pcm16, save_wav
from wavewright.checkpoints.checkpoint import chosen_checkpoint, load_vocoder
from wavewright.data.manifest import id_slug, read_manifest, usable_rows
from wavewright.data.shards import Shards
from wavewright.errors import WavewrightError
from wavewright.evaluation.classifier import Classifier, fitted
from wavewright.evaluation.measure import package_versions
from wavewright.evaluation.sample_metrics import (
    classes_heard,
    frechet_distance,
    inception_score,
    nearest,
)
from wavewright.evaluation.samples_results import SamplesResults, Sound, SoundSet, sound_file
from wavewright.inference.optimize import optimize_for_inference
from wavewright.io.progress import progress
from wavewright.mel.spec import MelSpec
from wavewright.metrics.ltas import long_term_spectrum, spectral_distance
from wavewright.models.vocoder import Vocoder

_FEW = 50  # sounds of which a covariance says little
_BATCH = 20  # sounds between two looks at the progress bar


@dataclass(frozen=True)
class Recordings:
    """The corpus, as far as it is needed.

    Attributes:
        classifier: of its classes.
        sounds: (n, samples) of each split.
        ids: of each split.
        mel: of the sounds' pictures and spectra.
    """

    classifier: Classifier
    sounds: dict[str, np.ndarray]
    ids: dict[str, list[str]]
    mel: MelSpec


@dataclass(frozen=True)
class Made:
    """A vocoder's sounds, and how long they took."""

    name: str
    vocoder: Vocoder
    step: int | None
    sounds: np.ndarray
    seconds: float


def recordings(prepared: Path, classifier: Path) -> Recordings:
    """The train and test split as the classifier hears them."""
    network = Classifier.load(classifier)
    manifest, audio = read_manifest(prepared / "manifest.parquet"), Shards(prepared / "audio")
    sounds, ids = {}, {}
    for split in ("train", "test"):
        ids[split] = usable_rows(manifest, split)["id"].tolist()
        wavs = (from_pcm16(audio.array(id_)) for id_ in ids[split])
        sounds[split] = np.stack([fitted(wav, network.samples) for wav in wavs])
    return Recordings(network, sounds, ids, network.mel)


def speakers(
    trained: Mapping[str, Path], count: int, seed: int, device: torch.device, precision: str
) -> list[Made]:
    """Sounds of every vocoder that no mel drives.

    Raises:
        WavewrightError: one is driven by mels.
    """
    made = []
    for name, run in trained.items():
        vocoder = load_vocoder(run, device)
        if vocoder.conditioning == "mel":
            raise WavewrightError(
                f"'{name}' is driven by mels: judge it by the stage 'evaluate', not by 'samples'"
            )
        optimize_for_inference(vocoder, precision)
        vocoder.sample(1, seed=seed)  # compiles
        started = time.perf_counter()
        sounds = drawn(vocoder, count, seed)
        spent = time.perf_counter() - started
        chosen = chosen_checkpoint(run)
        step = int(chosen.name.removeprefix("step-")) if chosen else None
        made.append(Made(name, vocoder, step, sounds, spent))
    return made


def drawn(vocoder: Vocoder, count: int, seed: int) -> np.ndarray:
    """(count, samples), all different."""
    pieces = []
    with progress(vocoder.name, total=count, unit="sounds", shown=count > _BATCH) as bar:
        for start in range(0, count, _BATCH):
            # Each batch has its own seed, so that no sound is made twice.
            size = min(_BATCH, count - start)
            pieces.append(vocoder.sample(size, seed=seed + start).float().cpu().numpy())
            bar.advance(size)
    return np.concatenate(pieces)


def judge(
    real: Recordings,
    made: Sequence[Made],
    folder: Path,
    *,
    title: str,
    corpus: str,
    note: str,
    seed: int,
) -> SamplesResults:
    """Judge every set, and write the vocoders' sounds into `folder/wavs`."""
    about = _Judge(real)
    random = np.random.default_rng(seed)
    few = random.permutation(len(real.sounds["train"]))[: len(real.sounds["test"])]
    sets = [
        about.of(
            real.sounds["train"][few], own=few, id="train", title="train split", kind="recordings"
        ),
        about.of(real.sounds["test"], id="test", title="test split", kind="recordings"),
    ]
    copies = {}
    for item in made:
        id_, rate = id_slug(item.name), item.vocoder.sample_rate
        if rate != real.mel.sample_rate:
            raise WavewrightError(
                f"'{item.name}' speaks at {rate} Hz, the corpus is at {real.mel.sample_rate} Hz"
            )
        (folder / sound_file(id_, 0)).parent.mkdir(parents=True, exist_ok=True)
        for number, wav in enumerate(item.sounds):
            save_wav(folder / sound_file(id_, number), wav, rate)
        fit = np.stack([fitted(wav, real.classifier.samples) for wav in item.sounds])
        found = about.of(
            fit,
            whole=item.sounds,
            id=id_,
            title=item.name,
            kind="vocoder",
            parameters=item.vocoder.parameter_count(),
            step=item.step,
            real_time_factor=item.seconds * rate / item.sounds.size,
        )
        sets.append(found)
        copies[id_] = sum(sound.distance < about.closest for sound in found.examples)
    return SamplesResults(
        title=title,
        corpus=corpus,
        note=note,
        seed=seed,
        mel=real.mel,
        accuracy=real.classifier.about["accuracy"],
        closest_held_out=about.closest,
        copies=copies,
        sets=tuple(sets),
        versions=package_versions(),
    )


class _Judge:
    """Judges sets of sounds by one corpus."""

    def __init__(self, real: Recordings) -> None:
        self.real, self.network = real, real.classifier
        train, test = real.sounds["train"], real.sounds["test"]
        _, self.features = self.network.hear(train)
        self.images = self._images(train)
        self.ltas = long_term_spectrum(self._sounding(test), real.mel)
        held_out = nearest(self._images(test), self.images).distances
        self.closest = float(np.quantile(held_out, 0.01))

    def of(
        self,
        sounds: np.ndarray,
        *,
        whole: np.ndarray | None = None,
        own: np.ndarray | None = None,
        **about: object,
    ) -> SoundSet:
        """Judge one set.

        Args:
            sounds: (n, samples) as the classifier hears them.
            whole: the same as they were made; None are recordings, without their silence.
            own: which recordings of the train split they are, if they are some.
            about: fields that are known already.
        """
        told, features = self.network.hear(sounds)
        images = self._images(sounds)
        itself = nearest(images, images, own=np.arange(len(images)))
        there = nearest(images, self.images, own=own)
        classes = self.network.classes
        heard = told.argmax(axis=1)
        score = inception_score(told)
        ltas = long_term_spectrum(self._sounding(sounds) if whole is None else whole, self.real.mel)
        examples = (
            ()
            if whole is None
            else tuple(
                Sound(
                    file=sound_file(str(about["id"]), number),
                    heard=classes[heard[number]],
                    sureness=float(told[number].max()),
                    nearest=self.real.ids["train"][there.indices[number]],
                    distance=float(there.distances[number]),
                )
                for number in range(len(sounds))
            )
        )
        enough = len(sounds) >= _FEW
        return SoundSet.model_validate(
            {
                **about,
                "sounds": len(sounds),
                "inception": score.mean,
                "inception_deviation": score.deviation,
                "frechet": frechet_distance(features, self.features) if enough else None,
                "classes": classes_heard(told),
                "counts": {name: int((heard == i).sum()) for i, name in enumerate(classes)},
                "to_train": float(there.distances.mean()),
                "to_itself": float(itself.distances.mean()),
                "ltas": tuple(ltas.tolist()),
                "ltas_distance": spectral_distance(ltas, self.ltas),
                "examples": examples,
            }
        )

    def _images(self, sounds: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.network.image(torch.from_numpy(sounds)).numpy()
        return found

    @staticmethod
    def _sounding(sounds: np.ndarray) -> list[np.ndarray]:
        """Without the silence that follows."""
        return [wav[: int(np.flatnonzero(wav)[-1]) + 1] if wav.any() else wav for wav in sounds]
