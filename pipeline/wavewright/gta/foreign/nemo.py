"""NeMo: manifests (one JSON object per line) with a mel_filepath, .npy files (n_mels, frames)."""

from __future__ import annotations

import json
from pathlib import Path

from wavewright.data.corpus.readers.nemo import manifests
from wavewright.data.corpus.utterances import read_lines
from wavewright.errors import WavewrightError
from wavewright.gta.foreign.collection import (
    ExternalMel,
    MelCollection,
    id_parts,
    require_distinct_mels,
    resolve_path,
)

_FIELD = "mel_filepath"


def matches(source: Path) -> bool:
    """True for such a manifest, or a folder with at least one."""
    return bool(manifests(source, _FIELD))


def read(source: Path) -> MelCollection:
    """Read all lines; the id is the line's `id`, or the audio's path.

    NeMo pads its mels by a frame of constant value, so the last frame may be padding.
    """
    mels = []
    for path in manifests(source, _FIELD):
        lines = [_parse(line, path, number) for number, line in read_lines(path)]
        require_distinct_mels(((who, mel.path) for who, mel in lines), path)
        mels += [mel for _, mel in lines]
    return MelCollection("nemo", mels, "bands_first", padded=True)


def _parse(line: str, path: Path, number: int) -> tuple[str, ExternalMel]:
    """Name of the recording, and its mel."""
    try:
        values = json.loads(line)
    except ValueError as error:
        raise WavewrightError(f"{path}: line {number}: not JSON ({error})") from error
    if not isinstance(values, dict) or not isinstance(values.get(_FIELD), str):
        raise WavewrightError(f"{path}: line {number}: no '{_FIELD}' in it")
    mel = resolve_path(values[_FIELD], path.parent)
    audio = values.get("audio_filepath")
    recording = Path(audio if isinstance(audio, str) and audio else values[_FIELD])
    parts = (str(values["id"]),) if values.get("id") else id_parts(recording)
    return f"{recording} (line {number})", ExternalMel(parts, mel)
