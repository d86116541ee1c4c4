"""Detect the layout of a corpus and read its utterances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from wavewright.data.corpus.readers import folder, kaldi, libritts, nemo, table, vctk
from wavewright.data.corpus.utterances import CorpusUtterance, sort_and_check_ids
from wavewright.errors import UnknownName, WavewrightError, did_you_mean


class Layout(NamedTuple):
    """Corpus layout: a description, a detector and a reader."""

    about: str
    matches: Callable[[Path], bool]
    read: Callable[[Path], list[CorpusUtterance]]


#: Each but the last is recognised by files that the others lack.
LAYOUTS: dict[str, Layout] = {
    "kaldi": Layout("a Kaldi data folder (wav.scp)", kaldi.matches, kaldi.read),
    "nemo": Layout("a NeMo manifest (JSON lines)", nemo.matches, nemo.read),
    "table": Layout("a table (.csv, .tsv or .parquet with a header)", table.matches, table.read),
    "libritts": Layout("a LibriTTS tree (*.normalized.txt)", libritts.matches, libritts.read),
    "vctk": Layout("a VCTK tree (wav48*/ and txt/)", vctk.matches, vctk.read),
    "folder": Layout("a folder of audio files", folder.matches, folder.read),
}


def detect_layout(source: Path) -> str | None:
    """Name of the layout; None if it is none of these.

    Raises:
        WavewrightError: it could be several.
    """
    names = [
        name for name, layout in LAYOUTS.items() if name != "folder" and layout.matches(source)
    ]
    if len(names) > 1:
        raise WavewrightError(
            f"{source}: could be {' or '.join(LAYOUTS[name].about for name in names)}; say which "
            f"with --set download.layout=NAME ({', '.join(names)})"
        )
    if names:
        return names[0]
    return "folder" if folder.matches(source) else None


def read_layout(source: Path, name: str) -> list[CorpusUtterance]:
    """Read all utterances of a corpus in the named layout, sorted by id.

    Audio paths are those of the source; unusable utterances have a reason.

    Raises:
        UnknownName: no such layout.
        WavewrightError: not that layout, or no utterance in it.
    """
    if name not in LAYOUTS:
        raise UnknownName(
            f"unknown layout '{name}'.{did_you_mean(name, LAYOUTS)} Known: {', '.join(LAYOUTS)}."
        )
    layout = LAYOUTS[name]
    if not layout.matches(source):
        raise WavewrightError(f"{source}: is not {layout.about}")
    utterances = layout.read(source)
    if not utterances:
        raise WavewrightError(f"{source}: {layout.about} without any utterance")
    return sort_and_check_ids(_require_texts(utterances), source)


def _require_texts(utterances: Sequence[CorpusUtterance]) -> list[CorpusUtterance]:
    """Mark utterances without text as faulty if any utterance has one."""
    from dataclasses import replace

    if not any(utterance.normalised for utterance in utterances):
        return list(utterances)
    return [
        utterance
        if utterance.normalised or utterance.reason
        else replace(utterance, reason="no text")
        for utterance in utterances
    ]
