"""Random access by byte range to a folder of shards, and streaming of whole shards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property, lru_cache, partial
from io import FileIO
from pathlib import Path

from wavewright.data.shards.index import ShardIndex
from wavewright.data.shards.layout import INDEX, Array, Encoding, IndexRow
from wavewright.data.shards.members import decode
from wavewright.data.shards.stream import Seed, stream
from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec

_OPEN = 128  # files that are kept open; a process may have 256 on macOS


class Shards:
    """Access to a folder of shards.

    Attributes:
        folder: folder of the shards.
        mel: spec of the mels, or None for audio.
        sample_rate: Hz.
        encoding: encoding of audio.
        sha256: of every shard, by its name.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._index = _open_index(self.folder)
        self.sample_rate: int = self._index.header.sample_rate
        self.mel: MelSpec | None = self._index.header.mel
        self.encoding: Encoding = self._index.header.encoding
        self.sha256: dict[str, str] = self._index.sha256
        self._files: dict[str, FileIO] = {}

    @cached_property
    def ids(self) -> list[str]:
        """All utterances, sorted."""
        return [name.decode() for name in self._index.ids.tolist()]

    def __contains__(self, utterance: str) -> bool:
        return self._index.place(utterance) >= 0

    def __len__(self) -> int:
        return len(self._index)

    def __reduce__(self) -> tuple[type[Shards], tuple[Path]]:
        return Shards, (self.folder,)  # a worker reads the index itself; it can be large

    def length(self, utterance: str) -> int:
        """Samples of an audio, frames of a mel."""
        return self._row(utterance).length

    def shard_of(self, utterance: str) -> str:
        """File name of the shard that holds an utterance."""
        return self._row(utterance).shard

    def array(self, utterance: str) -> Array:
        """Read an utterance: int16 (samples,) or float32 (n_mels, frames)."""
        return self.crop(utterance, 0, self.length(utterance))

    def crop(self, utterance: str, start: int, stop: int) -> Array:
        """Read samples or frames `start` to `stop` (exclusive) of an utterance.

        Of PCM16 and mels only those bytes are read; FLAC is decoded from the frame before `start`.
        """
        row = self._row(utterance)
        if not 0 <= start <= stop <= row.length:
            raise WavewrightError(
                f"{self.folder}: '{utterance}' has {row.length} frames or samples, "
                f"[{start}, {stop}) is outside"
            )
        read = partial(self._read, row.shard)
        return decode(read, row, self._index.header, start, stop, self.folder / row.shard)

    def members(self) -> Iterator[tuple[str, list[str]]]:
        """Every shard's file name and the ids in it, both in order."""
        for shard, rows in self._index.by_shard():
            yield shard, [row.id for row in rows]

    def stream(
        self, *, seed: Seed | None = None, buffer: int = 1024, check: bool = True
    ) -> Iterator[tuple[str, Array]]:
        """Yield ids and arrays of all utterances, reading one whole shard after the other.

        The next shard is read while one is being consumed. Nothing in it is executed or unpickled.

        Args:
            seed: None: in the order of the shards; else shuffled, alike for equal seeds: the
                shards, and then the utterances in a buffer. (seed, epoch) is a seed too.
            buffer: utterances that are held back for shuffling.
            check: compare every shard's sha256 with the index before its first utterance.

        Raises:
            WavewrightError: a shard is missing or not as the index says.
        """
        return stream(self.folder, self._index, seed=seed, buffer=buffer, check=check)

    def _row(self, utterance: str) -> IndexRow:
        place = self._index.place(utterance)
        if place < 0:
            raise WavewrightError(f"{self.folder}: holds no utterance '{utterance}'")
        return self._index.row(place)

    def _read(self, shard: str, offset: int, size: int) -> bytes:
        if shard not in self._files:
            if len(self._files) >= _OPEN:
                del self._files[next(iter(self._files))]  # which closes it
            try:
                self._files[shard] = FileIO(self.folder / shard)
            except OSError as error:
                raise WavewrightError(f"{self.folder / shard}: cannot be read ({error})") from error
        return os.pread(self._files[shard].fileno(), size, offset)


def _open_index(folder: Path) -> ShardIndex:
    """Open an index, cached per process."""
    try:
        stat = (folder / INDEX).stat()
    except OSError:
        return ShardIndex(folder)  # raises the error
    return _index_as_of(folder.absolute(), stat.st_ino, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4)
def _index_as_of(folder: Path, inode: int, mtime_ns: int, size: int) -> ShardIndex:
    return ShardIndex(folder)
