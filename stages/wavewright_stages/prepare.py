"""Stage 1: from a corpus to a table of utterances and their audio, all at one rate and level."""

from __future__ import annotations

import csv
import dataclasses
import logging
import math
import re
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


@stage(version=2)
def prepare(
    corpus: In,
    prepared: Out,
    *,
    sample_rate: int,
    columns: tuple[str, ...] = ("id", "raw", "normalised"),
    speaker: str = "speaker",
    speaker_pattern: str | None = None,
    channel: Literal["left", "right", "mean"] = "left",
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
    require_text: bool | None = None,
    phones_tier: str = "phones",
    words_tier: str = "words",
    splits: Literal["lists", "hash"] = "lists",
    lists: Path | None = None,
    dev: Annotated[int, Field(gt=0)] = 50,
    test: Annotated[int, Field(gt=0)] = 50,
    speaker_disjoint: bool = False,
    share_texts: bool = False,
    max_quarantine: Annotated[float, Field(ge=0, le=1)] = 0.01,
    encoding: Literal["pcm16", "flac"] = "pcm16",
    shard_size: Annotated[int, Field(gt=0)] = 256,
    title: str | None = None,
    jobs: Unkeyed[int] = -1,
) -> None:
    """Check every utterance, split them, and write their audio in shards.

    Args:
        corpus: what the stage download publishes.
        prepared: `manifest.parquet`, one row per utterance, with its measures; `audio/`, shards of
            the usable ones; `alignments/ID.TextGrid`, in the time of the prepared audio;
            `quarantine.csv`, what cannot be used and why; `report.html`, all of it to look at and
            listen to.
        sample_rate: Hz; audio is resampled to it by soxr at its very high quality.
        columns: fields of metadata.csv; `speaker` may be one of them.
        speaker: name of the speaker where nothing says it.
        speaker_pattern: regular expression that finds the speaker in an id, as its first group,
            where no column says it.
        channel: what becomes of several channels: the first, the second, or the mean of all.
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
        require_text: whether an utterance without text is a fault; None: where any has one. A
            corpus without texts trains vocoders.
        phones_tier: name of the TextGrids' tier of phones.
        words_tier: name of the TextGrids' tier of words.
        splits: `lists`: by the files of `lists`, or else the corpus's own splits; what they do not
            say is decided by the hash of the ids. `hash`: by the hash alone.
        lists: folder with train.txt, dev.txt or test.txt (any of them; one id per line).
        dev: texts held out for validation where no list names them.
        test: texts held out for test where no list names them.
        speaker_disjoint: no speaker is in two splits; the hash then holds out speakers.
        share_texts: whether a text may be in two splits, as in a corpus of few words.
        max_quarantine: share of faulty utterances, rounded up, beyond which the stage fails.
        encoding: of the audio shards: `flac` takes about half the space of `pcm16` and has to be
            decoded for every crop.
        shard_size: utterances in a shard.
        title: of the report.
        jobs: worker processes; -1 means one per processor.
    """
    from wavewright.corpus import read_corpus
    from wavewright.level import Loudness
    from wavewright.report.data_report import write_data_report
    from wavewright.screening import Rules

    entries = {entry.id: entry for entry in read_corpus(corpus, columns)}
    if require_text is None:
        require_text = any(entry.normalised for entry in entries.values())
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
        require_text=require_text,
        phones_tier=phones_tier,
        words_tier=words_tier,
    )
    found = _screen_all(list(entries.values()), rules, jobs)
    speakers = _speakers(entries, speaker, speaker_pattern)
    rows = {name: _row(entries[name], found[name], speakers[name], rules) for name in entries}
    _flag_rates(rows)
    _write_quarantine(prepared, rows)
    _require_few_faults(prepared, rows, max_quarantine)

    named = {} if splits == "hash" else _lists(corpus, lists, entries)
    _split(rows, named, dev, test, speaker_disjoint, share_texts)
    _write_quarantine(prepared, rows)
    gains = _gains(rows, found, Loudness(policy=level, target=target_dbfs, ceiling=ceiling))
    cuts = {name: _cut(entries[name], found[name], gain) for name, gain in gains.items()}
    _write_audio(prepared, rows, cuts, rules, encoding, shard_size, jobs)
    _write_table(prepared, rows)
    write_data_report(prepared, title=title or "The prepared corpus")
    _summarise(rows, found)


class _Cut(NamedTuple):
    """How the audio of one utterance is made.

    Attributes:
        audio: its file.
        begin, end: seconds of the file that are the utterance.
        start, stop: samples of those that are kept.
        gain: factor.
        alignment: its TextGrid.
    """

    audio: Path
    begin: float
    end: float | None
    start: int
    stop: int
    gain: float
    alignment: Path | None


