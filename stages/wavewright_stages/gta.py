"""Stage 4: ground-truth-aligned mels: teacher-forced acoustic model output for every recording.

The model is this recipe's, or another toolkit's, whose mels are then read from files. Ids and
shards are those of the natural mels, and report.csv accounts for every usable utterance.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import PositiveInt

from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.stage import In, InMaybe, Out, Unkeyed, stage

if TYPE_CHECKING:
    from wavewright.data.shards import IndexRow
    from wavewright.gta.foreign.collection import MelCollection
    from wavewright.gta.shard_maker import ReportRow, ShardMaker

log = logging.getLogger("wavewright")
OnMissing = Literal["fail", "natural", "leave_out"]
Length = Literal["exact", "trim", "pad"]
Layout = Literal["bands_first", "frames_first"]
OnBadAlignment = Literal["keep", "refuse"]


def _needs(options: Any) -> set[str]:
    needed = {"prepared", "mels"}
    return needed if options.source is not None else needed | {"acoustic"}


@stage(version=1, uses=_needs)
def gta(
    prepared: In,
    mels: In,
    acoustic: InMaybe,
    gta: Out,
    *,
    mel: MelSpec,
    seed: int,
    source: Path | None = None,
    mel_preset: MelSpec | str = "",
    layout: Layout | None = None,
    stats: Path | None = None,
    length: Length = "exact",
    on_missing: OnMissing = "fail",
    least_diagonality: float | None = None,
    on_bad_alignment: OnBadAlignment = "keep",
    dropout_samples: PositiveInt = 1,
    batch_size: PositiveInt = 16,
    jobs: Unkeyed[int] = -1,
    gpus: Unkeyed[PositiveInt] = 1,
    device: Unkeyed[str] = "auto",
) -> None:
    """Predict the mel of every usable utterance, teacher-forced on its recording.

    Args:
        prepared: the manifest, for texts.
        mels: natural mels.
        acoustic: the acoustic model's run; not needed with a `source`.
        gta: shards like those of `mels`; report.csv (one row per utterance), report.json,
            distances.png (histograms), worst.png (utterances to check first).
        mel: Mel convention; must be that of `mels` and of the acoustic model.
        seed: seed of the prenet's dropout, combined with each utterance's id.
        source: folder or manifest of teacher-forced mels of another toolkit's model; they are
            read and converted, and no model runs.
        mel_preset: preset of the mels in `source`, or fields like the recipe's `mel`; needed
            unless the toolkit stored it.
        layout: order of their axes, if not the toolkit's or the preset's.
        stats: file of the statistics that normalise them (feats_stats.npz, stats.h5).
        length: "exact": as many frames as the natural mel; "trim": one extra frame is cut off
            the end; "pad": that, and one missing frame is padded with silence. report.csv counts
            both.
        on_missing: for an utterance that cannot be made, "fail" ends the stage, "natural"
            substitutes its natural mel, "leave_out" omits it. report.csv lists each.
        least_diagonality: an alignment below it counts as failed; null accepts all.
        on_bad_alignment: for an alignment that omits a tenth of its text or loses its place in a
            tenth of its steps, "keep" marks it in report.csv, "refuse" counts it as failed; see
            `on_missing`.
        dropout_samples: samples of the prenet's dropout; the mels of several are averaged.
        batch_size: utterances of similar length per batch.
        jobs: worker processes on a CPU; the result does not depend on it.
        gpus: processes, each on a GPU of its own and with its own list of shards.
        device: `auto`, `cpu` or `cuda`.
    """
    from wavewright.data.shards import ShardHeader, publish_index, remove_leftovers
    from wavewright.gta.report import write_report

    gta.mkdir(parents=True, exist_ok=True)
    shared = {"prepared": prepared, "mels": mels, "gta": gta, "on_missing": on_missing}
    if source is not None:
        if least_diagonality is not None or on_bad_alignment != "keep" or dropout_samples != 1:
            raise WavewrightError(
                "gta.least_diagonality, on_bad_alignment and dropout_samples are for mels of the "
                "recipe's own model; mels of gta.source have no alignment"
            )
        result = _import_mels(shared, mel, source, mel_preset, layout, stats, length, jobs)
    else:
        if mel_preset or layout or stats or length != "exact":
            raise WavewrightError(
                "gta.mel_preset, layout, stats and length are for mels of gta.source"
            )
        own = {
            "seed": seed,
            "least_diagonality": least_diagonality,
            "on_bad_alignment": on_bad_alignment,
            "dropout_samples": dropout_samples,
            "batch_size": batch_size,
        }
        result = _make_mels(shared | own, mel, acoustic, device, jobs, gpus)
    report = [row for _, part in result.parts for row in part] + result.maker.rows_without_mel()
    write_report(gta, report, **result.summary)
    _warn(report, gta / "report.csv")
    failed = sorted(row for row in report if row.made != "gta")
    if failed and on_missing == "fail":
        raise WavewrightError(
            f"{len(failed)} of {len(report)} utterances have no GTA mel; the first is "
            f"'{failed[0].id}': {failed[0].reason}. All are in {gta / 'report.csv'}. "
            "gta.on_missing may be 'natural' or 'leave_out' instead of 'fail'."
        )
    index = [row for part, _ in result.parts for row in part]
    publish_index(gta, index, ShardHeader(result.maker.natural.sample_rate, mel))
    remove_leftovers(gta, {row.shard for row in index})
    _plot_worst(gta, result.maker, report)
    for notes in gta.glob("shard-*.notes.json"):
        notes.unlink()


class _Result(NamedTuple):
    """Index rows and report rows of every shard, their maker, and extra summary fields."""

    maker: ShardMaker
    parts: list[tuple[list[IndexRow], list[ReportRow]]]
    summary: dict[str, Any]


def _warn(rows: Sequence[ReportRow], report: Path) -> None:
    bad = [row for row in rows if row.made == "gta" and row.doubt]
    if bad:
        log.warning(
            "%d of %d alignments look wrong: for '%s' the acoustic model %s; all are in %s",
            len(bad),
            len(rows),
            bad[0].id,
            bad[0].doubt,
            report,
        )


def _plot_worst(gta: Path, maker: ShardMaker, rows: Sequence[ReportRow]) -> None:
    """Plot the worst utterances into `worst.png`."""
    from wavewright.data.shards import Shards
    from wavewright.gta.maker import GtaMaker
    from wavewright.gta.plot import UtterancePlot, plot_utterances
    from wavewright.gta.report import worst_utterances

    worst, shards = worst_utterances(rows), Shards(gta)
    if not worst:
        return
    plots = [UtterancePlot(row, maker.natural.array(row.id), shards.array(row.id)) for row in worst]
    if isinstance(maker, GtaMaker):
        outputs = maker.teacher_force([row.id for row in worst])
        plots = [
            plot._replace(
                alignment=output.alignment.numpy(),
                symbols=[maker.model.symbols[number] for number in numbers],
            )
            for plot, (output, numbers) in zip(plots, outputs, strict=True)
        ]
    plot_utterances(gta / "worst.png", plots)


def _make_mels(
    options: dict[str, Any], mel: MelSpec, acoustic: Path | None, device: str, jobs: int, gpus: int
) -> _Result:
    """Make mels with the recipe's own acoustic model."""
    from wavewright.compute.device import pick_device, pick_devices
    from wavewright.compute.parallel_map import parallel_map
    from wavewright.gta.maker import DeviceTask, GtaMaker
    from wavewright.gta.shard_maker import list_shard_members

    if acoustic is None:
        raise WavewrightError(
            "stage 'gta' needs the stage 'acoustic' before it, or gta.source: mels that another "
            "toolkit made"
        )
    place = pick_device(device)
    maker = GtaMaker(acoustic=acoustic, device=str(place), **options)
    mel.require_equal(maker.spec, mine="the recipe", theirs=f"the mels in {maker.mels}")
    mel.require_equal(
        maker.model.mel_spec, mine="the recipe", theirs=f"the acoustic model in {acoustic}"
    )
    shards = list_shard_members(maker.mels)
    if gpus == 1:
        jobs = jobs if place.type == "cpu" else 1
        return _Result(maker, parallel_map(maker.make_shard, shards, jobs=jobs, what="gta"), {})
    lists = [
        DeviceTask(replace(maker, device=str(own)), shards[number::gpus])
        for number, own in enumerate(pick_devices(place, gpus))
    ]
    done = parallel_map(
        DeviceTask.make_shards, lists, jobs=gpus, what="gta", unit="lists of shards"
    )
    return _Result(maker, [part for parts in done for part in parts], {})


