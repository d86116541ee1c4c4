"""Audio and features on disk: uncompressed tar shards and one Parquet index.

A folder of shards holds `shard-00000.tar`, ... (WebDataset layout: one member `ID.wav` or
`ID.npy` per utterance) and `index.parquet` with each member's place, so that the same file
serves streaming and random access by byte range. The sha256 of every shard and the MelSpec are
in the index, the MelSpec also in the tar's own header. A shard appears whole or not at all, and
equal inputs give equal bytes.
"""

from __future__ import annotations

import io
import json
import mmap
import tarfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wavewright.errors import WavewrightError
from wavewright.files import sha256_of, whole, write_text
from wavewright.manifest import check_id
from wavewright.melspec import MelSpec
from wavewright.parallel import parallel_map

Array = npt.NDArray[Any]
_FORMAT = 1


class Row(NamedTuple):
    """Where one utterance lies: `offset` and `size` are the array's raw bytes in the tar."""

    id: str
    shard: str
    offset: int
    size: int
    length: int
    rows: int


class Header(NamedTuple):
    """What all members of a folder share."""

    sample_rate: int
    mel: MelSpec | None

    def as_json(self) -> str:
        mel = self.mel.essentials() if self.mel else None
        return json.dumps(
            {"format": _FORMAT, "sample_rate": self.sample_rate, "mel": mel}, sort_keys=True
        )

    @classmethod
    def from_json(cls, text: str | bytes, path: Path) -> Header:
        data = json.loads(text)
        if data.get("format") != _FORMAT:
            raise WavewrightError(
                f"{path}: shard format {data.get('format')} is not the supported {_FORMAT}"
            )
        mel = MelSpec.model_validate(data["mel"]) if data["mel"] else None
        return cls(data["sample_rate"], mel)


def _member(array: Array, header: Header) -> tuple[str, bytes, int]:
    """File name suffix, file bytes, and where the raw samples start in them."""
    buffer = io.BytesIO()
    if header.mel is None:
        if array.dtype != np.int16 or array.ndim != 1:
            raise WavewrightError(
                f"audio must be int16 (samples,), found {array.dtype} {array.shape}"
            )
        import soundfile

        soundfile.write(buffer, array, header.sample_rate, subtype="PCM_16", format="WAV")
        return ".wav", buffer.getvalue(), len(buffer.getvalue()) - 2 * array.size
    if array.dtype != np.float32 or array.ndim != 2 or len(array) != header.mel.n_mels:
        raise WavewrightError(
            f"mels must be float32 ({header.mel.n_mels}, frames), found {array.dtype} {array.shape}"
        )
    # Frames lie side by side in the file, so that a crop of frames is one range of bytes.
    np.save(buffer, np.asfortranarray(array), allow_pickle=False)
    return ".npy", buffer.getvalue(), len(buffer.getvalue()) - array.nbytes


