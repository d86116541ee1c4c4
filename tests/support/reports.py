"""Small, quick material for tests of reports: made-up speech, results and run folders."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from wavewright.audio.files import save_wav, to_pcm16
from wavewright.data.manifest import COLUMNS, write_manifest
from wavewright.data.shards import write_shards
from wavewright.evaluation.layout import wav_file
from wavewright.evaluation.measure import build_metrics, condition_infos, measure, package_versions
from wavewright.evaluation.report.page import TrainingCurves, write_report
from wavewright.evaluation.results import (
    NATURAL,
    Event,
    MetricInfo,
    Results,
    Speed,
    System,
    SystemSpeed,
    Utterance,
    Value,
)
from wavewright.evaluation.summary import summarize
from wavewright.mel.spec import MelSpec
from wavewright.metrics.metric import Condition

RATE = 22050
HOSTILE = "She said <script>document.title = 'broken'</script> & \"left\" {{ 7 * 7 }} | é."
HOSTILE_SPEAKER = "<script>alert(1)</script>"
SYSTEMS = (
    System(id=NATURAL, title="natural speech", kind="natural"),
    System(id="griffinlim", title="griffinlim", kind="baseline", parameters=0),
    System(id="toy-v1", title="toy:v1", kind="vocoder", parameters=1234, step=200),
)


def speech(seed: int, seconds: float = 0.6) -> np.ndarray:
    """A buzz of wandering pitch in the rhythm of syllables, different for every seed."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    pitch = 110 + 40 * rng.random() + 20 * np.sin(2 * np.pi * (1 + rng.random()) * t)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    buzz = sum(np.sin(k * phase) / k for k in range(1, 30))
    envelope = np.clip(np.sin(2 * np.pi * 4 * t + 6 * rng.random()), 0.02, 1)
    wav = 0.1 * envelope * buzz + 0.002 * rng.normal(size=len(t))
    return np.asarray(wav.astype(np.float32))


def small_report(
    folder: Path, utterances: int = 7, seconds: float = 0.6, **options: Any
) -> tuple[Path, Results]:
    """A whole report of made-up wavs: `toy:v1` is noisier than `griffinlim`, GTA is absent."""
    wavs, results = _measured(utterances, seconds)
    shutil.copytree(wavs.name, folder, dirs_exist_ok=True)
    training = TrainingCurves({"toy:v1": [(0, 5.0), (100, 2.0), (200, 0.9)]}, {"griffinlim": 0.5})
    page = write_report(folder, results, made_up_speed(), training=training, **options)
    return page, results


@cache
def _measured(utterances: int, seconds: float) -> tuple[TemporaryDirectory[str], Results]:
    """Folder of the wavs of `small_report`, and their results, which take seconds to compute."""
    kept = TemporaryDirectory(prefix="wavewright-report-")
    folder = Path(kept.name)
    ids = [f"made-{index:03d}" for index in range(utterances)]
    rng = np.random.default_rng(0)
    utterance_rows, events = [], []
    for index, utterance in enumerate(ids):
        natural = speech(index, seconds)
        _write(folder / wav_file(NATURAL, "", utterance), natural)
        for system, noise in (("griffinlim", 0.002), ("toy-v1", 0.02)):
            for condition in ("copy", "tts"):
                if (system, condition, index) == ("toy-v1", "tts", 2):
                    events.append(
                        Event(
                            utterance=utterance,
                            system=system,
                            condition="tts",
                            reason="the vocoder gave values that are not finite",
                        )
                    )
                    continue
                wav = natural + noise * rng.normal(size=len(natural)).astype(np.float32)
                wav = wav[: round(0.9 * len(wav))] if condition == "tts" else wav
                _write(folder / wav_file(system, condition, utterance), wav)
        text = HOSTILE if index == 1 else f"Sentence number {index}."
        speaker = HOSTILE_SPEAKER if index == 1 else "reader"
        seconds_of = len(natural) / RATE
        utterance_rows.append(
            Utterance(id=utterance, text=text, seconds=seconds_of, speaker=speaker)
        )
    spec = MelSpec.preset("hifigan")
    names = ("mel_l1", "mstft", "mel_l1_dtw", "duration_ratio")
    metrics = build_metrics(names, spec.fmax).metrics
    measurements = measure(folder, utterance_rows, SYSTEMS, ["copy", "tts"], metrics, jobs=1)
    results = Results(
        title="Two <b>toys</b> & a baseline",
        note="A note that the recipe passes in.",
        corpus="made-up speech",
        split="test",
        split_size=9,
        quarantined=1,
        seed=7,
        sample_rate=spec.sample_rate,
        mel=spec,
        band=spec.fmax,
        versions=package_versions(),
        conditions=condition_infos({"gta": "Not evaluated: this run made no GTA mels."}),
        systems=SYSTEMS,
        utterances=tuple(utterance_rows),
        events=tuple(events),
        **measurements._asdict(),
    )
    return kept, results


