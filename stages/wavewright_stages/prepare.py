"""Stage 1: check a corpus and write a table of its utterances and shards of their audio."""

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
        corpus: folder that the stage download publishes.
        prepared: `manifest.parquet`, one row per utterance, with its measures; `audio/`, shards of
            the usable ones; `alignments/ID.TextGrid`, in the time of the prepared audio;
            `quarantine.csv`, unusable utterances with reasons; `report.html`, the corpus to look
            at and listen to.
        sample_rate: Sample rate in Hz; audio is resampled to it by soxr at its very high quality.
        columns: Fields of metadata.csv; `speaker` may be one of them.
        speaker: Speaker's name where the corpus names none.
        speaker_pattern: Regular expression whose first group finds the speaker in an id, for
            corpora without a speaker column.
        text_pattern: Regular expression whose first group finds the text in an id, for utterances
            without one.
        channel: Channel to use of several: the first, the second, or the mean of all.
        remove_offset: Subtract the mean of each utterance's samples.
        trim: Trimming of silence. `none`; `alignment` cuts to the first and last phone of the
            TextGrid, by energy where there is none; `energy` cuts to the span within `top_db` of
            the loudest 10 ms.
        margin: Seconds that trimming leaves on either side.
        top_db: Threshold of `trim` below the loudest 10 ms, in dB.
        level: Loudness normalisation. `none`; `speaker` applies one gain to all of a speaker's
            utterances, measured on the active speech of the training ones; `utterance` measures
            each on its own; `peak` scales each peak to `ceiling`. No policy clips: an utterance
            that would clip gets a lower gain.
        target_dbfs: RMS of active speech in dBFS, for `speaker` and `utterance`.
        ceiling: Largest peak that a gain may lead to.
        minimum_seconds: Shortest utterance after trimming; a mel needs half a window, for which
            0.05 s is always enough.
        maximum_seconds: Longest utterance before trimming; longer files are not decoded.
        text_rules: Normalisation of texts in a corpus that has none of its own. `plain` copies the
            text; `english` spells out numbers, amounts, times and abbreviations, see
            `wavewright.text.verbalisation`. A corpus in which any normalised text differs from its
            raw one keeps its own texts.
        unknown_symbols: Handling of texts with digits or other scripts: left out, or only flagged.
        require_text: Quarantine utterances without text; null does so if any utterance has one. A
            corpus without texts trains vocoders.
        phones_tier: Name of the TextGrids' tier of phones.
        words_tier: Name of the TextGrids' tier of words.
        splits: `lists` uses the files of `lists`, or else the corpus's own splits, and the hash of
            the ids for utterances in none of them; `hash` uses the hash alone.
        lists: Folder with train.txt, dev.txt or test.txt (any of them; one id per line).
        dev: Texts held out for validation where no list names them.
        test: Texts held out for test where no list names them.
        speaker_disjoint: Put no speaker into two splits; the hash then holds out speakers.
        share_texts: Allow a text in two splits, as in a corpus of few words.
        max_quarantine: Share of faulty utterances, rounded up, beyond which the stage fails.
        encoding: Encoding of the audio shards: `flac` takes about half the space of `pcm16` but is
            decoded for every crop.
        shard_size: Utterances per shard.
        title: Title of the report.
        jobs: Worker processes; -1 means one per CPU.
    """
    import pyarrow

    from wavewright.audio.loudness import LoudnessTarget
    from wavewright.compute.parallel_map import release_workers
    from wavewright.data.corpus.cut_audio import plan_cut, write_audio
    from wavewright.data.corpus.labels import find_speakers, find_texts, normalize_texts
    from wavewright.data.corpus.report.page import write_data_report
    from wavewright.data.corpus.screening import ScreeningRules, log_alignment_faults, screen_all
    from wavewright.data.corpus.splits import find_split_lists
    from wavewright.data.corpus.table import UtteranceTable
    from wavewright.data.corpus.utterances import read_corpus

    # Arrow's own allocator keeps freed memory: a quarter of this stage's.
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    utterances = {utterance.id: utterance for utterance in read_corpus(corpus, columns)}
    utterances = normalize_texts(find_texts(utterances, text_pattern), text_rules)
    if require_text is None:
        require_text = any(utterance.normalised for utterance in utterances.values())
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
    results = screen_all(list(utterances.values()), rules, jobs)
    speakers = find_speakers(utterances, speaker, speaker_pattern)
    table = UtteranceTable.from_screening(utterances, results, speakers, rules)
    table.write_quarantine(prepared)
    table.require_few_faults(prepared, max_quarantine)

    named = {} if splits == "hash" else find_split_lists(corpus, lists, utterances)
    table.assign_splits(
        named, dev=dev, test=test, speaker_disjoint=speaker_disjoint, share_texts=share_texts
    )
    table.write_quarantine(prepared)
    target = LoudnessTarget(policy=level, target=target_dbfs, ceiling=ceiling)
    gains = table.compute_gains(results, target)
    cuts = {name: plan_cut(utterances[name], results[name], gain) for name, gain in gains.items()}
    log_alignment_faults(results)
    del utterances, results, gains  # most of the memory of a large corpus
    write_audio(prepared, table, cuts, rules, encoding, shard_size, jobs)
    del cuts
    release_workers()
    table.log_summary()
    table.write_manifest(prepared)
    write_data_report(prepared, title=title or "The prepared corpus")
