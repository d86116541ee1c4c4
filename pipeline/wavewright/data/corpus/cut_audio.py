"""Write the prepared audio: every utterance cut from its file, resampled and amplified."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wavewright.audio.files import load_wav, resample, to_pcm16
from wavewright.data.corpus.screening import ScreeningResult, ScreeningRules
from wavewright.data.corpus.utterances import CorpusUtterance
from wavewright.data.shards import Encoding, Shards, shard_plan, write_shards
from wavewright.data.shards.layout import shard_name
from wavewright.text.textgrid import cut_alignment, read_alignment_with_warnings, write_alignment

if TYPE_CHECKING:  # workers import this module, and do without what tables need
    from wavewright.data.corpus.table import UtteranceTable


class Cut(NamedTuple):
    """Plan for cutting one utterance's audio out of its file.

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


def plan_cut(utterance: CorpusUtterance, result: ScreeningResult, gain: float) -> Cut:
    """Plan the cut of an utterance from its screening result."""
    alignment = utterance.alignment if result.alignment else None
    return Cut(
        audio=utterance.audio,
        begin=utterance.start,
        end=utterance.end,
        start=result.start,
        stop=result.stop,
        gain=gain,
        alignment=alignment,
    )


def write_audio(
    prepared: Path,
    table: UtteranceTable,
    cuts: Mapping[str, Cut],
    rules: ScreeningRules,
    encoding: Encoding,
    shard_size: int,
    jobs: int,
) -> None:
    """Write `audio/` and `alignments/`, and enter location and length into the table."""
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
            table.set_audio(name, f"audio/{shard_name(number)}", shards.length(name))


def _load(name: str, cut: Cut, rules: ScreeningRules, alignments: Path) -> np.ndarray:
    """Read the samples of one utterance, and write its TextGrid in the samples' time."""
    wav, rate = load_wav(cut.audio, channel=rules.channel, start=cut.begin, end=cut.end)
    if cut.alignment is not None:
        alignment, _ = read_alignment_with_warnings(
            cut.alignment, len(wav) / rate, phones=rules.phones_tier, words=rules.words_tier
        )
        part = cut_alignment(alignment, cut.start / rate, cut.stop / rate)
        write_alignment(alignments / f"{name}.TextGrid", part)
    wav = wav[cut.start : cut.stop]
    if rules.remove_offset:
        wav = wav - wav.mean(dtype="float64").astype("float32")
    return to_pcm16(resample(wav, rate, rules.sample_rate) * cut.gain)
