"""Stage 1: from a corpus to a table of utterances and their audio, all at one rate and level."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from wavewright.stage import In, Out, Unkeyed, stage


@stage(version=2)
def prepare(
    corpus: In,
    prepared: Out,
    *,
    sample_rate: int,
    columns: tuple[str, ...] = ("id", "raw", "normalised"),
    speaker: str = "speaker",
    speaker_pattern: str | None = None,
    text_pattern: str | None = None,
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
    text_rules: Literal["plain", "english"] = "plain",
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
        text_pattern: the same for the text of an utterance without one.
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
        text_rules: how the normalised text is made of a corpus that brings none: `plain`: it is the
            text; `english`: numbers, amounts, times and abbreviations are spelled out, see
            `wavewright.text.verbalisation`. Where any of a corpus's normalised texts differs from
            its raw one, they are its own, and none is changed.
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
    import pyarrow

    from wavewright.audio.loudness import LoudnessTarget
    from wavewright.compute.parallel_map import release_workers
    from wavewright.data.corpus import table
    from wavewright.data.corpus.cut_audio import plan_cut, write_audio
    from wavewright.data.corpus.report.page import write_data_report
    from wavewright.data.corpus.screening import ScreeningRules, screen_all
    from wavewright.data.corpus.utterances import read_corpus

    # Arrow's own allocator keeps what it once had: a quarter of this stage's memory.
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    entries = {entry.id: entry for entry in read_corpus(corpus, columns)}
    entries = table.in_words(table.with_texts(entries, text_pattern), text_rules)
    if require_text is None:
        require_text = any(entry.normalised for entry in entries.values())
    rules = ScreeningRules(
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
    found = screen_all(list(entries.values()), rules, jobs)
    speakers = table.speakers_of(entries, speaker, speaker_pattern)
    rows = {
        name: table.row_of(entries[name], found[name], speakers[name], rules) for name in entries
    }
    table.flag_rates(rows)
    table.write_quarantine(prepared, rows)
    table.require_few_faults(prepared, rows, max_quarantine)

    named = {} if splits == "hash" else table.lists_of(corpus, lists, entries)
    table.assign_splits(rows, named, dev, test, speaker_disjoint, share_texts)
    table.write_quarantine(prepared, rows)
    gains = table.give_gains(
        rows, found, LoudnessTarget(policy=level, target=target_dbfs, ceiling=ceiling)
    )
    cuts = {name: plan_cut(entries[name], found[name], gain) for name, gain in gains.items()}
    table.warn_of_alignments(found)
    del entries, found, gains  # of a large corpus they are most of the memory
    write_audio(prepared, rows, cuts, rules, encoding, shard_size, jobs)
    del cuts
    release_workers()
    table.summarise(rows)
    table.write_table(prepared, rows)
    del rows
    write_data_report(prepared, title=title or "The prepared corpus")
