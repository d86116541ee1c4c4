"""Mean and scale of each mel band: measured on a corpus, or read from another toolkit's file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from wavewright.data.shards import Shards
from wavewright.errors import MissingExtra, WavewrightError
from wavewright.io.progress import progress
from wavewright.mel.spec import MelSpec, StatisticsNormalisation

_LEAST_SCALE = 1e-6  # a band that never changes is left as it is, not divided by nothing


def with_statistics(spec: MelSpec, source: Path) -> MelSpec:
    """Add the statistics of `source` to a spec as its normalisation.

    Args:
        spec: a convention without normalisation.
        source: a folder of mel shards in that convention, of which all frames count alike, or a
            file: ParallelWaveGAN's stats.h5 (`mean` and `scale`) or stats.npy (two rows), or
            ESPnet's feats_stats.npz (`count`, `sum` and `sum_square`).

    Raises:
        MelMismatch: the shards are in another convention.
        WavewrightError: nothing of the kind, or another number of bands.
    """
    if spec.normalisation is not None:
        raise WavewrightError(
            f"the mel already has a normalisation ({spec.normalisation}); statistics are of mels "
            "without one"
        )
    if source.is_dir():
        mean, scale = _measure(spec, source)
    else:
        mean, scale = _read(source)
    if not mean.shape == scale.shape == (spec.n_mels,):
        raise WavewrightError(
            f"{source}: has statistics of shape {mean.shape} and {scale.shape}, expected "
            f"({spec.n_mels},), one per band"
        )
    if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
        raise WavewrightError(f"{source}: statistics must be finite and scales positive")
    how = StatisticsNormalisation(mean=tuple(mean.tolist()), scale=tuple(scale.tolist()))
    return spec.model_copy(update={"normalisation": how})


Values = npt.NDArray[np.float64]


def _measure(spec: MelSpec, folder: Path) -> tuple[Values, Values]:
    shards = Shards(folder)
    if shards.mel is None:
        raise WavewrightError(f"{folder}: holds audio where mels are expected")
    here = spec.bands_first
    here.require_equal(shards.mel, mine="the convention", theirs=f"the mels in {folder}")
    count, total, squares = 0, np.zeros(spec.n_mels), np.zeros(spec.n_mels)
    # About a value near the mean, so that the squares do not swallow the variance.
    about = np.median(shards.array(shards.ids[0]), axis=1).astype(np.float64)
    with progress("statistics", total=len(shards), unit="utterances") as bar:
        for utterance in shards.ids:
            mel = shards.array(utterance).astype(np.float64) - about[:, None]
            count += mel.shape[1]
            total += mel.sum(axis=1)
            squares += np.square(mel).sum(axis=1)
            bar.advance()
    mean = total / count
    scale = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return mean + about, np.where(scale < _LEAST_SCALE, 1.0, scale)


def _read(path: Path) -> tuple[Values, Values]:
    if not path.is_file():
        raise WavewrightError(f"{path}: no such file")
    if path.suffix in (".h5", ".hdf5"):
        return _read_hdf5(path)
    try:
        data = np.load(path, allow_pickle=False)
        if isinstance(data, np.ndarray) and data.ndim == 2 and len(data) == 2:
            return data[0].astype(np.float64), data[1].astype(np.float64)
        if isinstance(data, np.lib.npyio.NpzFile) and {"count", "sum", "sum_square"} <= set(data):
            mean = data["sum"].astype(np.float64) / data["count"]
            return mean, np.sqrt(data["sum_square"].astype(np.float64) / data["count"] - mean**2)
    except (OSError, EOFError, MemoryError, ValueError) as error:
        raise WavewrightError(f"{path}: not a file of statistics ({error})") from error
    raise WavewrightError(
        f"{path}: no statistics in it; expected stats.h5 with 'mean' and 'scale', stats.npy with "
        "two rows, or feats_stats.npz with 'count', 'sum' and 'sum_square'"
    )


def _read_hdf5(path: Path) -> tuple[Values, Values]:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra(
            f"{path}: HDF5 files are read by h5py, which is not installed: "
            "pip install 'wavewright[mels]'"
        ) from error
    try:
        with h5py.File(path) as file:
            return np.asarray(file["mean"], np.float64), np.asarray(file["scale"], np.float64)
    except (OSError, KeyError) as error:
        raise WavewrightError(f"{path}: no HDF5 file with 'mean' and 'scale' ({error})") from error
