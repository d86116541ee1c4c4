"""Folders of files at any depth: tensors as NVIDIA's FastPitch saves them, or plain arrays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wavewright.errors import WavewrightError
from wavewright.gta.foreign.collection import ExternalMel, MelCollection, id_parts

_TENSORS = (".pt", ".pth")
_ARRAYS = (".npy", ".npz", ".h5", ".hdf5")


def has_tensors(source: Path) -> bool:
    """True for a folder with .pt files."""
    return source.is_dir() and next(_files(source, _TENSORS), None) is not None


def has_arrays(source: Path) -> bool:
    """True for a folder with files of plain arrays."""
    return source.is_dir() and next(_files(source, _ARRAYS), None) is not None


def read_tensors(source: Path) -> MelCollection:
    """Read all .pt files, (n_mels, frames); the id is the path below the folder."""
    if has_arrays(source):
        raise WavewrightError(
            f"{source}: holds both {' and '.join((_TENSORS[0], _ARRAYS[0]))} files; give a folder "
            "of one kind, in which every file is a mel"
        )
    return MelCollection("fastpitch", _read(source, _TENSORS), "bands_first")


def read_arrays(source: Path) -> MelCollection:
    """Read all array files, in the convention's layout; the id is the path below the folder."""
    return MelCollection("folder", _read(source, _ARRAYS), None)


def _read(source: Path, suffixes: tuple[str, ...]) -> list[ExternalMel]:
    return [ExternalMel(id_parts(p.relative_to(source)), p) for p in _files(source, suffixes)]


def _files(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path, suffixes)
        elif path.suffix.lower() in suffixes:
            yield path
