"""A NeMo manifest: one JSON object per line, with audio_filepath, and mostly text and duration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from wavewright.data.corpus.readers.common import make_utterance, resolve_path
from wavewright.data.corpus.utterances import CorpusUtterance, read_lines
from wavewright.errors import WavewrightError

_SUFFIXES = (".json", ".jsonl")


def matches(source: Path) -> bool:
    """True if `source` is a NeMo manifest or a folder with one or more."""
    return bool(manifests(source))


def manifests(source: Path, field: str = "audio_filepath") -> list[Path]:
    """List manifests: the file, or those of a folder, whose first line has this field."""
    files = [source] if source.is_file() else sorted(p for p in source.iterdir() if p.is_file())
    return [path for path in files if path.suffix.lower() in _SUFFIXES and _has_field(path, field)]


def _has_field(path: Path, field: str) -> bool:
    with path.open("rb") as file:
        line = file.readline(65536)
    return line.lstrip().startswith(b"{") and f'"{field}"'.encode() in line


def read(source: Path) -> list[CorpusUtterance]:
    """Read the utterances of all manifests; ids are audio names, numbered if repeated.

    Files named after a split (`train_manifest.json`, `dev.json`, ...) give it.
    """
    utterances: list[CorpusUtterance] = []
    counts: dict[str, int] = {}
    for path in manifests(source):
        split = _split_of(path)
        for number, line in read_lines(path):
            values = _parse_line(line, path, number)
            audio = resolve_path(str(values["audio_filepath"]), path.parent)
            counts[audio.stem] = counts.get(audio.stem, 0) + 1
            repeat = counts[audio.stem]
            name = str(values.get("id") or (f"{audio.stem}-{repeat}" if repeat > 1 else audio.stem))
            utterances.append(_make_utterance(values, name, audio, split, path, number))
    return utterances


def _parse_line(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise WavewrightError(f"{path}: line {number}: not JSON ({error})") from error
    if not isinstance(values, dict) or not isinstance(values.get("audio_filepath"), str):
        raise WavewrightError(f"{path}: line {number}: no 'audio_filepath' in it")
    return values


def _make_utterance(
    values: dict[str, Any], name: str, audio: Path, split: str, path: Path, number: int
) -> CorpusUtterance:
    start = _seconds(values, "offset", path, number) or 0.0
    duration = _seconds(values, "duration", path, number)
    part = "offset" in values and duration is not None
    return make_utterance(
        name,
        audio,
        where=f"line {number} of {path.name}",
        text=str(values.get("text") or ""),
        normalised=str(values.get("normalized_text") or values.get("text_normalized") or ""),
        speaker=str(values.get("speaker", "")),
        start=start,
        end=start + duration if part and duration is not None else None,
        split=split,
    )


def _seconds(values: dict[str, Any], field: str, path: Path, number: int) -> float | None:
    value = values.get(field)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise WavewrightError(f"{path}: line {number}: '{field}' must be seconds, found {value!r}")


def _split_of(path: Path) -> str:
    words = path.stem.lower().replace("-", "_").split("_")
    names = {"train": "train", "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev",
             "test": "test"}  # fmt: skip
    return next((names[word] for word in words if word in names), "")
