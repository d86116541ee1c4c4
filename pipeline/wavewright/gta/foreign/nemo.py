"""NeMo: manifests (one JSON object per line) with a mel_filepath, .npy files (n_mels, frames)."""

from __future__ import annotations

import json
from pathlib import Path

from wavewright.data.corpus.readers.nemo import manifests
from wavewright.data.corpus.utterances import read_lines
from wavewright.errors import WavewrightError
from wavewright.gta.foreign.collection import (
    Collection,
    Found,
    nearby,
    parts_of,
    require_own_files,
)

_FIELD = "mel_filepath"


def matches(source: Path) -> bool:
    """Whether it is such a manifest, or a folder in which one or several lie."""
    return bool(manifests(source, _FIELD))


def read(source: Path) -> Collection:
    """All lines; the id is the line's own `id`, or made of the audio's path.

    NeMo extends its mels by a frame of a padding value, so the last frame may be one.
    """
    found = []
    for path in manifests(source, _FIELD):
        entries = [_entry(line, path, number) for number, line in read_lines(path)]
        require_own_files(((who, mel.path) for who, mel in entries), path)
        found += [mel for _, mel in entries]
    return Collection("nemo", found, "bands_first", padded=True)


def _entry(line: str, path: Path, number: int) -> tuple[str, Found]:
    """What stands for the recording, and its mel."""
    try:
        values = json.loads(line)
    except ValueError as error:
        raise WavewrightError(f"{path}: line {number}: not JSON ({error})") from error
    if not isinstance(values, dict) or not isinstance(values.get(_FIELD), str):
        raise WavewrightError(f"{path}: line {number}: no '{_FIELD}' in it")
    mel = nearby(values[_FIELD], path.parent)
    audio = values.get("audio_filepath")
    recording = Path(audio if isinstance(audio, str) and audio else values[_FIELD])
    parts = (str(values["id"]),) if values.get("id") else parts_of(recording)
    return f"{recording} (line {number})", Found(parts, mel)