Row = dict[str, Any]


def _screen_all(entries: Sequence[Entry], rules: Rules, jobs: int) -> dict[str, Screened]:
    from wavewright.parallel import parallel_map

    chunks = [entries[i : i + _CHUNK] for i in range(0, len(entries), _CHUNK)]
    screen = partial(_screen_some, rules=rules)
    found = parallel_map(
        screen,
        chunks,
        jobs=jobs,
        what="check",
        unit="batches",
        on_crash=partial(_one_by_one, rules),
    )
    return {item.id: item for items in found for item in items}


def _one_by_one(rules: Rules, entries: Sequence[Entry]) -> list[Screened]:
    """A batch that kills its worker: find out which of it does, and leave that out."""
    from wavewright.parallel import parallel_map

    # Two workers at least: alone, the work would be done in this process, and kill it.
    return parallel_map(
        partial(_screen_one, rules=rules),
        [*entries],
        jobs=2,
        what="check one by one",
        unit="utterances",
        on_crash=_killer,
    )


def _screen_one(entry: Entry, rules: Rules) -> Screened:
    return _screen_some([entry], rules)[0]


def _killer(entry: Entry) -> Screened:
    from wavewright.screening import Screened

    return Screened(entry.id, f"{entry.audio.name}: reading it kills the process (tried 3 times)")


def _screen_some(entries: Sequence[Entry], rules: Rules) -> list[Screened]:
    from wavewright.screening import screen

    return [screen(entry, rules) for entry in entries]


def _speakers(entries: Mapping[str, Entry], speaker: str, pattern: str | None) -> dict[str, str]:
    """Speaker by id: what the corpus says, or what the pattern finds, or the one name for all."""
    if pattern is None:
        return {name: entry.speaker or speaker for name, entry in entries.items()}
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise WavewrightError(f"prepare.speaker_pattern {pattern!r}: {error}") from error
    if expression.groups != 1:
        raise WavewrightError(
            f"prepare.speaker_pattern {pattern!r}: needs one group, found {expression.groups}"
        )
    matched = {name: expression.search(name) for name in entries}
    return {
        name: entry.speaker or (found[1] if (found := matched[name]) else speaker)
        for name, entry in entries.items()
    }


def _row(entry: Entry, found: Screened, speaker: str, rules: Rules) -> Row:
    """A row of the manifest; measures are NaN where the utterance cannot be used."""
    rate = found.level.sample_rate if found.level else rules.sample_rate
    seconds = (found.stop - found.start) / rate if found.level else math.nan
    characters = len(entry.normalised)
    return {
        "id": entry.id,
        "audio": "",
        "samples": 0,
        "sample_rate": rules.sample_rate,
        "speaker": speaker,
        "text": entry.text,
        "normalised_text": entry.normalised,
        "split": "",
        "alignment": f"alignments/{entry.id}.TextGrid" if found.alignment else "",
        "flags": ",".join(found.flags),
        "reason": found.reason,
        "seconds": seconds,
        **dataclasses.asdict(found.quality),
        "gain_db": math.nan,
        "characters_per_second": characters / seconds if characters and seconds else math.nan,
        "phones": found.phones,
        "phone_seconds": found.phone_seconds,
    }


def _flag_rates(rows: Mapping[str, Row]) -> None:
    from wavewright.quality import rate_flags

    rates = {n: row["characters_per_second"] for n, row in rows.items() if not row["reason"]}
    for name, flag in rate_flags(rates).items():
        rows[name]["flags"] = ",".join(filter(None, [rows[name]["flags"], flag]))


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


def _lists(corpus: Path, lists: Path | None, entries: Mapping[str, Entry]) -> dict[str, list[str]]:
    from wavewright.splits import read_lists

    if lists is not None:
        return read_lists(lists)
    if (corpus / "splits").is_dir():
        return read_lists(corpus / "splits")
    named: dict[str, list[str]] = {}
    for name, entry in entries.items():
        if entry.split:
            named.setdefault(entry.split, []).append(name)
    return named


