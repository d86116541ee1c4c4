"""Stage 1: from a corpus to a table of utterances and their audio, all at one rate and level."""

from __future__ import annotations

import csv
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field

from wavewright.errors import WavewrightError
from wavewright.stage import In, Out, Unkeyed, stage

if TYPE_CHECKING:
    import numpy as np

    from wavewright.corpus import Entry
    from wavewright.level import Loudness
    from wavewright.screening import Rules, Screened

_CHUNK = 64  # utterances that a worker screens at a time
_LEFT_OUT = "left out: "  # reasons that are nobody's fault
log = logging.getLogger("wavewright")


@stage(version=1)
def prepare(
    corpus: In,
    prepared: Out,
    *,
    sample_rate: int,
    columns: tuple[str, ...] = ("id", "raw", "normalised"),
    speaker: str = "speaker",
    channel: Literal["left", "mean"] = "left",
    remove_offset: bool = False,
    trim: Literal["none", "alignment", "energy"] = "none",
    margin: Annotated[float, Field(ge=0)] = 0.1,
    top_db: Annotated[float, Field(gt=0)] = 35.0,
    level: Literal["none", "speaker", "utterance", "peak"] = "none",
    target_dbfs: Annotated[float, Field(le=0)] = -23.0,
    ceiling: Annotated[float, Field(gt=0, le=1)] = 0.95,
    minimum_seconds: Annotated[float, Field(ge=0.05)] = 0.1,
    maximum_seconds: Annotated[float, Field(gt=0)] = 20.0,
    unknown_symbols: Literal["quarantine", "flag"] = "quarantine",
    splits: Literal["lists", "hash"] = "lists",
    lists: Path | None = None,
    dev: Annotated[int, Field(gt=0)] = 50,
    test: Annotated[int, Field(gt=0)] = 50,
    max_quarantine: Annotated[float, Field(ge=0, le=1)] = 0.01,
    shard_size: Annotated[int, Field(gt=0)] = 256,
    jobs: Unkeyed[int] = -1,
) -> None:
    """Check every utterance, split them, and write their audio in shards.

    Args:
        corpus: in LJSpeech layout.
        prepared: `manifest.parquet`, one row per utterance; `audio/`, PCM16 shards of the usable
            ones; `alignments/ID.TextGrid`, in the time of the prepared audio; `quarantine.csv`,
            what cannot be used and why.
        sample_rate: Hz; audio is resampled to it by soxr at its very high quality.
        columns: fields of metadata.csv; `speaker` may be one of them.
        speaker: name of the speaker where no column says it.
        channel: what becomes of several channels: the first, or their mean.
        remove_offset: subtract the mean of each utterance's samples.
        trim: `none`; `alignment`: to the first and last phone of the TextGrid, by energy where
            there is none; `energy`: to what is within `top_db` of the loudest 10 ms.
        margin: seconds that trimming leaves on either side.
        top_db: dB, see `trim`.
        level: `none`: as recorded; `speaker`: one gain for all of a speaker's utterances, measured
            on the active speech of the training ones; `utterance`: each its own gain; `peak`: each
            one's peak to `ceiling`. No policy clips: where it would, that utterance gets less.
        target_dbfs: RMS of active speech for `speaker` and `utterance`.
        ceiling: largest peak that a gain may lead to.
        minimum_seconds: after trimming; a mel needs half a window, which 0.05 s always is.
        maximum_seconds: before trimming; longer files are not decoded.
        unknown_symbols: texts with digits or other scripts are left out, or only flagged.
        splits: `lists`: by the files of `lists`, or else of the corpus's own splits/; what they do
            not say is decided by the hash of the ids. `hash`: by the hash alone.
        lists: folder with train.txt, dev.txt or test.txt (any of them; one id per line).
        dev: texts held out for validation where no list names them.
        test: texts held out for test where no list names them.
        max_quarantine: share of faulty utterances, rounded up, beyond which the stage fails.
        shard_size: utterances in a shard.
        jobs: worker processes; -1 means one per processor.
    """
    from wavewright.corpus import read_corpus
    from wavewright.level import Loudness
    from wavewright.screening import Rules

    rules = Rules(
        sample_rate=sample_rate,
        minimum_seconds=minimum_seconds,
        maximum_seconds=maximum_seconds,
        channel=channel,
        remove_offset=remove_offset,
        trim=trim,
        margin=margin,
        top_db=top_db,
        unknown_symbols=unknown_symbols,
    )
    entries = {entry.id: entry for entry in read_corpus(corpus, columns)}
    found = _screen_all(list(entries.values()), rules, jobs)
    rows = {name: _row(entries[name], found[name], speaker, rules) for name in entries}
    _write_quarantine(prepared, rows)
    _require_few_faults(prepared, rows, max_quarantine)

    _split(rows, {} if splits == "hash" else _lists(corpus, lists), dev, test)
    _write_quarantine(prepared, rows)
    gains = _gains(rows, found, Loudness(policy=level, target=target_dbfs, ceiling=ceiling))
    cuts = {name: _cut(entries[name], found[name], gain) for name, gain in gains.items()}
    _write_audio(prepared, rows, cuts, rules, shard_size, jobs)
    _write_table(prepared, rows)
    _summarise(rows, found)


