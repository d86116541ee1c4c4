"""Utterances that the data report plays: outliers of every measure, and typical ones."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wavewright.data.corpus.report.charts import waveform
from wavewright.data.corpus.report.measures import MEASURES, Measure, drop_unknown
from wavewright.webpage import sound
from wavewright.webpage.figures import data_uri, mel_image

if TYPE_CHECKING:
    import pandas as pd

    from wavewright.data.shards import Shards

Floats = npt.NDArray[np.float64]
_LONGEST = 30.0  # seconds of an utterance that are embedded
_DARKEST, _BRIGHTEST = -100.0, -20.0  # dB of a sine of full scale
_HOP, _FRAME, _BANDS = 0.01, 0.04, 96  # seconds, seconds, rows of a spectrogram


@dataclass(frozen=True)
class Extremes:
    """Most extreme utterances of one measure, most extreme first.

    Attributes:
        heading: "Shortest".
        measure: the measure.
        rows: rows of the table of usable utterances.
        median: median of all utterances.
    """

    heading: str
    measure: Measure
    rows: list[int]
    median: float

    @property
    def anchor(self) -> str:
        return "odd-" + self.heading.lower().replace(" ", "-")


@dataclass(frozen=True)
class Clip:
    """Player, waveform and spectrogram of one utterance.

    Attributes:
        row: row of the table of usable utterances.
        audio: data: address; empty where the page had no room for it.
        wave: its waveform as inline SVG.
        image: its spectrogram as a data: address.
        cut: seconds that the player holds where that is not all; else 0.
    """

    row: int
    audio: str = ""
    wave: str = ""
    image: str = ""
    cut: float = 0.0

    def size(self) -> int:
        """Number of characters that the clip adds to the page."""
        return len(self.audio) + len(self.wave) + len(self.image)


def find_extremes(values: Mapping[str, Floats], most: int) -> list[Extremes]:
    """Find up to `most` utterances at each notable end of every measure.

    A measure that is the same for all has none, and what is not clipped is not the most clipped.
    """
    extremes = []
    for measure in (measure for measure in MEASURES if measure.id in values):
        column = values[measure.id]
        rows = np.flatnonzero(np.isfinite(column))
        if not len(rows) or column[rows].min() == column[rows].max():
            continue
        rising = rows[np.argsort(column[rows], kind="stable")]
        falling = rows[np.argsort(-column[rows], kind="stable")]
        median = float(np.median(column[rows]))
        for heading, order, outward in ((measure.low, rising, -1), (measure.high, falling, 1)):
            beyond = [int(row) for row in order[:most] if outward * (column[row] - median) > 0]
            if heading and beyond:
                extremes.append(Extremes(heading, measure, beyond, median))
    return extremes


def pick_typical(frame: pd.DataFrame, values: Mapping[str, Floats], count: int) -> list[int]:
    """Pick `count` unflagged rows within the middle 80 % of every measure, by hash of the id.

    Where there are several speakers, every speaker has a turn before one has a second.
    """
    fit = (frame["flags"] == "").to_numpy().copy()
    for column in values.values():
        if len(drop_unknown(column)):
            low, high = np.nanquantile(column, (0.1, 0.9))
            fit &= ~((column < low) | (column > high))
    turns: dict[str, int] = defaultdict(int)
    order = []
    ids, speakers = frame["id"].to_list(), frame["speaker"].to_list()
    for digest, row in sorted((_digest(ids[row]), int(row)) for row in np.flatnonzero(fit)):
        order.append((turns[speakers[row]], digest, row))
        turns[speakers[row]] += 1
    return [row for _, _, row in sorted(order)[:count]]


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def make_clips(
    lists: Iterable[Sequence[int]], ids: Sequence[str], shards: Shards, budget: int
) -> dict[int, Clip]:
    """Make clips for all rows of some lists, by row, in at most `budget` characters.

    The first of every list come first, then the second, and so on, so that what finds no room is
    the least extreme. Sounds are lossless where all of them fit, and MP3 where they do not.
    """
    turns = zip_longest(*lists)
    rows = list(dict.fromkeys(row for turn in turns for row in turn if row is not None))
    clips = {row: _clip(row, ids[row], shards, lossless=True) for row in rows}
    rate = shards.sample_rate
    if sum(clip.size() for clip in clips.values()) > budget and sound.can_encode_mp3(rate):
        clips = {row: _clip(row, ids[row], shards, lossless=False) for row in rows}
    spent = 0
    for row, clip in clips.items():
        if spent + clip.size() > budget:
            clips[row] = Clip(row)
        spent += clips[row].size()
    return clips


def _clip(row: int, name: str, shards: Shards, *, lossless: bool) -> Clip:
    rate, length = shards.sample_rate, shards.length(name)
    samples = min(length, round(_LONGEST * rate))
    pcm = shards.crop(name, 0, samples)
    return Clip(
        row=row,
        audio=(sound.flac_uri if lossless else sound.mp3_uri)(pcm, rate),
        wave=waveform(pcm, f"Waveform of {name}"),
        image=data_uri("image/webp", mel_image(spectrogram(pcm, rate), _DARKEST, _BRIGHTEST)),
        cut=_LONGEST if samples < length else 0.0,
    )


def spectrogram(pcm: npt.NDArray[np.int16], sample_rate: int) -> Floats:
    """Levels (96, frames) in dB of a sine of full scale, from 0 Hz to half the sample rate.

    The frequency axis is linear, so that hum, noise and missing bands stand out; this is not the
    mel that models are trained on.
    """
    size, hop = round(_FRAME * sample_rate), max(1, round(_HOP * sample_rate))
    window = np.hanning(size + 1)[:-1]
    padded = np.pad(pcm.astype(np.float64) / 32768, size // 2)
    padded = np.pad(padded, (0, max(0, size - len(padded))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop] * window
    power = np.abs(np.fft.rfft(frames) * (2 / window.sum())) ** 2
    edges = np.linspace(0, power.shape[1], _BANDS + 1).astype(int)
    bands = np.add.reduceat(power, edges[:-1], axis=1) / np.diff(edges)
    return np.asarray(10 * np.log10(np.maximum(bands, 1e-12))).T
