"""Streaming of whole shards, with read-ahead and shuffling."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from wavewright.data.shards.index import ShardIndex
from wavewright.data.shards.layout import Array
from wavewright.data.shards.members import decode
from wavewright.errors import WavewrightError

Seed = int | Sequence[int]
Pair = tuple[str, Array]


def stream(
    folder: Path, index: ShardIndex, *, seed: Seed | None, buffer: int, check: bool
) -> Iterator[Pair]:
    """Yield ids and arrays; see `Shards.stream`."""
    if seed is None:
        yield from _in_order(folder, index, index.shard_names, check)
        return
    random = np.random.default_rng(seed)
    names = [index.shard_names[i] for i in random.permutation(len(index.shard_names))]
    pool: list[Pair] = []
    for pair in _in_order(folder, index, names, check):
        pool.append(pair)
        if len(pool) >= max(1, buffer):
            yield _draw(pool, random)
    while pool:
        yield _draw(pool, random)


def _draw(pool: list[Pair], random: np.random.Generator) -> Pair:
    index = int(random.integers(len(pool)))
    pool[index], pool[-1] = pool[-1], pool[index]
    return pool.pop()


def _in_order(folder: Path, index: ShardIndex, names: Sequence[str], check: bool) -> Iterator[Pair]:
    with ThreadPoolExecutor(max_workers=1) as reader:
        ahead = [reader.submit(_read, folder, index, name, check) for name in names[:1]]
        for place, name in enumerate(names):
            data = ahead.pop().result()
            if place + 1 < len(names):
                ahead.append(reader.submit(_read, folder, index, names[place + 1], check))
            yield from _unpack(data, folder / name, index, name)


def _read(folder: Path, index: ShardIndex, shard: str, check: bool) -> bytes:
    try:
        data = (folder / shard).read_bytes()
    except OSError as error:
        raise WavewrightError(f"{folder / shard}: cannot be read ({error})") from error
    if check and hashlib.sha256(data).hexdigest() != index.sha256[shard]:
        raise WavewrightError(
            f"{folder / shard}: is not as the index says (another sha256), so it is damaged or was "
            "cut short"
        )
    return data


def _unpack(data: bytes, path: Path, index: ShardIndex, shard: str) -> Iterator[Pair]:
    def read(offset: int, size: int) -> bytes:
        return data[offset : offset + size]

    for row in index.members(shard):
        yield row.id, decode(read, row, index.header, 0, row.length, path)