class _Cut(NamedTuple):
    """How the audio of one utterance is made: samples of its file, a gain, its TextGrid."""

    audio: Path
    start: int
    stop: int
    gain: float
    alignment: Path | None


Row = dict[str, Any]


def _screen_all(entries: Sequence[Entry], rules: Rules, jobs: int) -> dict[str, Screened]:
    from wavewright.parallel import parallel_map

    chunks = [entries[i : i + _CHUNK] for i in range(0, len(entries), _CHUNK)]
    screen = partial(_screen_some, rules=rules)
    found = parallel_map(screen, chunks, jobs=jobs, what="check", unit="batches")
    return {item.id: item for items in found for item in items}


def _screen_some(entries: Sequence[Entry], rules: Rules) -> list[Screened]:
    from wavewright.screening import screen

    return [screen(entry, rules) for entry in entries]


def _row(entry: Entry, found: Screened, speaker: str, rules: Rules) -> Row:
    return {
        "id": entry.id,
        "audio": "",
        "samples": 0,
        "sample_rate": rules.sample_rate,
        "speaker": entry.speaker or speaker,
        "text": entry.text,
        "normalised_text": entry.normalised,
        "split": "",
        "alignment": f"alignments/{entry.id}.TextGrid" if found.alignment else "",
        "flags": ",".join(found.flags),
        "reason": found.reason,
    }


