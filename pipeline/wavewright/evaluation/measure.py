"""Measurement of the wavs in a report's folder: conditions, metrics, pairing by utterance id.

Metrics are computed on the files that listeners get, so that reference and candidate are both
16 bit; no model is needed.
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
from wavewright.audio.files import load_wav
from wavewright.compute.parallel_map import parallel_map
from wavewright.evaluation.layout import wav_file
from wavewright.evaluation.metric_cache import MetricCache, distribution_versions, score_key
from wavewright.evaluation.results import (
    NATURAL,
    ConditionInfo,
    Difference,
    Event,
    MetricInfo,
    Summary,
    System,
    Utterance,
    Value,
)
from wavewright.evaluation.summary import summarize
from wavewright.metrics.metric import Condition, Metric, MetricScore, WavPair
from wavewright.text.textgrid import Interval

METRICS = (
    "mel_l1", "mstft", "mcd_dio", "pesq", "f0_rmse", "vuv_f1",
    "mel_l1_dtw", "duration_ratio", "level_difference", "lag", "clipped",
)  # fmt: skip
"""Default metrics of a report; all are fast."""
PHONES = ("vowels", "stops", "fricatives", "nasals", "silence")
"""Classes of phones that get metrics of their own where there are TextGrids."""
_FRAME = 11.6  # ms, a hop of 256 samples at 22,050 Hz
_SLOW = 0.05  # seconds of one core per second of speech
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


def condition_infos(absent: Mapping[str, str]) -> tuple[ConditionInfo, ...]:
    """Describe the three conditions; those in `absent` (condition -> why) were not evaluated."""
    return tuple(c.model_copy(update={"absent": absent.get(c.id, "")}) for c in CONDITIONS)


class MetricSelection(NamedTuple):
    """Metrics to compute, and by name the reason why others cannot be computed here."""

    metrics: list[Metric]
    absent: dict[str, str]


def build_metrics(
    names: Iterable[str], band: float | None = None, phones: Sequence[str] = ()
) -> MetricSelection:
    """Build metrics by registry name, also confined to a band and to classes of phones.

    A mel that ends below half the sample rate leaves the rest of the band to guesswork, and
    full-band values then say mostly that; both are worth knowing.

    Args:
        names: in the order of the report's columns; those whose packages are missing here are
            left out.
        band: highest frequency in Hz in the vocoders' mels; None for all. Metrics that can are
            made twice, for all frequencies and up to this one.
        phones: classes of phones; metrics that can are made for each of them too.
    """
    metrics: list[Metric] = []
    absent: dict[str, str] = {}
    for name in names:
        kind = metric_class(name)
        if package := kind.missing_package():
            absent[name] = f"needs the package '{package}': pip install 'wavewright[metrics]'"
            continue
        metrics.append(kind())
        if kind.supports_band and band is not None:
            metrics.append(kind(band=band))
        if kind.supports_phones:
            metrics += [kind(phones=group) for group in phones]
    return MetricSelection(metrics, absent)


def metric_class(name: str) -> type[Metric]:
    """Metric class of a registry name."""
    kind: type[Metric] = registry.find("metrics", name)
    return kind


def slow_metric_notices(metrics: Iterable[Metric], seconds: float) -> list[str]:
    """Estimate the computing time of every slow metric, one line each.

    Args:
        metrics: to be computed.
        seconds: candidates' speech.
    """
    slow = {metric.name: metric for metric in metrics if metric.cost > _SLOW}
    return [
        f"{name} takes about {max(1.0, metric.cost * seconds / 60):.0f} min of one core"
        for name, metric in slow.items()
    ]


def metric_info(metric: Metric) -> MetricInfo:
    """Describe a metric for the results."""
    return MetricInfo(
        id=metric.id,
        name=metric.name,
        title=metric.heading,
        unit=metric.unit,
        direction=metric.direction,
        ideal=metric.ideal,
        lowest=metric.lowest,
        highest=metric.highest,
        rate=metric.rate,
        band=metric.band,
        phones=metric.phones,
        definition=metric.definition,
        conditions=metric.conditions,
    )


class Measurements(NamedTuple):
    """Measurements of a folder, ready for `Results`."""

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
    phones: Mapping[str, Sequence[Interval]] | None = None,
    cache: MetricCache | None = None,
) -> Measurements:
    """Compute every metric of every wav in `folder` against the recording of the same id.

    Args:
        folder: holds `wavs/SYSTEM/CONDITION/ID.wav` and `wavs/natural/recording/ID.wav`.
        utterances: which ids.
        systems: natural speech, compared with itself, and the candidates; a candidate without
            a wav has no values.
        present: conditions that were evaluated.
        metrics: from `build_metrics`.
        jobs: worker processes.
        phones: where the phones of a recording lie, by id.
        cache: of scores that were computed before; None computes all.

    Returns:
        Values ordered by utterance, condition, system and metric, and their summary.
    """
    work = partial(
        _measure_utterance,
        folder=folder,
        systems=[system.id for system in systems],
        present=tuple(present),
        metrics=tuple(metrics),
        cache=cache,
    )
    phones_of = phones or {}
    items = [(utterance, tuple(phones_of.get(utterance.id, ()))) for utterance in utterances]
    by_utterance = parallel_map(work, items, jobs=jobs, what="metrics", unit="utterances")
    values = tuple(value for of_one in by_utterance for value in of_one)
    infos = tuple(metric_info(metric) for metric in metrics)
    return Measurements(infos, values, *summarize(systems, present, infos, utterances, values))


def _measure_utterance(
    item: tuple[Utterance, Sequence[Interval]],
    folder: Path,
    systems: Sequence[str],
    present: Sequence[Condition],
    metrics: Sequence[Metric],
    cache: MetricCache | None,
) -> list[Value]:
    utterance, phones = item
    reference, sample_rate = load_wav(folder / wav_file(NATURAL, "", utterance.id))
    comparisons: list[tuple[str, Condition, Metric, WavPair]] = []
    for condition in present:
        applicable = [metric for metric in metrics if condition in metric.conditions]
        for system in systems:
            path = folder / wav_file(system, condition, utterance.id)
            if system == NATURAL:
                candidate = reference
            elif path.is_file():
                candidate, _ = load_wav(path, sample_rate)
            else:
                continue
            pair = WavPair(reference, candidate, sample_rate, utterance.text, phones)
            comparisons += [(system, condition, metric, pair) for metric in applicable]
    scores = _scores([(metric, pair) for _, _, metric, pair in comparisons], cache)
    return [
        _value(system, condition, utterance.id, metric.id, score)
        for (system, condition, metric, _), score in zip(comparisons, scores, strict=True)
    ]


def _scores(
    comparisons: Sequence[tuple[Metric, WavPair]], cache: MetricCache | None
) -> Sequence[MetricScore]:
    """Scores in the order of `comparisons`; equal comparisons are computed once."""
    keys = [score_key(metric, pair) for metric, pair in comparisons]
    cached = cache.get(keys) if cache else {}
    computed: dict[str, MetricScore] = {}
    for key, (metric, pair) in zip(keys, comparisons, strict=True):
        if key not in cached and key not in computed:
            computed[key] = metric(
                pair.reference,
                pair.candidate,
                pair.sample_rate,
                text=pair.text,
                phones=pair.phones,
            )
    if cache and computed:
        cache.put(computed)
    return [(cached | computed)[key] for key in keys]


def _value(
    system: str, condition: Condition, utterance: str, metric: str, score: MetricScore
) -> Value:
    undefined = not np.isfinite(score)
    return Value(
        system=system,
        condition=condition,
        utterance=utterance,
        metric=metric,
        value=None if undefined else float(score),
        reason=score.reason or ("not a number" if undefined else ""),
        weight=score.weight,
    )


def delay_events(values: Iterable[Value]) -> list[Event]:
    """Report every candidate that is early or late by a frame or more.

    Distances that compare equal times mostly measure the delay of such a copy.
    """
    return [
        Event(
            utterance=value.utterance,
            system=value.system,
            condition=value.condition,
            reason=f"{abs(value.value):.1f} ms {'late' if value.value > 0 else 'early'}, which "
            "all distances that compare equal times suffer from",
        )
        for value in values
        if value.metric == "lag" and value.value is not None and abs(value.value) > _FRAME
    ]


def package_versions(metrics: Iterable[Metric] = ()) -> dict[str, str]:
    """Versions of the packages on which the values of these metrics depend."""
    versions = {"python": platform.python_version()}
    for name in ("wavewright", "torch", "numpy", "librosa", "soundfile"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # run from the source roots
            versions[name] = str(getattr(__import__(name), "__version__", "unknown"))
    packages = sorted({package for metric in metrics for package in metric.packages})
    return versions | distribution_versions(packages)
