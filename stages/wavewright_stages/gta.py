"""Stage 4: ground-truth-aligned mels: the acoustic model speaks along every recording.

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
    from wavewright.gta.foreign.collection import Collection
    from wavewright.gta.shard_maker import Entry, ShardMaker

log = logging.getLogger("wavewright")
Missing = Literal["fail", "natural", "leave_out"]
Length = Literal["exact", "trim", "pad"]
Layout = Literal["bands_first", "frames_first"]
Doubtful = Literal["keep", "refuse"]


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
    like: MelSpec | str = "",
    layout: Layout | None = None,
    stats: Path | None = None,
    length: Length = "exact",
    missing: Missing = "fail",
    least_diagonality: float | None = None,
    doubtful: Doubtful = "keep",
    draws: PositiveInt = 1,
    batch_size: PositiveInt = 16,
    jobs: Unkeyed[int] = -1,
    gpus: Unkeyed[PositiveInt] = 1,
    device: Unkeyed[str] = "auto",
) -> None:
    """Make the mel of every usable utterance again, along its recording.

    Args:
        prepared: the manifest, for texts.
        mels: natural mels.
        acoustic: the acoustic model's run; not needed where there is a `source`.
        gta: shards like those of `mels`; report.csv (one row per utterance), report.json,
            distances.png (histograms), worst.png (what to look at first).
        mel: the convention; must be that of `mels` and of the acoustic model.
        seed: of the prenet's dropout, with each utterance's id.
        source: folder or manifest of mels that another toolkit's model made along the recordings;
            they are read and converted, and no model speaks.
        like: mel preset that those are in, or fields like the recipe's `mel`; needed unless the
            toolkit wrote it down.
        layout: the order of their axes, if not the toolkit's or the preset's.
        stats: file of the statistics that they are normalised with (feats_stats.npz, stats.h5).
        length: "exact": each has the natural mel's frames; "trim": one more is cut off the end;
            "pad": that, and one fewer gets a frame of silence. report.csv counts both.
        missing: what becomes of an utterance that cannot be made: "fail" ends the stage,
            "natural" puts its natural mel there, "leave_out" leaves it out. Each is listed.
        least_diagonality: an alignment below it counts as failed; None accepts all.
        doubtful: what becomes of an utterance whose alignment leaves out a tenth of its text or
            loses its place in a tenth of its steps: "keep" marks it in report.csv; "refuse" counts
            it as failed, see `missing`.
        draws: of the prenet's dropout; more than one are averaged, mel by mel.
        batch_size: utterances of like length that are made together.
        jobs: worker processes on a CPU; the result does not depend on it.
        gpus: processes, each on a GPU of its own and with its own list of shards.
        device: auto, cpu or cuda.
    """
    from wavewright.data.shards import ShardHeader, publish_index, remove_leftovers
    from wavewright.gta.report import write_report

    gta.mkdir(parents=True, exist_ok=True)
    shared = {"prepared": prepared, "mels": mels, "gta": gta, "missing": missing}
    if source is not None:
        if least_diagonality is not None or doubtful != "keep" or draws != 1:
            raise WavewrightError(
                "gta.least_diagonality, doubtful and draws are for mels that the recipe's own "
                "model makes; those of gta.source have no alignment"
            )
        made = _read(shared, mel, source, like, layout, stats, length, jobs)
    else:
        if like or layout or stats or length != "exact":
            raise WavewrightError("gta.like, layout, stats and length are for mels of gta.source")
        own = {
            "seed": seed,
            "least_diagonality": least_diagonality,
            "doubtful": doubtful,
            "draws": draws,
            "batch_size": batch_size,
        }
        made = _spoken(shared | own, mel, acoustic, device, jobs, gpus)
    entries = [entry for _, part in made.parts for entry in part] + made.maker.without_mel()
    write_report(gta, entries, **made.summary)
    _warn(entries, gta / "report.csv")
    refused = sorted(entry for entry in entries if entry.made != "gta")
    if refused and missing == "fail":
        raise WavewrightError(
            f"{len(refused)} of {len(entries)} utterances have no GTA mel; the first is "
            f"'{refused[0].id}': {refused[0].reason}. All are in {gta / 'report.csv'}. "
            "gta.missing may be 'natural' or 'leave_out' instead of 'fail'."
        )
    rows = [row for part, _ in made.parts for row in part]
    publish_index(gta, rows, ShardHeader(made.maker.natural.sample_rate, mel))
    remove_leftovers(gta, {row.shard for row in rows})
    _picture(gta, made.maker, entries)
    for notes in gta.glob("shard-*.notes.json"):
        notes.unlink()


class _Made(NamedTuple):
    """Rows and entries of every shard, their maker, and more for the report's summary."""

    maker: ShardMaker
    parts: list[tuple[list[IndexRow], list[Entry]]]
    summary: dict[str, Any]