def _write_quarantine(prepared: Path, rows: Mapping[str, Row]) -> None:
    with (prepared / "quarantine.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["id", "reason"])
        table.writerows([row["id"], row["reason"]] for row in rows.values() if row["reason"])


def _require_few_faults(prepared: Path, rows: Mapping[str, Row], share: float) -> None:
    faults = [row for row in rows.values() if row["reason"]]
    if not faults:
        return
    examples = "; ".join(f"{row['id']}: {row['reason']}" for row in faults[:3])
    allowed = math.ceil(share * len(rows))
    if len(faults) > allowed or len(faults) == len(rows):
        raise WavewrightError(
            f"{len(faults)} of {len(rows)} utterances cannot be used, more than the {allowed} that "
            f"prepare.max_quarantine={share:g} allows. {examples}. "
            f"All of them: {prepared / 'quarantine.csv'}"
        )
    log.warning("%d of %d utterances cannot be used. %s", len(faults), len(rows), examples)


def _lists(corpus: Path, lists: Path | None) -> dict[str, list[str]]:
    from wavewright.splits import read_lists

    if lists is not None:
        return read_lists(lists)
    return read_lists(corpus / "splits") if (corpus / "splits").is_dir() else {}


def _split(rows: Mapping[str, Row], lists: Mapping[str, list[str]], dev: int, test: int) -> None:
    from wavewright.splits import split_utterances

    texts = {name: row["normalised_text"] for name, row in rows.items() if not row["reason"]}
    chosen, reasons = split_utterances(texts, lists, dev=dev, test=test)
    for name in texts:
        rows[name]["split"] = chosen.get(name, "")
        rows[name]["reason"] = reasons.get(name, "")


def _gains(
    rows: Mapping[str, Row], found: Mapping[str, Screened], loudness: Loudness
) -> dict[str, float]:
    """Gain by id of what has a split; flags those that got less than the others."""
    levels = {
        name: item.level for name, item in found.items() if rows[name]["split"] and item.level
    }
    speakers = {name: rows[name]["speaker"] for name in levels}
    train = [name for name in levels if rows[name]["split"] == "train"]
    gains, limited = loudness.gains(levels, speakers, train)
    for name in limited:
        rows[name]["flags"] = ",".join(filter(None, [rows[name]["flags"], "less_gain"]))
    return gains


def _cut(entry: Entry, found: Screened, gain: float) -> _Cut:
    alignment = entry.alignment if found.alignment else None
    return _Cut(entry.audio, found.start, found.stop, gain, alignment)


def _write_audio(
    prepared: Path,
    rows: Mapping[str, Row],
    cuts: Mapping[str, _Cut],
    rules: Rules,
    shard_size: int,
    jobs: int,
) -> None:
    from wavewright.shards import Shards, shard_plan, write_shards

    (prepared / "alignments").mkdir(exist_ok=True)
    folder = prepared / "audio"
    load = partial(_load, cuts=cuts, rules=rules, alignments=prepared / "alignments")
    write_shards(
        folder,
        list(cuts),
        load,
        mel=None,
        sample_rate=rules.sample_rate,
        jobs=jobs,
        shard_size=shard_size,
        what="audio",
    )
    shards = Shards(folder)
    for number, names in enumerate(shard_plan(list(cuts), shard_size)):
        for name in names:
            rows[name]["audio"] = f"audio/shard-{number:05d}.tar"
            rows[name]["samples"] = shards.length(name)


def _load(name: str, cuts: Mapping[str, _Cut], rules: Rules, alignments: Path) -> np.ndarray:
    """The samples of one utterance; its TextGrid is written on the way, in the samples' time."""
    from wavewright.alignment import cut_alignment, read_alignment, write_alignment
    from wavewright.audio import load_wav, resample, to_pcm16

    cut = cuts[name]
    wav, rate = load_wav(cut.audio, channel=rules.channel)
    if cut.alignment is not None:
        alignment = read_alignment(cut.alignment, len(wav) / rate)
        kept = cut_alignment(alignment, cut.start / rate, cut.stop / rate)
        write_alignment(alignments / f"{name}.TextGrid", kept)
    wav = wav[cut.start : cut.stop]
    if rules.remove_offset:
        wav = wav - wav.mean(dtype="float64").astype("float32")
    return to_pcm16(resample(wav, rate, rules.sample_rate) * cut.gain)


def _write_table(prepared: Path, rows: Mapping[str, Row]) -> None:
    import pandas as pd

    from wavewright.manifest import write_manifest

    for row in rows.values():
        row["alignment"] = row["alignment"] if row["split"] else ""
    write_manifest(pd.DataFrame(list(rows.values())), prepared / "manifest.parquet")


def _summarise(rows: Mapping[str, Row], found: Mapping[str, Screened]) -> None:
    for split in ("train", "dev", "test"):
        chosen = [row for row in rows.values() if row["split"] == split]
        hours = sum(row["samples"] / row["sample_rate"] for row in chosen) / 3600
        log.info("%-5s %6d utterances, %.3f hours", split, len(chosen), hours)
    flags = Counter(f for row in rows.values() for f in row["flags"].split(",") if f)
    for flag, count in sorted(flags.items()):
        log.info("flag %s: %d utterances", flag, count)
    notes = [item.note for item in found.values() if item.note]
    if notes:
        log.warning("%d TextGrids cannot be used, such as %s", len(notes), notes[0])
    left_out = sum(row["reason"].startswith(_LEFT_OUT) for row in rows.values())
    if left_out:
        log.info("%d utterances are left out by the split (see quarantine.csv)", left_out)