def write_shard(
    folder: Path, number: int, items: Iterable[tuple[str, Array]], header: Header
) -> list[Row]:
    """Write one shard from (id, array) pairs; it appears under its name only when complete.

    Args:
        folder: where the shard goes.
        number: its place in the numbering.
        items: int16 (samples,) or float32 (n_mels, frames) by id.
        header: sample rate and, for mels, their spec.

    Returns:
        One row per item, for `publish_index`.
    """
    name = f"shard-{number:05d}.tar"
    rows: list[Row] = []
    about = {"WAVEWRIGHT.header": header.as_json()}
    with (
        whole(folder / name, durable=True) as scratch,
        tarfile.open(scratch, "w", format=tarfile.PAX_FORMAT, pax_headers=about) as tar,
    ):
        for utterance, array in items:
            suffix, data, skip = _member(array, header)
            info = tarfile.TarInfo(check_id(utterance) + suffix)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
            offset = tar.fileobj.tell() - -(-len(data) // 512) * 512 + skip
            height = 1 if array.ndim == 1 else len(array)
            rows.append(Row(utterance, name, offset, len(data) - skip, array.shape[-1], height))
    write_text(folder / f"{name}.json", json.dumps(rows), durable=True)
    return rows


def finished_rows(folder: Path, number: int) -> list[Row] | None:
    """Rows of a shard that an interrupted run has finished, else None."""
    name = f"shard-{number:05d}.tar"
    notes = folder / f"{name}.json"
    if not notes.is_file() or not (folder / name).is_file():
        return None
    return [Row(*row) for row in json.loads(notes.read_text())]


def publish_index(folder: Path, rows: Iterable[Row], header: Header) -> None:
    """Write `index.parquet` over the shards of `folder`, with the sha256 of each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ordered = sorted(rows)
    names = sorted({row.shard for row in ordered})
    digests = {name: sha256_of(folder / name) for name in names}
    table = pa.table(
        {field: [getattr(row, field) for row in ordered] for field in Row._fields}
    ).replace_schema_metadata(
        {"wavewright.header": header.as_json(), "wavewright.shards": json.dumps(digests)}
    )
    with whole(folder / "index.parquet", durable=True) as scratch:
        pq.write_table(table, scratch)
    for name in names:
        (folder / f"{name}.json").unlink(missing_ok=True)


def shard_plan(ids: Sequence[str], shard_size: int) -> list[list[str]]:
    """Which ids go into which shard; it depends on nothing but the ids and the size."""
    ordered = sorted(ids)
    return [ordered[i : i + shard_size] for i in range(0, len(ordered), shard_size)]


def _write_one(
    task: tuple[int, list[str]], folder: Path, load: Callable[[str], Array], header: Header
) -> list[Row]:
    number, ids = task
    kept = finished_rows(folder, number)
    if kept is not None and [row.id for row in kept] == ids:
        return kept
    return write_shard(folder, number, ((id_, load(id_)) for id_ in ids), header)


def write_shards(
    folder: str | Path,
    ids: Sequence[str],
    load: Callable[[str], Array],
    *,
    mel: MelSpec | None,
    sample_rate: int,
    jobs: int = 1,
    shard_size: int = 256,
    what: str = "shards",
) -> None:
    """Write every utterance into shards, one task per shard, and index them.

    Args:
        folder: the shards' folder; shards that an interrupted run finished are kept.
        ids: all utterances.
        load: id -> int16 (samples,) for audio, or float32 (n_mels, frames) for mels; picklable.
        mel: the spec of the mels; None for audio.
        sample_rate: Hz, of the audio or of the audio under the mels.
        jobs: worker processes. The bytes written do not depend on it.
        shard_size: utterances in a shard.
        what: name of the work, for the progress bar.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    header = Header(sample_rate, mel)
    write = partial(_write_one, folder=folder, load=load, header=header)
    tasks = list(enumerate(shard_plan(ids, shard_size)))
    done = parallel_map(write, tasks, jobs=jobs, what=what)
    publish_index(folder, [row for rows in done for row in rows], header)


class Shards:
    """Random access to a folder of shards, by id and by byte range.

    Attributes:
        folder: where the shards are.
        ids: all utterances, sorted.
        mel: spec of the mels, or None for audio.
        sample_rate: Hz.
    """

    def __init__(self, folder: str | Path) -> None:
        import pyarrow.parquet as pq

        self.folder = Path(folder)
        index = self.folder / "index.parquet"
        if not index.is_file():
            raise WavewrightError(f"{self.folder}: no index.parquet, so not a folder of shards")
        try:
            table = pq.read_table(index)
            metadata = table.schema.metadata
            header = Header.from_json(metadata[b"wavewright.header"], index)
            self.sha256: dict[str, str] = json.loads(metadata[b"wavewright.shards"])
            columns = [table.column(field).to_pylist() for field in Row._fields]
        except WavewrightError:
            raise
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise WavewrightError(f"{index}: not an index of ours ({error})") from error
        self.sample_rate, self.mel = header
        self._rows = {row[0]: Row(*row) for row in zip(*columns, strict=True)}
        self.ids = sorted(self._rows)
        self._maps: dict[str, mmap.mmap] = {}

    def __contains__(self, utterance: str) -> bool:
        return utterance in self._rows

    def __len__(self) -> int:
        return len(self.ids)

    def __reduce__(self) -> tuple[type[Shards], tuple[Path]]:
        return Shards, (self.folder,)  # a worker reads the index itself; it can be large

    def length(self, utterance: str) -> int:
        """Samples of an audio, frames of a mel."""
        return self._row(utterance).length

    def array(self, utterance: str) -> Array:
        """int16 (samples,) or float32 (n_mels, frames)."""
        return self.crop(utterance, 0, self.length(utterance))

    def crop(self, utterance: str, start: int, stop: int) -> Array:
        """The same, from sample or frame `start` to before `stop`; reads only those bytes."""
        row = self._row(utterance)
        if not 0 <= start <= stop <= row.length:
            raise WavewrightError(
                f"{self.folder}: '{utterance}' has {row.length} frames or samples, "
                f"[{start}, {stop}) is outside"
            )
        kind: type[np.int16 | np.float32] = np.int16 if self.mel is None else np.float32
        step = row.rows * np.dtype(kind).itemsize
        begin = row.offset + start * step
        end = begin + (stop - start) * step
        data = self._map(row.shard)[begin:end]
        if len(data) != end - begin:
            raise WavewrightError(
                f"{self.folder / row.shard}: ends before '{utterance}' does, so it was cut short"
            )
        flat: Array = np.frombuffer(data, dtype=kind)
        return flat if self.mel is None else flat.reshape(stop - start, row.rows).T

    def _row(self, utterance: str) -> Row:
        try:
            return self._rows[utterance]
        except KeyError:
            raise WavewrightError(f"{self.folder}: holds no utterance '{utterance}'") from None

    def _map(self, shard: str) -> mmap.mmap:
        if shard not in self._maps:
            try:
                with (self.folder / shard).open("rb") as file:
                    self._maps[shard] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:  # ValueError: the file is empty
                raise WavewrightError(f"{self.folder / shard}: cannot be read ({error})") from error
        return self._maps[shard]
