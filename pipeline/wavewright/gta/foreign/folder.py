"""Folders of files at any depth: tensors as NVIDIA's FastPitch saves them, or plain arrays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wavewright.errors import WavewrightError
from wavewright.gta.foreign.collection import Collection, Found, parts_of

_TENSORS = (".pt", ".pth")
_ARRAYS = (".npy", ".npz", ".h5", ".hdf5")


def has_tensors(source: Path) -> bool:
    """Whether there is a .pt file."""
    return source.is_dir() and next(_files(source, _TENSORS), None) is not None


def has_arrays(source: Path) -> bool:
    """Whether there is a file of another kind that mels come in."""
    return source.is_dir() and next(_files(source, _ARRAYS), None) is not None


def read_tensors(source: Path) -> Collection:
    """All .pt files, (n_mels, frames); the id is the path below the folder."""
    if has_arrays(source):
        raise WavewrightError(
            f"{source}: holds both {' and '.join((_TENSORS[0], _ARRAYS[0]))} files; give a folder "
            "of one kind, in which every file is a mel"
        )
    return Collection("fastpitch", _read(source, _TENSORS), "bands_first")


def read_arrays(source: Path) -> Collection:
    """All files of arrays, in the layout of the convention; the id is the path below the folder."""
    return Collection("folder", _read(source, _ARRAYS), None)


def _read(source: Path, suffixes: tuple[str, ...]) -> list[Found]:
    return [Found(parts_of(p.relative_to(source)), p) for p in _files(source, suffixes)]


def _files(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path, suffixes)
        elif path.suffix.lower() in suffixes:
            yield path
