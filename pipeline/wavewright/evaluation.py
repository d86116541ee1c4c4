"""Measure the wavs of a report's folder: conditions, metrics, pairing by utterance id.

Everything is measured on the files that listeners get, so that reference and candidate have been
through the same 16 bits; no model is needed.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wavewright import registry
from wavewright.audio import load_wav
from wavewright.melspec import MelSpec
from wavewright.metrics.metric import Condition, Metric, Score
from wavewright.parallel import parallel_map
from wavewright.report.media import wav_file
from wavewright.report.results import (
    FULL_BAND,
    NATURAL,
    ConditionInfo,
    Difference,
    MetricInfo,
    Summary,
    System,
    Utterance,
    Value,
)
from wavewright.report.summary import summarise

CONDITIONS = (
    ConditionInfo(
        id="copy",
        title="Copy-synthesis",
        definition="Each vocoder speaks the mel of the recording itself: the vocoder alone.",
    ),
    ConditionInfo(
        id="gta",
        title="GTA",
        definition="The acoustic model predicts the mel along the recording (teacher forcing, "
        "so with the recording's timing): what a vocoder makes of predicted mels.",
    ),
    ConditionInfo(
        id="tts",
        title="Free-running TTS",
        definition="The acoustic model reads the text with a timing of its own: the whole system "
        "as a user hears it. Durations differ from the recording's.",
    ),
)


def conditions(absent: Mapping[str, str]) -> tuple[ConditionInfo, ...]:
    """The three conditions, those in `absent` (condition -> why) marked as not evaluated."""
    return tuple(c.model_copy(update={"absent": absent.get(c.id, "")}) for c in CONDITIONS)


def build_metrics(names: Iterable[str], mel: MelSpec) -> list[Metric]:
    """Metrics by registry name; those that can also within the band of a band-limited mel.

    A mel that ends below half the sample rate leaves the rest of the band to guesswork, and
    full-band values then say mostly that; both are worth knowing.
    """
    metrics: list[Metric] = []
    for name in names:
        kind: type[Metric] = registry.find("metrics", name)
        metrics.append(kind())
        if kind.banded and mel.fmax < FULL_BAND * mel.sample_rate / 2:
            metrics.append(kind(band=mel.fmax))
    return metrics


def describe(metric: Metric) -> MetricInfo:
    """A metric's recipe, for the results."""
    return MetricInfo(
        id=metric.id,
        name=metric.name,
        title=metric.heading,
        unit=metric.unit,
        direction=metric.direction,
        ideal=metric.ideal,
        band=metric.band,
        definition=metric.definition,
        conditions=metric.conditions,
    )


class Measured(NamedTuple):
    """The numbers of a folder, ready for `Results`."""

    metrics: tuple[MetricInfo, ...]
    values: tuple[Value, ...]
    summary: tuple[Summary, ...]
    differences: tuple[Difference, ...]


def measure(
    folder: Path,
    utterances: Sequence[Utterance],
    systems: Sequence[System],
    present: Sequence[Condition],
    metrics: Sequence[Metric],
    *,
    jobs: int,
) -> Measured:
    """Every metric of every wav in `folder` against the recording of the same id.

    Args:
        folder: holds `wavs/SYSTEM/CONDITION/ID.wav` and `wavs/natural/recording/ID.wav`.
        utterances: which ids.
        systems: natural speech, compared with itself, and the candidates; a candidate without
            a wav has no values.
        present: conditions that were evaluated.
        metrics: from `build_metrics`.
        jobs: worker processes.

    Returns:
        Values ordered by utterance, condition, system and metric, and their summary.
    """
    work = partial(
        _measure_utterance,
        folder=folder,
        systems=[system.id for system in systems],
        present=tuple(present),
        metrics=tuple(metrics),
    )
    ids = [utterance.id for utterance in utterances]
    found = parallel_map(work, ids, jobs=jobs, what="metrics", unit="utterances")
    values = tuple(value for of_one in found for value in of_one)
    infos = tuple(describe(metric) for metric in metrics)
    names = [system.id for system in systems]
    return Measured(infos, values, *summarise(names, present, infos, ids, values))


def _measure_utterance(
    utterance: str,
    folder: Path,
    systems: Sequence[str],
    present: Sequence[Condition],
    metrics: Sequence[Metric],
) -> list[Value]:
    reference, sample_rate = load_wav(folder / wav_file(NATURAL, "", utterance))
    itself = {metric.id: metric(reference, reference, sample_rate) for metric in metrics}
    values = []
    for condition in present:
        applicable = [metric for metric in metrics if condition in metric.conditions]
        for system in systems:
            path = folder / wav_file(system, condition, utterance)
            if system == NATURAL:
                scores = [itself[metric.id] for metric in applicable]
            elif path.is_file():
                candidate, _ = load_wav(path, sample_rate)
                scores = [metric(reference, candidate, sample_rate) for metric in applicable]
            else:
                continue
            values += [
                _value(system, condition, utterance, metric.id, found)
                for metric, found in zip(applicable, scores, strict=True)
            ]
    return values


def _value(system: str, condition: Condition, utterance: str, metric: str, score: Score) -> Value:
    undefined = bool(np.isnan(score))
    return Value(
        system=system,
        condition=condition,
        utterance=utterance,
        metric=metric,
        value=None if undefined else float(score),
        reason=score.reason or ("not a number" if undefined else ""),
    )


def versions() -> dict[str, str]:
    """Versions of what shapes the numbers."""
    found = {"python": platform.python_version()}
    for name in ("wavewright", "torch", "numpy", "librosa", "soundfile"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from the source roots
            found[name] = str(getattr(__import__(name), "__version__", "unknown"))
    return found
