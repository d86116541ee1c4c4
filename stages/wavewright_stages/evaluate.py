"""Stage 6: synthesize the test split by every vocoder in three conditions, measure, report."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.stage import In, InMany, InMaybe, Out, Unkeyed, stage

if TYPE_CHECKING:
    from wavewright.evaluation.report.page import TrainingCurves
    from wavewright.evaluation.results import Speed
    from wavewright.evaluation.synthesize import EvalSystem, Sentence
    from wavewright.text.textgrid import Interval

log = logging.getLogger("wavewright")


@stage(version=1)
def evaluate(
    prepared: In,
    mels: In,
    gta: InMaybe,
    acoustic: InMaybe,
    vocoder: InMany,
    report: Out,
    *,
    mel: MelSpec,
    seed: int,
    title: str = "Vocoder evaluation",
    corpus: str = "",
    note: str = "",
    split: str = "test",
    utterances: int | None = None,
    baselines: tuple[str, ...] = ("griffinlim",),
    anchors: tuple[str, ...] = ("lowpass-3.5k",),
    metrics: tuple[str, ...] = (),
    max_seconds: float | None = None,
    dev_utterances: int = 8,
    speed_seconds: float = 4.0,
    speed_repeats: int = 5,
    max_players: int = 12,
    max_megabytes: float = 25.0,
    precision: Literal["float32", "bf16", "fp16", "int8"] = "float32",
    refine: Annotated[int, Field(ge=0)] = 0,
    jobs: Unkeyed[int] = -1,
    device: Unkeyed[str] = "auto",
) -> None:
    """Compare all vocoders with the recordings, in copy-synthesis, GTA and free-running TTS.

    Args:
        prepared: manifest and audio shards.
        mels: natural mels, for copy-synthesis.
        gta: teacher-forced mels; None leaves that condition out, and the report says so.
        acoustic: acoustic model for free-running TTS; None leaves that condition out.
        vocoder: trained vocoders, by name.
        report: index.html, results.json, results.csv, report.md, speed.json and wavs/. All but
            the speeds and the page that shows them are the same for equal inputs.
        mel: Mel convention; must be that of every input.
        seed: Seed of all noise.
        title: Heading of the page.
        corpus: Description of the speech, in a few words.
        note: Sentence at the head of the page, such as how far the training went.
        split: Split to evaluate.
        utterances: Number of utterances, spread over the split; null takes all.
        baselines: Vocoders that need no training, by name.
        anchors: Degraded recordings that give the numbers a scale, by name
            (`wavewright.evaluation.anchors`).
        metrics: Metrics by name; the first that applies to a condition decides its headline. Empty
            means `wavewright.evaluation.measure.METRICS`. Those that can are also confined to the
            band of a band-limited mel, and to classes of phones where there are TextGrids.
        max_seconds: Longest free-running utterance; null lets the acoustic model decide.
        dev_utterances: First utterances of the dev split on which baselines are compared with the
            training curve; set it to the training's `validation_utterances`.
        speed_seconds: Seconds of audio in a timed call.
        speed_repeats: Timed calls, after two to warm up.
        max_players: Most utterances to embed in the page; the others stay in wavs/.
        max_megabytes: Largest size of the page; fewer utterances are embedded to stay below it.
        precision: Arithmetic of the trained vocoders; `int8` only if all are autoregressive.
        refine: Iterations of mel consistency for a second entry of every trained vocoder, in
            copy-synthesis only: predicted mels are not to be trusted so far. 30 are enough; 0
            makes no such entry.
        jobs: Worker processes for the metrics; -1 means one per CPU.
        device: Device of the synthesis: `auto`, `cpu` or `cuda`.
    """
    from wavewright.compute.device import pick_device
    from wavewright.evaluation import measure as evaluation
    from wavewright.evaluation import synthesize as synthesis
    from wavewright.evaluation.anchors import write_anchors
    from wavewright.evaluation.metric_cache import MetricCache
    from wavewright.evaluation.report.page import write_report
    from wavewright.evaluation.results import NATURAL, Results, System, band_limit

    place = pick_device(device)
    sentences, split_size, quarantined = _sentences(prepared, split, utterances)
    eval_systems = synthesis.load_eval_systems(vocoder, baselines, mel, place, precision, refine)
    sources = [synthesis.shard_mel_source("copy", mels, mel)]
    if gta is not None:
        sources.append(synthesis.shard_mel_source("gta", gta, mel))
    if acoustic is not None:
        sources.append(
            synthesis.acoustic_mel_source(acoustic, mel, place, seed=seed, max_seconds=max_seconds)
        )
    natural = System(id=NATURAL, title="natural speech", kind="natural")
    spoken = synthesis.write_recordings(report, prepared / "audio", sentences)
    anchor_systems = write_anchors(report, spoken, anchors)
    systems = [natural, *anchor_systems, *(one.system for one in eval_systems)]
    events = synthesis.synthesize_sentences(report, sentences, sources, eval_systems, seed=seed)
    phones = _phones(prepared, [sentence.id for sentence in sentences])
    selection = evaluation.build_metrics(
        metrics or evaluation.METRICS, band_limit(mel), evaluation.PHONES if phones else ()
    )
    seconds = sum(utterance.seconds for utterance in spoken)
    for line in evaluation.slow_metric_notices(
        selection.metrics, seconds * len(systems) * len(sources)
    ):
        log.info("%s", line)
    measurements = evaluation.measure(
        report,
        spoken,
        systems,
        [source.condition for source in sources],
        selection.metrics,
        jobs=jobs,
        phones=phones,
        cache=MetricCache(),
    )
    results = Results(
        title=title,
        note=note,
        corpus=corpus,
        split=split,
        split_size=split_size,
        quarantined=quarantined,
        seed=seed,
        sample_rate=mel.sample_rate,
        mel=mel,
        band=band_limit(mel),
        absent_metrics=selection.absent,
        versions=evaluation.package_versions(selection.metrics),
        conditions=evaluation.condition_infos(_absent(gta, acoustic)),
        systems=tuple(systems),
        utterances=tuple(spoken),
        events=(*events, *evaluation.delay_events(measurements.values)),
        **measurements._asdict(),
    )
    write_report(
        report,
        results,
        _speed(mels, sentences, eval_systems, speed_seconds, speed_repeats),
        training=_training(vocoder, eval_systems, prepared, mels, dev_utterances),
        attention=_attention(acoustic),
        max_players=max_players,
        max_megabytes=max_megabytes,
    )


def _sentences(
    prepared: Path, split: str, utterances: int | None
) -> tuple[list[Sentence], int, int]:
    """Sentences to evaluate, number in the split, and number quarantined in all splits."""
    from wavewright.data.manifest import read_manifest, usable_rows
    from wavewright.evaluation.layout import pick_evenly
    from wavewright.evaluation.synthesize import Sentence

    manifest = read_manifest(prepared / "manifest.parquet")
    rows = usable_rows(manifest, split)
    if rows.empty:
        raise WavewrightError(
            f"{prepared / 'manifest.parquet'}: no usable utterances in split '{split}'"
        )
    columns = (rows[name].tolist() for name in ("id", "text", "normalised_text", "speaker"))
    grids = [prepared / path if path else None for path in rows["alignment"]]
    everything = [Sentence(*row) for row in zip(*columns, grids, strict=True)]
    selection = everything if utterances is None else pick_evenly(everything, utterances)
    return selection, len(everything), len(manifest) - len(usable_rows(manifest))


def _phones(prepared: Path, ids: Sequence[str]) -> dict[str, list[Interval]]:
    """Phones of each recording with a TextGrid, as intervals."""
    from itertools import accumulate

    from wavewright.data.manifest import read_manifest
    from wavewright.text.textgrid import Interval

    rows = read_manifest(prepared / "manifest.parquet", lists=True).set_index("id").loc[list(ids)]
    measurements = {}
    for utterance, labels, seconds in zip(ids, rows["phones"], rows["phone_seconds"], strict=True):
        ends = list(accumulate(map(float, seconds)))
        spans = zip([0.0, *ends], ends, labels, strict=False)
        if ends:
            measurements[utterance] = [
                Interval(start, end, str(label)) for start, end, label in spans
            ]
    return measurements


def _absent(gta: Path | None, acoustic: Path | None) -> dict[str, str]:
    """Reasons for absent conditions."""
    absent = {}
    if gta is None:
        absent["gta"] = "Not evaluated: this run made no GTA mels."
    if acoustic is None:
        absent["tts"] = "Not evaluated: this run has no acoustic model to read the text."
    return absent


def _speed(
    mels: Path,
    sentences: Sequence[Sentence],
    eval_systems: Sequence[EvalSystem],
    seconds: float,
    repeats: int,
) -> Speed:
    """Time every vocoder on natural mels, joined until they last `seconds`."""
    import numpy as np
    import torch

    from wavewright.data.shards import Shards
    from wavewright.evaluation.speed import time_vocoders

    shards = Shards(mels)
    vocoder = eval_systems[0].vocoder
    wanted = max(1, round(seconds * vocoder.sample_rate / vocoder.hop_length))
    pieces: list[np.ndarray] = []
    while sum(piece.shape[1] for piece in pieces) < wanted:
        pieces.append(shards.array(sentences[len(pieces) % len(sentences)].id))
    mel = torch.from_numpy(np.concatenate(pieces, axis=1)[None, :, :wanted].copy())
    named = {one.system.id: one.vocoder for one in eval_systems}
    device = next((v.device for v in named.values() if v.device.type != "cpu"), mel.device)
    refine = {one.system.id: one.system.refine for one in eval_systems}
    return time_vocoders(named, mel.to(device), repeats=repeats, refine=refine)


def _training(
    vocoder: Mapping[str, Path],
    eval_systems: Sequence[EvalSystem],
    prepared: Path,
    mels: Path,
    dev_utterances: int,
) -> TrainingCurves | None:
    """Validation curves of the vocoders, and mel L1 of the baselines on the same clips."""
    from wavewright.evaluation.report.page import TrainingCurves

    curves = {}
    for name, run in vocoder.items():
        file = run / "validation.jsonl"
        lines = file.read_text().splitlines() if file.is_file() else []
        points = [json.loads(line) for line in lines]
        curves[name] = [(p["step"], p["mel_l1"]) for p in points if "mel_l1" in p]
    if not any(curves.values()):
        return None
    levels = {
        one.system.title: level
        for one in eval_systems
        if one.system.kind == "baseline"
        and (level := _dev_level(one, prepared, mels, dev_utterances)) is not None
    }
    return TrainingCurves(curves, levels)


def _dev_level(system: EvalSystem, prepared: Path, mels: Path, utterances: int) -> float | None:
    """Mean mel L1 of copy-synthesis over the first dev utterances, as training validates."""
    import torch

    from wavewright.audio.files import from_pcm16
    from wavewright.data.manifest import read_manifest, usable_rows
    from wavewright.data.shards import Shards
    from wavewright.metrics.mel_l1 import MelL1

    audio, shards, metric, values = Shards(prepared / "audio"), Shards(mels), MelL1(), []
    ids = usable_rows(read_manifest(prepared / "manifest.parquet"), "dev")["id"].tolist()
    for utterance in ids[:utterances]:
        mel = torch.from_numpy(shards.array(utterance).copy())[None].to(system.vocoder.device)
        wav = system.vocoder.generate(mel, seed=0)[0].float().cpu().numpy()
        values.append(metric(from_pcm16(audio.array(utterance)), wav, audio.sample_rate))
    return sum(values) / len(values) if values else None


def _attention(acoustic: Path | None) -> bytes | None:
    """Attention plot of the acoustic model, if there is one."""
    picture = acoustic / "attention.png" if acoustic else None
    return picture.read_bytes() if picture and picture.is_file() else None