def _split(
    rows: Mapping[str, Row],
    lists: Mapping[str, list[str]],
    dev: int,
    test: int,
    speaker_disjoint: bool,
    share_texts: bool,
) -> None:
    from wavewright.splits import split_utterances

    usable = {name: row for name, row in rows.items() if not row["reason"]}
    texts = {name: row["normalised_text"] for name, row in usable.items()}
    speakers = {name: row["speaker"] for name, row in usable.items()}
    chosen, reasons = split_utterances(
        texts,
        lists,
        dev=dev,
        test=test,
        speakers=speakers if speaker_disjoint else None,
        share_texts=share_texts or not any(texts.values()),
    )
    for name in texts:
        rows[name]["split"] = chosen.get(name, "")
        rows[name]["reason"] = reasons.get(name, "")
    if "train" not in chosen.values():
        raise WavewrightError(
            f"no utterance is left for training: {len(reasons)} of {len(texts)} are left out by "
            "the split, such as "
            + "; ".join(f"{name}: {why}" for name, why in list(reasons.items())[:2])
            + ". A corpus of few texts needs prepare.share_texts=true"
        )


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
    for name, gain in gains.items():
        rows[name]["gain_db"] = 20 * math.log10(gain)
    return gains


def _cut(entry: Entry, found: Screened, gain: float) -> _Cut:
    alignment = entry.alignment if found.alignment else None
    return _Cut(entry.audio, entry.start, entry.end, found.start, found.stop, gain, alignment)


def _write_audio(
    prepared: Path,
    rows: Mapping[str, Row],
    cuts: Mapping[str, _Cut],
    rules: Rules,
    encoding: Literal["pcm16", "flac"],
    shard_size: int,
    jobs: int,
) -> None:
    from wavewright.shards import Shards, shard_plan, write_shards

    (prepared / "alignments").mkdir(exist_ok=True)
    folder = prepared / "audio"
    load = partial(_load, rules=rules, alignments=prepared / "alignments")
    write_shards(
        folder,
        cuts,
        load,
        mel=None,
        sample_rate=rules.sample_rate,
        encoding=encoding,
        jobs=jobs,
        shard_size=shard_size,
        what="audio",
    )
    shards = Shards(folder)
    for number, names in enumerate(shard_plan(list(cuts), shard_size)):
        for name in names:
            rows[name]["audio"] = f"audio/shard-{number:05d}.tar"
            rows[name]["samples"] = shards.length(name)
            rows[name]["seconds"] = shards.length(name) / rules.sample_rate


def _load(name: str, cut: _Cut, rules: Rules, alignments: Path) -> np.ndarray:
    """The samples of one utterance; its TextGrid is written on the way, in the samples' time."""
    from wavewright.alignment import cut_alignment, read_checked, write_alignment
    from wavewright.audio import load_wav, resample, to_pcm16

    wav, rate = load_wav(cut.audio, channel=rules.channel, start=cut.begin, end=cut.end)
    if cut.alignment is not None:
        alignment, _ = read_checked(
            cut.alignment, len(wav) / rate, phones=rules.phones_tier, words=rules.words_tier
        )
        kept = cut_alignment(alignment, cut.start / rate, cut.stop / rate)
        write_alignment(alignments / f"{name}.TextGrid", kept)
    wav = wav[cut.start : cut.stop]
    if rules.remove_offset:
        wav = wav - wav.mean(dtype="float64").astype("float32")
    return to_pcm16(resample(wav, rate, rules.sample_rate) * cut.gain)


def _write_table(prepared: Path, rows: Mapping[str, Row]) -> None:
    import pandas as pd

    from wavewright.manifest import write_manifest
    from wavewright.screening import SEPARATOR

    for row in rows.values():
        row["alignment"] = row["alignment"] if row["split"] else ""
        row["phones"] = row["phones"].split(SEPARATOR) if row["phones"] else []
    write_manifest(pd.DataFrame(list(rows.values())), prepared / "manifest.parquet")


def _summarise(rows: Mapping[str, Row], found: Mapping[str, Screened]) -> None:
    for split in ("train", "dev", "test"):
        chosen = [row for row in rows.values() if row["split"] == split]
        hours = sum(row["samples"] / row["sample_rate"] for row in chosen) / 3600
        log.info("%-5s %6d utterances, %.3f hours", split, len(chosen), hours)
    flags = Counter(f for row in rows.values() for f in row["flags"].split(",") if f)
    for flag, count in sorted(flags.items()):
        log.info("flag %s: %d utterances", flag, count)
    notes = [item.note for item in found.values() if item.note and not item.alignment]
    if notes:
        log.warning("%d TextGrids cannot be used, such as %s", len(notes), notes[0])
    odd = [f"{item.id}: {item.note}" for item in found.values() if item.note and item.alignment]
    if odd:
        log.warning("%d TextGrids are odd, such as that of %s", len(odd), odd[0])
    left_out = sum(row["reason"].startswith(_LEFT_OUT) for row in rows.values())
    if left_out:
        log.info("%d utterances are left out by the split (see quarantine.csv)", left_out)