def _import_mels(
    options: dict[str, Any],
    mel: MelSpec,
    source: Path,
    mel_preset: MelSpec | str,
    layout: Layout | None,
    stats: Path | None,
    length: Length,
    jobs: int,
) -> _Result:
    """Read and convert mels that another toolkit made."""
    from wavewright.compute.parallel_map import parallel_map
    from wavewright.gta.foreign.maker import ForeignMaker, ShardTask
    from wavewright.gta.foreign.matching import match_utterances
    from wavewright.gta.foreign.toolkits import read_collection
    from wavewright.gta.shard_maker import list_shard_members
    from wavewright.mel.transform import require_convertible

    collection = read_collection(source)
    source_spec = _convention(collection, source, mel_preset, stats)
    maker = ForeignMaker(
        external={},
        source=str(source),
        source_spec=source_spec.bands_first,
        layout=layout or collection.layout or source_spec.layout,
        padded=collection.padded,
        length=length,
        **options,
    )
    mel.require_equal(maker.spec, mine="the recipe", theirs=f"the mels in {maker.mels}")
    require_convertible(maker.source_spec, maker.spec)
    external = match_utterances(collection.mels, maker.texts, source)
    unmatched = len(collection.mels) - len(external)
    if unmatched:
        log.warning("%s: %d mels match no usable utterance", source, unmatched)
    tasks = maker.shard_tasks(list_shard_members(maker.mels), external)
    return _Result(
        maker,
        parallel_map(ShardTask.make_shard, tasks, jobs=jobs, what="gta"),
        {"toolkit": collection.toolkit, "mels_of_no_utterance": unmatched},
    )


def _convention(
    collection: MelCollection, source: Path, mel_preset: MelSpec | str, stats: Path | None
) -> MelSpec:
    """Mel spec of another toolkit's mels, statistics included."""
    from wavewright.data.mel_statistics import with_statistics

    if isinstance(mel_preset, MelSpec):
        spec = mel_preset
    elif mel_preset:
        spec = MelSpec.preset(mel_preset)
    elif collection.convention is not None:
        spec = collection.convention
    else:
        raise WavewrightError(
            f"gta.mel_preset: {source} does not say what its mels are; name a preset, such as "
            "'espnet' or 'tacotron2' ('wavewright list mels' has all)"
        )
    if stats is not None:
        return with_statistics(spec, stats)
    if collection.normalised:
        raise WavewrightError(
            f"gta.stats: the mels in {source} are normalised (norm/); name the file of their "
            "statistics, such as feats_stats.npz, or give the folder that has denorm/ too"
        )
    return spec