def _warn(entries: Sequence[Entry], report: Path) -> None:
    doubted = [entry for entry in entries if entry.made == "gta" and entry.doubt]
    if doubted:
        log.warning(
            "%d of %d alignments are in doubt: of '%s' the acoustic model %s; %s has all",
            len(doubted),
            len(entries),
            doubted[0].id,
            doubted[0].doubt,
            report,
        )


def _picture(gta: Path, maker: ShardMaker, entries: Sequence[Entry]) -> None:
    """Draw the utterances that are worst."""
    from wavewright.data.shards import Shards
    from wavewright.gta.maker import GtaMaker
    from wavewright.gta.plot import Case, plot_cases
    from wavewright.gta.report import worst

    found, made = worst(entries), Shards(gta)
    if not found:
        return
    cases = [Case(entry, maker.natural.array(entry.id), made.array(entry.id)) for entry in found]
    if isinstance(maker, GtaMaker):
        followed = maker.follow([entry.id for entry in found])
        cases = [
            case._replace(
                alignment=speech.alignment.numpy(),
                symbols=[maker.model.symbols[number] for number in numbers],
            )
            for case, (speech, numbers) in zip(cases, followed, strict=True)
        ]
    plot_cases(gta / "worst.png", cases)


def _spoken(
    options: dict[str, Any], mel: MelSpec, acoustic: Path | None, device: str, jobs: int, gpus: int
) -> _Made:
    """Mels by the recipe's own acoustic model."""
    from wavewright.compute.device import pick_device, pick_devices
    from wavewright.compute.parallel_map import parallel_map
    from wavewright.gta.maker import GtaMaker, GtaPart
    from wavewright.gta.shard_maker import membership

    if acoustic is None:
        raise WavewrightError(
            "stage 'gta' needs the stage 'acoustic' before it, or gta.source: mels that another "
            "toolkit made"
        )
    place = pick_device(device)
    maker = GtaMaker(acoustic=acoustic, device=str(place), **options)
    mel.require_equal(maker.spec, mine="the recipe", theirs=f"the mels in {maker.mels}")
    mel.require_equal(
        maker.model.mel, mine="the recipe", theirs=f"the acoustic model in {acoustic}"
    )
    shards = membership(maker.mels)
    if gpus == 1:
        jobs = jobs if place.type == "cpu" else 1
        return _Made(maker, parallel_map(maker.finish_shard, shards, jobs=jobs, what="gta"), {})
    lists = [
        GtaPart(replace(maker, device=str(own)), shards[number::gpus])
        for number, own in enumerate(pick_devices(place, gpus))
    ]
    done = parallel_map(GtaPart.finish, lists, jobs=gpus, what="gta", unit="lists of shards")
    return _Made(maker, [part for parts in done for part in parts], {})


def _read(
    options: dict[str, Any],
    mel: MelSpec,
    source: Path,
    like: MelSpec | str,
    layout: Layout | None,
    stats: Path | None,
    length: Length,
    jobs: int,
) -> _Made:
    """Mels that another toolkit made."""
    from wavewright.compute.parallel_map import parallel_map
    from wavewright.gta.foreign.maker import ForeignMaker, Part
    from wavewright.gta.foreign.matching import match
    from wavewright.gta.foreign.toolkits import read_collection
    from wavewright.gta.shard_maker import membership
    from wavewright.mel.transform import require_convertible

    collection = read_collection(source)
    given = _convention(collection, source, like, stats)
    maker = ForeignMaker(
        found={},
        source=str(source),
        like=given.bands_first,
        layout=layout or collection.layout or given.layout,
        padded=collection.padded,
        length=length,
        **options,
    )
    mel.require_equal(maker.spec, mine="the recipe", theirs=f"the mels in {maker.mels}")
    require_convertible(maker.like, maker.spec)
    found = match(collection.found, maker.texts, source)
    strangers = len(collection.found) - len(found)
    if strangers:
        log.warning("%s: %d mels belong to no usable utterance", source, strangers)
    parts = maker.parts(membership(maker.mels), found)
    return _Made(
        maker,
        parallel_map(Part.finish, parts, jobs=jobs, what="gta"),
        {"toolkit": collection.toolkit, "mels_of_no_utterance": strangers},
    )


def _convention(
    collection: Collection, source: Path, like: MelSpec | str, stats: Path | None
) -> MelSpec:
    """Of mels that another toolkit made, statistics included."""
    from wavewright.data.mel_statistics import with_statistics

    if isinstance(like, MelSpec):
        given = like
    elif like:
        given = MelSpec.preset(like)
    elif collection.convention is not None:
        given = collection.convention
    else:
        raise WavewrightError(
            f"gta.like: {source} does not say what its mels are; name a preset, such as 'espnet' "
            "or 'tacotron2' ('wavewright list mels' has all)"
        )
    if stats is not None:
        return with_statistics(given, stats)
    if collection.normalised:
        raise WavewrightError(
            f"gta.stats: the mels in {source} are normalised (norm/); name the file of their "
            "statistics, such as feats_stats.npz, or give the folder that has denorm/ too"
        )
    return given
