"""Index of a folder of shards, `index.parquet`: one row per utterance, sorted by id.

The index is held as columns, because a list of millions of rows would take gigabytes. Until a shard
is in an index, `SHARD.json` beside it holds its notes: header, sha256 and rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wavewright.data.shards.layout import INDEX, Array, IndexRow, ShardHeader
from wavewright.errors import WavewrightError
from wavewright.io.files import atomic_write, sha256_of, write_text

_BATCH = 65536  # rows that are turned into columns at a time


class ShardNotes(NamedTuple):
    """Header, sha256 and rows of a finished shard that is not in an index yet."""

    header: str
    sha256: str
    rows: list[IndexRow]


def notes_path(folder: Path, shard: str) -> Path:
    """Path of a shard's notes."""
    return folder / f"{shard}.json"


def write_notes(folder: Path, shard: str, notes: ShardNotes) -> None:
    """Write a shard's notes atomically."""
    write_text(notes_path(folder, shard), json.dumps(notes), durable=True)


def read_notes(folder: Path, shard: str) -> ShardNotes | None:
    """Read the notes of a shard; None if there are none or they are damaged."""
    try:
        header, sha256, rows = json.loads(notes_path(folder, shard).read_bytes())
        return ShardNotes(header, sha256, [IndexRow(*row) for row in rows])
    except (OSError, ValueError, TypeError):
        return None


class ShardIndex:
    """Index of a folder of shards, held as columns.

    Attributes:
        header: properties shared by all members.
        sha256: of every shard, by its name.
        ids: fixed-width ASCII, sorted.
        shard_names: sorted; `shards` are places in it.
        shards, offsets, sizes, lengths, bands: int64, one entry per utterance.
    """

    def __init__(self, folder: Path) -> None:
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        path = folder / INDEX
        if not path.is_file():
            raise WavewrightError(f"{folder}: no {INDEX}, so not a folder of shards")
        try:
            table = pq.read_table(path, read_dictionary=["shard"])
            metadata = table.schema.metadata
            self.header = ShardHeader.from_json(metadata[b"wavewright.header"], path)
            self.sha256: dict[str, str] = json.loads(metadata[b"wavewright.shards"])
            numbers = {name: table.column(name).to_numpy() for name in IndexRow._fields[2:]}
            longest = pc.max(pc.utf8_length(table.column("id"))).as_py() or 1
            self.ids: Array = np.empty(len(table), dtype=f"S{longest}")
            place = 0
            for chunk in table.column("id").chunks:
                self.ids[place : place + len(chunk)] = chunk.to_numpy(zero_copy_only=False)
                place += len(chunk)
            self.shard_names = sorted(self.sha256)
            position_of = {name: place for place, name in enumerate(self.shard_names)}
            names = table.column("shard").unify_dictionaries().combine_chunks()
            order = np.array([position_of[n] for n in names.dictionary.to_pylist()], dtype=np.int64)
            self.shards: Array = order[names.indices.to_numpy()] if len(table) else order
        except WavewrightError:
            raise
        except (KeyError, TypeError, ValueError, OSError, AttributeError) as error:
            raise WavewrightError(f"{path}: not an index of ours ({error})") from error
        self.offsets, self.sizes = numbers["offset"], numbers["size"]
        self.lengths, self.bands = numbers["length"], numbers["rows"]

    def __len__(self) -> int:
        return len(self.ids)

    def place(self, utterance: str) -> int:
        """Number of the row of an utterance, or -1."""
        try:
            key = utterance.encode("ascii")
        except UnicodeEncodeError:
            return -1
        position = int(np.searchsorted(self.ids, key))
        return position if position < len(self.ids) and self.ids[position] == key else -1

    def row(self, place: int) -> IndexRow:
        """Row at a position."""
        return IndexRow(
            self.ids[place].decode(),
            self.shard_names[self.shards[place]],
            int(self.offsets[place]),
            int(self.sizes[place]),
            int(self.lengths[place]),
            int(self.bands[place]),
        )

    def members(self, shard: str) -> list[IndexRow]:
        """Rows of one shard, by offset."""
        places = np.flatnonzero(self.shards == self.shard_names.index(shard))
        return [self.row(place) for place in places[np.argsort(self.offsets[places])]]

    def by_shard(self) -> Iterator[tuple[str, list[IndexRow]]]:
        """Yield every shard with its rows, both in order."""
        order = np.lexsort((self.offsets, self.shards))
        starts = np.searchsorted(self.shards[order], np.arange(len(self.shard_names) + 1))
        for number, name in enumerate(self.shard_names):
            yield name, [self.row(p) for p in order[starts[number] : starts[number + 1]]]


def publish_index(
    folder: Path,
    rows: Iterable[IndexRow],
    header: ShardHeader,
    *,
    sha256: Mapping[str, str] = {},
) -> None:
    """Write `index.parquet` over the shards of `folder`, whole or not at all.

    Args:
        folder: folder of the shards.
        rows: rows of all utterances, in any order.
        header: properties shared by all members.
        sha256: of the shards, looked up after the last row; those that it lacks are read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            (name, pa.string() if name in ("id", "shard") else pa.int64())
            for name in IndexRow._fields
        ]
    )
    table = pa.Table.from_batches(_batches(rows, schema), schema)
    table = table.sort_by("id")
    names = sorted(table.column("shard").unique().to_pylist())
    digests = {name: sha256.get(name) or sha256_of(folder / name) for name in names}
    table = table.replace_schema_metadata(
        {"wavewright.header": header.as_json(), "wavewright.shards": json.dumps(digests)}
    )
    with atomic_write(folder / INDEX, durable=True) as scratch:
        pq.write_table(table, scratch, row_group_size=_BATCH)
    for name in names:
        notes_path(folder, name).unlink(missing_ok=True)


def _batches(rows: Iterable[IndexRow], schema: Any) -> Iterator[Any]:
    import pyarrow as pa

    waiting = iter(rows)
    while part := list(islice(waiting, _BATCH)):
        columns = [list(column) for column in zip(*part, strict=True)]
        yield pa.record_batch(columns, schema=schema)


def convert_index_to_notes(folder: Path) -> None:
    """Replace an index by notes for every shard.

    The next write keeps the intact shards; with an index, all shards would count as present.
    """
    try:
        index = ShardIndex(folder)
    except WavewrightError:
        return
    for shard, rows in index.by_shard():
        write_notes(folder, shard, ShardNotes(index.header.as_json(), index.sha256[shard], rows))
    (folder / INDEX).unlink()
