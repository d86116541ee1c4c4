"""Transcripts by id, from LJSpeech's metadata.csv, a Kaldi `text` or a table with a header."""

from __future__ import annotations

import csv
from pathlib import Path

from wavewright.data.corpus.utterances import read_lines
from wavewright.errors import WavewrightError

_IDS = ("id", "utt_id", "utterance_id", "utterance", "name", "file", "filename", "audio", "path")
_TEXTS = ("text", "normalised_text", "normalized_text", "raw_text", "raw", "transcript", "sentence")


def read_transcripts(path: Path) -> dict[str, str]:
    """Read texts by id.

    Three kinds of file are read: `id|text` or `id|raw|normalised` a line; a .csv or .tsv with a
    header that names a column of ids (or audio files) and one of texts; `id text` a line.

    Raises:
        WavewrightError: no such file, not UTF-8, or no line with an id and a text.
    """
    lines = [line for _, line in read_lines(path)]
    texts = _table(lines, path) or _piped(lines) or _spaced(lines)
    if not texts:
        raise WavewrightError(
            f"{path}: no transcript in it. Lines are 'id|text' or 'id text', or a header names a "
            "column 'id' and a column 'text'."
        )
    return texts


def _table(lines: list[str], path: Path) -> dict[str, str]:
    mark = "\t" if path.suffix.lower() == ".tsv" else max(",", "|", "\t", key=lines[0].count)
    names = [name.strip(" \"'").lower() for name in lines[0].split(mark)]
    key = next((name for name in _IDS if name in names), None)
    value = next((name for name in _TEXTS if name in names), None)
    if key is None or value is None:
        return {}
    places = names.index(key), names.index(value)
    rows = list(csv.reader(lines[1:], delimiter=mark))
    return {
        Path(row[places[0]]).stem if key in _IDS[5:] else row[places[0]]: row[places[1]]
        for row in rows
        if len(row) > max(places)
    }


def _piped(lines: list[str]) -> dict[str, str]:
    rows = [line.split("|") for line in lines]
    return {row[0].strip(): row[-1].strip() or row[1].strip() for row in rows if len(row) > 1}


def _spaced(lines: list[str]) -> dict[str, str]:
    rows = [line.split(maxsplit=1) for line in lines]
    return {row[0]: row[1].strip() for row in rows if len(row) == 2}
