"""Coqui's extract_tts_spectrograms: metada.txt with `AUDIO|MEL` lines, .npy (n_mels, frames)."""

from __future__ import annotations

from pathlib import Path

from wavewright.data.corpus.utterances import read_lines
from wavewright.errors import WavewrightError
from wavewright.gta.foreign.collection import (
    ExternalMel,
    MelCollection,
    id_parts,
    require_distinct_mels,
    resolve_path,
)

NAMES = ("metada.txt", "metadata.txt")  # the first is how Coqui spells it


def matches(source: Path) -> bool:
    """True for such a table, or a folder with one."""
    return _table(source) is not None


def _table(source: Path) -> Path | None:
    files = [source] if source.is_file() else [source / name for name in NAMES]
    return next((f for f in files if f.name in NAMES and f.is_file() and _looks_right(f)), None)


def _looks_right(path: Path) -> bool:
    with path.open("rb") as file:
        fields = file.readline(65536).strip().split(b"|")
    return len(fields) == 2 and fields[1].endswith(b".npy")


def read(source: Path) -> MelCollection:
    """Read all lines; ids are the audio's paths, since mel files carry only its bare name."""
    table = _table(source)
    assert table is not None
    pairs = []
    for number, line in read_lines(table):
        audio, _, mel = line.strip().rpartition("|")
        if not audio or not mel.endswith(".npy"):
            raise WavewrightError(
                f"{table}: line {number}: expected AUDIO|MEL.npy, found {line.strip()[:80]!r}"
            )
        pairs.append((audio, _mel(mel, table.parent)))
    require_distinct_mels(pairs, table)
    mels = [ExternalMel(id_parts(Path(audio)), mel) for audio, mel in pairs]
    return MelCollection("coqui", mels, "bands_first")


def _mel(text: str, folder: Path) -> Path:
    """Mel file that a line names; if the folder was moved, the one in mel/ beside the table."""
    path, moved = resolve_path(text, folder), folder / "mel" / Path(text).name
    return moved if not path.is_file() and moved.is_file() else path
