"""Read mels from other tools' files safely: nothing is executed, every size is checked.

.npy, .npz, .pt, .pth and Kaldi's .ark and .scp need nothing more; .h5 and .hdf5 need h5py (the
extra `mels`). Declared sizes are compared with the file before memory is taken.
"""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from wavewright.errors import WavewrightError
from wavewright.mel.file_formats import MAX_VALUES, READERS, Array, first_line
from wavewright.mel.kaldi import read_kaldi_matrix
from wavewright.mel.spec import MelSpec

Floats = npt.NDArray[np.float32]
Layout = Literal["bands_first", "frames_first"]
log = logging.getLogger("wavewright")


def read_array(path: str | Path, key: str = "") -> Array:
    """Read the one mel-like array of a file, as it is.

    Args:
        path: .npy, .npz, .pt, .pth, .h5, .hdf5, .ark or .scp.
        key: name of the array, if a file holds several; in HDF5 `feats` is the default.

    Returns:
        (rows, columns) of finite or infinite floating-point numbers, native byte order. A leading
        axis of length one (a batch of one) is dropped.

    Raises:
        WavewrightError: missing, damaged or unsafe file, or not such an array.
        MissingExtra: the file needs a package that is not installed.
    """
    path = Path(path)
    if path.suffix.lower() not in READERS:
        raise WavewrightError(
            f"{path}: unknown kind of mel file '{path.suffix}'; known are {', '.join(READERS)}"
        )
    if not path.is_file():
        raise WavewrightError(f"{path}: no such file")
    try:
        array = READERS[path.suffix.lower()](path, key)
    except WavewrightError:
        raise
    except (OSError, EOFError, MemoryError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise WavewrightError(
            f"{path}: not a readable {path.suffix} file of numbers ({first_line(error)})"
        ) from error
    return check_mel_array(path, array)


def read_kaldi(path: str | Path, offset: int) -> Array:
    """The matrix that begins at a byte of a Kaldi archive; else as `read_array`."""
    path = Path(path)
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            array = read_kaldi_matrix(path, stream, MAX_VALUES)
    except (OSError, MemoryError, ValueError, OverflowError) as error:
        raise WavewrightError(f"{path}: not readable ({first_line(error)})") from error
    return check_mel_array(path, array)


def read_mel(
    path: str | Path, spec: MelSpec, *, layout: Layout = "bands_first", key: str = ""
) -> Floats:
    """Read a mel of convention `spec`, with the axes in the order `layout`.

    Values of -inf (the logarithm of nothing) become the silence of `spec`, with a warning; so do
    float16 values become float32. Values that are all positive where logarithms are expected are
    warned about: they look like linear magnitudes.

    Args:
        path: see `read_array`.
        spec: the mel's convention; its own `layout` is not used.
        layout: the order of the axes in the file. It is never guessed from the shape.
        key: see `read_array`.

    Returns:
        (n_mels, frames) float32, finite.
    """
    return array_to_mel(read_array(path, key), Path(path), spec, layout)


def array_to_mel(
    array: Array, path: Path, spec: MelSpec, layout: Layout, *, option: str = "--layout "
) -> Floats:
    """Turn an array from `read_array` or `read_kaldi` into a mel, as `read_mel` does.

    Args:
        array: two axes.
        path: its file, for messages.
        spec: the mel's convention; its own `layout` is not used.
        layout: the order of the axes.
        option: command-line option of the layout, for messages.
    """
    mel, lost = replace_neginf(orient(array, path, spec, layout, option=option), spec)
    if lost:
        log.warning(
            "%s: %d values of -inf (the logarithm of 0) were raised to the convention's silence",
            path,
            lost,
        )
    if spec.normalisation is None and float(mel.min()) > 0:
        log.warning(
            "%s: all values are positive, so these look like linear magnitudes; log-mels are "
            "expected. 'wavewright doctor --mel %s' tells more",
            path,
            path,
        )
    return mel


def orient(array: Array, path: Path, spec: MelSpec, layout: Layout, *, option: str) -> Floats:
    """Bring an array with axes in the order `layout` to (n_mels, frames) float32.

    Raises:
        WavewrightError: the number of bands is not that of `spec`.
    """
    bands = spec.n_mels
    axis = 0 if layout == "bands_first" else 1
    if array.shape[axis] != bands:
        expected = f"({bands}, frames)" if axis == 0 else f"(frames, {bands})"
        other = "frames_first" if axis == 0 else "bands_first"
        turned = (
            f" It looks transposed: if its axes are the other way round, say {option}{other}."
            if array.shape[1 - axis] == bands
            else ""
        )
        raise WavewrightError(
            f"{path}: expected a mel of shape {expected}, found {array.shape}.{turned}"
        )
    return np.array(array if axis == 0 else array.T, dtype=np.float32, order="C")


def replace_neginf(mel: Floats, spec: MelSpec) -> tuple[Floats, int]:
    """A mel (n_mels, frames) with its values of -inf raised to silence, and how many these were."""
    lost = np.isneginf(mel)
    if not lost.any():
        return mel, 0
    silence = np.asarray(spec.silence, dtype=np.float32)[:, None]
    return np.where(lost, silence, mel), int(lost.sum())


def check_mel_array(path: Path, array: Array) -> Array:
    """Check that an array may be a mel; drop a batch axis of length one."""
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2:
        raise WavewrightError(
            f"{path}: a mel has two axes, (n_mels, frames), found shape {array.shape}"
        )
    if 0 in array.shape:
        raise WavewrightError(f"{path}: holds no frames, its shape is {array.shape}")
    if not np.issubdtype(array.dtype, np.floating):
        raise WavewrightError(
            f"{path}: a mel must hold floating-point numbers, found {array.dtype}"
        )
    if array.dtype == np.float16:
        log.warning("%s: float16 values; a log-mel loses up to 0.004 by that", path)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if np.isnan(array).any() or np.isposinf(array).any():
        raise WavewrightError(f"{path}: a mel must hold finite numbers, found NaN or infinity")
    return array
