"""Stage 4: ground-truth-aligned mels: the acoustic model speaks along every recording.

Ids and shards are those of the natural mels, and report.csv accounts for every usable utterance.
"""

from __future__ import annotations

from typing import Literal

from wavewright.errors import WavewrightError
from wavewright.melspec import MelSpec
from wavewright.stage import In, Out, Unkeyed, stage


@stage(version=1)
def gta(
    prepared: In,
    mels: In,
    acoustic: In,
    gta: Out,
    *,
    mel: MelSpec,
    seed: int,
    missing: Literal["fail", "natural", "leave_out"] = "fail",
    least_diagonality: float | None = None,
    batch_size: int = 16,
    jobs: Unkeyed[int] = -1,
    device: Unkeyed[str] = "auto",
) -> None:
    """Make the mel of every usable utterance again, along its recording.

    Args:
        prepared: the manifest, for texts.
        mels: natural mels.
        acoustic: the acoustic model's run.
        gta: shards like those of `mels`; report.csv (one row per utterance), report.json,
            distances.png.
        mel: the convention; must be that of `mels` and of the acoustic model.
        seed: of the prenet's dropout, with each utterance's id.
        missing: what becomes of an utterance that cannot be made: "fail" ends the stage,
            "natural" puts its natural mel there, "leave_out" leaves it out. Each is listed.
        least_diagonality: an alignment below it counts as failed; None accepts all.
        batch_size: utterances of like length that are made together.
        jobs: worker processes on a CPU; the result does not depend on it.
        device: auto, cpu or cuda.
    """
    from wavewright.acoustic.gta import GtaMaker, membership
    from wavewright.acoustic.gta_report import write_report
    from wavewright.device import pick_device
    from wavewright.parallel import parallel_map
    from wavewright.shards import Header, publish_index

    place = pick_device(device)
    maker = GtaMaker(
        prepared=prepared,
        mels=mels,
        acoustic=acoustic,
        gta=gta,
        device=str(place),
        seed=seed,
        missing=missing,
        least_diagonality=least_diagonality,
        batch_size=batch_size,
    )
    mel.require_equal(maker.spec, mine="the recipe", theirs=f"the mels in {mels}")
    mel.require_equal(
        maker.model.mel, mine="the recipe", theirs=f"the acoustic model in {acoustic}"
    )
    gta.mkdir(parents=True, exist_ok=True)
    done = parallel_map(
        maker.finish_shard,
        membership(mels),
        jobs=jobs if place.type == "cpu" else 1,
        what="gta",
    )
    entries = [entry for _, part in done for entry in part] + maker.without_mel()
    write_report(gta, entries)
    refused = sorted(entry for entry in entries if entry.made != "gta")
    if refused and missing == "fail":
        raise WavewrightError(
            f"{len(refused)} of {len(entries)} utterances have no GTA mel; the first is "
            f"'{refused[0].id}': {refused[0].reason}. All are in {gta / 'report.csv'}. "
            "gta.missing may be 'natural' or 'leave_out' instead of 'fail'."
        )
    rows = [row for part, _ in done for row in part]
    publish_index(gta, rows, Header(maker.natural.sample_rate, mel))
    for notes in gta.glob("shard-*.notes.json"):
        notes.unlink()