def large_results() -> Results:
    """Values without sounds: 50 utterances, 5 systems, 15 metrics, 3 conditions."""
    rng = np.random.default_rng(0)
    ids = [f"u{index}" for index in range(50)]
    present: tuple[Condition, ...] = ("copy", "gta", "tts")
    metrics = [
        MetricInfo(
            id=f"m{index}",
            name=f"m{index}",
            title=f"metric {index}",
            unit="",
            direction="lower",
            ideal=0.0,
            band=None,
            definition="A distance.",
            conditions=present,
        )
        for index in range(15)
    ]
    systems = [
        System(id=f"s{index}", title=f"system {index}", kind="vocoder") for index in range(5)
    ]
    utterance_rows = [Utterance(id=name, text=f"Sentence {name}.", seconds=1.0) for name in ids]
    values = [
        Value(system=s.id, condition=c, utterance=u, metric=m.id, value=float(rng.normal() ** 2))
        for c in present
        for s in systems
        for u in ids
        for m in metrics
    ]
    summary, differences = summarize(systems, present, metrics[:2], utterance_rows, values)
    return Results(
        title="Many numbers",
        corpus="none",
        split="test",
        split_size=50,
        quarantined=0,
        seed=0,
        sample_rate=RATE,
        mel=None,
        versions=package_versions(),
        conditions=condition_infos({}),
        metrics=tuple(metrics),
        systems=tuple(systems),
        utterances=tuple(utterance_rows),
        events=(),
        values=tuple(values),
        summary=summary,
        differences=differences,
    )


def made_up_speed() -> Speed:
    """Speeds that no clock was asked for."""
    rows = [
        SystemSpeed(system=s.id, real_time_factor=f, lower_quartile=0.9 * f, upper_quartile=1.1 * f)
        for s, f in zip(SYSTEMS[1:], (0.05, 0.5), strict=True)
    ]
    return Speed(
        device="made-up processor",
        threads=1,
        audio_seconds=4.0,
        warm_ups=2,
        repeats=5,
        systems=tuple(rows),
    )


def write_prepared(folder: Path, spec: MelSpec, splits: dict[str, str]) -> None:
    """`prepared/` and `mels/` below `folder`, with one made-up utterance per id."""
    import torch

    from wavewright.mel.transform import log_mel

    (folder / "prepared").mkdir(parents=True)
    waves = {utterance: speech(index) for index, utterance in enumerate(splits)}
    defaults = {"audio": "", "speaker": "s", "alignment": "", "flags": "", "sample_rate": RATE}
    rows = [
        {
            **defaults,
            "id": utterance,
            "samples": len(waves[utterance]),
            "text": "This is a sentence.",
            "normalised_text": "this is a sentence.",
            "split": split,
            "reason": "" if split else "too short",
        }
        for utterance, split in splits.items()
    ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    write_manifest(frame, folder / "prepared" / "manifest.parquet")
    ids = list(splits)
    pcm = {name: to_pcm16(wav) for name, wav in waves.items()}
    mels = {name: log_mel(torch.from_numpy(wav), spec).numpy() for name, wav in waves.items()}
    write_shards(folder / "prepared" / "audio", ids, pcm.__getitem__, mel=None, sample_rate=RATE)
    write_shards(folder / "mels", ids, mels.__getitem__, mel=spec, sample_rate=RATE)


def _write(path: Path, wav: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_wav(path, wav, RATE)
