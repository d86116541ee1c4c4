"""Arrays out of .npy, .npz, torch, HDF5 and Kaldi files, checked before memory is taken.

Nothing in a file is executed: no pickles, no commands, no links to other files.
"""

from __future__ import annotations

import importlib
import math
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from wavewright.errors import MissingExtra, WavewrightError, did_you_mean
from wavewright.mel.kaldi import read_kaldi_matrix

Array = npt.NDArray[Any]
MAX_VALUES = 2**28  # 1 GiB of float32: nine hours of 80 bands at 86 frames a second


def first_line(error: BaseException) -> str:
    """First line of an error's message, or its type's name if it has none."""
    return (str(error) or type(error).__name__).splitlines()[0]


def _require_size(path: Path, shape: tuple[int, ...]) -> None:
    if math.prod(shape) > MAX_VALUES or any(length < 0 for length in shape):
        raise WavewrightError(
            f"{path}: declares the shape {shape}, more than the {MAX_VALUES:,} values that one "
            "mel may have"
        )


def read_numpy_header(path: Path, stream: IO[bytes]) -> tuple[tuple[int, ...], str, np.dtype[Any]]:
    """Shape, order of the axes ("C" or "F") and type of a .npy array; its bytes follow.

    Raises:
        ValueError: it is no such header.
        WavewrightError: it declares objects, or more values than a mel may have.
    """
    version = np.lib.format.read_magic(stream)
    read_header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read_header(stream)
    if dtype.hasobject:
        raise WavewrightError(f"{path}: holds Python objects, which are never loaded")
    _require_size(path, shape)
    return shape, "F" if fortran else "C", dtype


def _numpy_stream(path: Path, stream: IO[bytes], available: int) -> Array:
    """An array from .npy bytes whose header is checked against the bytes there are."""
    shape, order, dtype = read_numpy_header(path, stream)
    size = math.prod(shape) * dtype.itemsize
    if size > available - stream.tell():
        raise WavewrightError(
            f"{path}: truncated; its header declares {shape} of {dtype}, {size} bytes, and "
            f"{available - stream.tell()} follow"
        )
    values = np.frombuffer(stream.read(size), dtype=dtype)
    return values.reshape(shape, order="F" if order == "F" else "C")


def _from_npy(path: Path, key: str) -> Array:
    with path.open("rb") as stream:
        return _numpy_stream(path, stream, path.stat().st_size)


def _from_npz(path: Path, key: str) -> Array:
    with zipfile.ZipFile(path) as archive:
        members = {
            info.filename.removesuffix(".npy"): info
            for info in archive.infolist()
            if info.filename.endswith(".npy")
        }
        info = members[_choose_key(path, list(members), key)]
        with archive.open(info) as stream:
            return _numpy_stream(path, stream, info.file_size)


def _choose_key(path: Path, names: list[str], key: str, usual: str = "") -> str:
    if key:
        if key not in names:
            known = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
            raise WavewrightError(
                f"{path}: no '{key}' in it.{did_you_mean(key, names)} Has: {known}"
            )
        return key
    if usual in names:
        return usual
    if len(names) != 1:
        listed = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        raise WavewrightError(
            f"{path}: an archive of {len(names)} arrays ({listed}); name one with --key"
        )
    return names[0]


def _from_torch(path: Path, key: str) -> Array:
    import torch

    from wavewright.io.torch_files import open_torch_file

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            _require_size(path, (sum(info.file_size for info in archive.infolist()) // 8,))
    try:
        with open_torch_file(path, "mel") as file:
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=False)
    except WavewrightError:
        raise
    except Exception as error:
        raise WavewrightError(
            f"{path}: not loadable as plain tensors; files that would run code are refused "
            f"({first_line(error)})"
        ) from error
    if isinstance(content, Mapping):
        tensors = {str(name): value for name, value in content.items() if torch.is_tensor(value)}
        fit = [name for name, value in tensors.items() if _is_mel_like(value)]
        content = tensors[_choose_key(path, fit if not key else list(tensors), key)]
    if not torch.is_tensor(content):
        raise WavewrightError(f"{path}: holds a {type(content).__name__}, expected a tensor")
    _require_size(path, tuple(content.shape))
    if content.dtype == torch.bfloat16:
        content = content.float()
    array: Array = content.detach().resolve_neg().numpy()
    return array


def _is_mel_like(value: Any) -> bool:
    return value.is_floating_point() and (value.ndim == 2 or (value.ndim == 3 and len(value) == 1))


def _import_package(name: str, path: Path) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise MissingExtra(
            f"{path}: such files are read by {package}, which is not installed: "
            "pip install 'wavewright[mels]'"
        ) from error


def _from_hdf5(path: Path, key: str) -> Array:
    h5py = _import_package("h5py", path)
    with h5py.File(path, "r") as file:
        # Links may lead to other files; only what lies in this one is read.
        names = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
        sets = {name: file[name] for name in names if isinstance(file[name], h5py.Dataset)}
        fit = [name for name, dataset in sets.items() if dataset.ndim in (2, 3)]
        dataset = sets[_choose_key(path, list(sets) if key else fit, key, usual="feats")]
        if dataset.external or dataset.is_virtual:
            raise WavewrightError(
                f"{path}: '{dataset.name}' lies in other files, which are not read"
            )
        if dataset.dtype.hasobject:
            raise WavewrightError(f"{path}: '{dataset.name}' holds objects, expected numbers")
        _require_size(path, dataset.shape)
        return np.asarray(dataset[()])


def _from_ark(path: Path, key: str) -> Array:
    offsets: dict[str, int] = {}
    with path.open("rb") as stream:
        while name := _kaldi_name(path, stream):
            offsets[name] = stream.tell()
            if name == key:
                break
            read_kaldi_matrix(path, stream, MAX_VALUES)
        stream.seek(offsets[_choose_key(path, list(offsets), key)])
        return read_kaldi_matrix(path, stream, MAX_VALUES)


def _kaldi_name(path: Path, stream: IO[bytes]) -> str:
    name = bytearray()
    while (byte := stream.read(1)) not in (b"", b" "):
        name += byte
        if len(name) > 1024 or byte == b"\n":
            raise WavewrightError(f"{path}: not a Kaldi archive")
    if byte == b"" and name:
        raise WavewrightError(f"{path}: not a Kaldi archive, or truncated")
    return name.decode("utf-8")


def _from_scp(path: Path, key: str) -> Array:
    places: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, place = line.strip().partition(" ")
        if name:
            places[name] = place.strip()
    place = places[_choose_key(path, list(places), key)]
    if place.endswith("|") or place.startswith("|"):
        raise WavewrightError(f"{path}: '{place}' is a command; commands in an scp are never run")
    name, colon, offset = place.rpartition(":")
    if not colon or not offset.isdigit():
        raise WavewrightError(f"{path}: expected FILE.ark:OFFSET, found '{place}'")
    ark = next((f for f in (path.parent / name, Path(name)) if f.is_file()), None)
    if ark is None:
        raise WavewrightError(f"{path}: no such archive: {name}")
    with ark.open("rb") as stream:
        stream.seek(int(offset))
        return read_kaldi_matrix(ark, stream, MAX_VALUES)


READERS: dict[str, Callable[[Path, str], Array]] = {
    ".npy": _from_npy,
    ".npz": _from_npz,
    ".pt": _from_torch,
    ".pth": _from_torch,
    ".h5": _from_hdf5,
    ".hdf5": _from_hdf5,
    ".ark": _from_ark,
    ".scp": _from_scp,
}
"""By suffix: (path, key of the array or nothing) -> the array."""
