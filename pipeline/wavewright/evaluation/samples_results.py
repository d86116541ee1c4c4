"""Schema of an evaluation of unconditional samples; the report's results.json."""

from __future__ import annotations

from wavewright.mel.spec import MelSpec
from wavewright.models.config import FrozenModel


class GeneratedSound(FrozenModel):
    """One sound of a system.

    Attributes:
        file: WAV, relative to the report.
        heard: class that the classifier predicts.
        sureness: probability of that class.
        nearest: id of the nearest recording of the train split.
        distance: to it, between log-mels.
    """

    file: str
    heard: str
    sureness: float
    nearest: str
    distance: float


class SoundSet(FrozenModel):
    """Metrics of one set of sounds.

    Attributes:
        id, title: of the system, or of the split.
        kind: `recordings` or `vocoder`.
        parameters, step: of a vocoder.
        sounds: how many.
        inception, inception_deviation: score, and its deviation over parts of the sounds.
        frechet: distance of the features to the train split's; None for too few sounds.
        classes: effective number of predicted classes.
        counts: number of sounds by predicted class.
        to_train: mean distance to the nearest recording of the train split.
        to_itself: mean distance to the nearest sound of the set.
        ltas: long-term spectrum in dB by mel band.
        ltas_distance: to the test split's, in dB.
        real_time_factor: seconds of computing per second of sound.
        examples: of the sounds.
    """

    id: str
    title: str
    kind: str
    parameters: int = 0
    step: int | None = None
    sounds: int
    inception: float
    inception_deviation: float
    frechet: float | None
    classes: float
    counts: dict[str, int]
    to_train: float
    to_itself: float
    ltas: tuple[float, ...]
    ltas_distance: float
    real_time_factor: float | None = None
    examples: tuple[GeneratedSound, ...] = ()


class SamplesResults(FrozenModel):
    """All results of an evaluation of samples.

    Attributes:
        accuracy: of the classifier, by split.
        closest_held_out: distance below which one in a hundred recordings of the test split lies
            from the train split; sounds closer than that may be copies.
        copies: how many sounds of each system are that close.
    """

    title: str
    corpus: str
    note: str
    seed: int
    mel: MelSpec
    accuracy: dict[str, float]
    closest_held_out: float
    copies: dict[str, int]
    sets: tuple[SoundSet, ...]
    versions: dict[str, str]


def sample_file(system: str, number: int) -> str:
    """Path of a generated sound, relative to the report's folder."""
    return f"wavs/{system}/{number:04d}.wav"
