"""Alignment targets: the symbol spoken at each frame, from the times in a TextGrid."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wavewright.data.shards import Shards
from wavewright.mel.spec import MelSpec
from wavewright.text.textgrid import SILENCES, Alignment, Interval, read_alignment

log = logging.getLogger("wavewright")


def targets_from_words(
    alignment: Alignment, symbols: Sequence[str], spec: MelSpec, frames: int
) -> npt.NDArray[np.float32] | None:
    """Fractional index of the symbol spoken at each frame, from word times.

    Symbols are spread evenly over the duration of their word; the symbols between two words
    (spaces, punctuation) over the time between them.

    Args:
        alignment: alignment of the recording.
        symbols: symbols of the text, in order.
        spec: spec of the mel.
        frames: frames of the mel.

    Returns:
        (frames,) float32; None if text and alignment have different words.
    """
    words = [word for word in alignment.words if word.label not in SILENCES]
    spans = _spans(symbols, [word.label for word in words])
    return _interpolate(words, spans, len(symbols), alignment.duration, spec, frames)


def targets_from_phones(
    alignment: Alignment, symbols: Sequence[str], spec: MelSpec, frames: int
) -> npt.NDArray[np.float32] | None:
    """Fractional index of the symbol spoken at each frame, for a phone text, from phone times.

    The symbols between two phones (a comma and a space) share the silence between them.
    """
    phones = [phone for phone in alignment.phones if phone.label not in SILENCES]
    spans = [(i, i + 1) for i, symbol in enumerate(symbols) if symbol.startswith("@")]
    if len(spans) != len(phones):
        return None
    return _interpolate(phones, spans, len(symbols), alignment.duration, spec, frames)


def _interpolate(
    intervals: Sequence[Interval],
    spans: Sequence[tuple[int, int]],
    symbol_count: int,
    duration: float,
    spec: MelSpec,
    frames: int,
) -> npt.NDArray[np.float32] | None:
    """Targets (frames,) from intervals and the span of symbols of each; None without spans."""
    if not spans:
        return None
    times, positions = [0.0], [0.0]
    for interval, (start, stop) in zip(intervals, spans, strict=True):
        times += [interval.start, interval.end]
        positions += [start, stop]
    times.append(max(duration, times[-1]))
    positions.append(symbol_count)
    centers = (np.arange(frames) + 0.5) * spec.hop_length / spec.sample_rate
    # Symbol n covers positions n to n + 1, so its center is at n + 0.5.
    return (np.interp(centers, times, positions) - 0.5).astype(np.float32)


def _spans(symbols: Sequence[str], labels: Sequence[str]) -> list[tuple[int, int]]:
    """Start and stop symbol of each label; empty if text and labels do not match.

    Letters are matched, so that "rifle-shot" may be two labels and "of the" one. A text of
    phonemes has other letters than its labels; then only the number of words must match.
    """
    letters = [i for i, symbol in enumerate(symbols) if symbol.isalpha()]
    spelled = ["".join(c for c in label.lower() if c.isalpha()) for label in labels]
    if all(spelled) and "".join(symbols[i] for i in letters).lower() == "".join(spelled):
        stops = np.cumsum([len(label) for label in spelled])
        return [
            (letters[stop - len(label)], letters[stop - 1] + 1)
            for label, stop in zip(spelled, stops, strict=True)
        ]
    words = _words(symbols)
    return words if len(words) == len(labels) else []


def _words(symbols: Sequence[str]) -> list[tuple[int, int]]:
    """Start and stop symbol of each word, without punctuation around it."""
    words, start = [], 0
    for end in [i for i, symbol in enumerate(symbols) if symbol == " "] + [len(symbols)]:
        sounds = [i for i in range(start, end) if symbols[i][0].isalpha() or symbols[i][0] == "@"]
        if sounds:
            words.append((sounds[0], sounds[-1] + 1))
        start = end + 1
    return words


def read_alignment_targets(
    texts: Mapping[str, Sequence[str]],
    grids: Mapping[str, Path],
    mels: Shards,
    spec: MelSpec,
    *,
    phones: bool = False,
) -> dict[str, npt.NDArray[np.float32]]:
    """Read TextGrids and compute alignment targets of all utterances that match theirs.

    Args:
        texts: symbols of each text, by id.
        grids: TextGrid paths by id; texts without one are skipped.
        mels: natural mels.
        spec: spec of the mels.
        phones: True for phone texts.

    Returns:
        (frames,) float32 by id.
    """
    compute = targets_from_phones if phones else targets_from_words
    targets_by_id: dict[str, npt.NDArray[np.float32]] = {}
    for utterance, symbols in texts.items():
        if utterance in grids:
            alignment = read_alignment(grids[utterance])
            targets = compute(alignment, symbols, spec, mels.length(utterance))
            if targets is not None:
                targets_by_id[utterance] = targets
    level = "phone" if phones else "word"
    log.info("%s times known for %d of %d utterances", level, len(targets_by_id), len(texts))
    return targets_by_id
