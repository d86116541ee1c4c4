"""Maintenance of a published folder of shards: append, verify, repair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from wavewright.compute.parallel_map import parallel_map
from wavewright.data.shards.index import ShardIndex, publish_index
from wavewright.data.shards.layout import (
    ShardHeader,
    ShardTask,
    require_unique_ids,
    shard_name,
    shard_number,
    shard_plan,
)
from wavewright.data.shards.writer import (
    LoadArray,
    ShardTasks,
    load_task,
    lock_folder,
    read_note_rows,
    remove_leftovers,
    write_all,
    write_shard,
)
from wavewright.errors import WavewrightError
from wavewright.io.files import sha256_of


class ShardDamage(NamedTuple):
    """Damaged shard, and how it differs from the index."""

    shard: str
    reason: str


def append_shards(
    folder: str | Path,
    ids: Sequence[str] | Mapping[str, Any],
    load: LoadArray,
    *,
    jobs: int = 1,
    shard_size: int = 256,
    what: str = "shards",
) -> None:
    """Add utterances to a folder of shards.

    They go into new shards with the next numbers; existing shards are not touched. Readers see all
    of the new utterances or none, because the index is replaced in one step. After an interruption
    the same call continues.

    Args:
        folder: folder of shards with an index.
        ids: the new utterances, or a mapping, as for `write_shards`.
        load: see `write_shards`; arrays must be of the folder's kind.
        jobs: worker processes.
        shard_size: utterances in a new shard.
        what: name of the work, for the progress bar.

    Raises:
        WavewrightError: an id is there already or is given twice.
    """
    folder = Path(folder)
    require_unique_ids(ids, folder)
    with lock_folder(folder):
        index = ShardIndex(folder)
        there = [utterance for utterance in ids if index.place(utterance) >= 0]
        if there:
            more = f" and {len(there) - 3} more" if len(there) > 3 else ""
            raise WavewrightError(f"{folder}: holds {', '.join(there[:3])}{more} already")
        first = max(map(shard_number, index.shard_names), default=-1) + 1
        plan = dict(enumerate(shard_plan([*ids], shard_size), first))
        write_all(folder, ShardTasks(plan, ids), load, index.header, jobs=jobs, what=what)
        sha256 = dict(index.sha256)
        published = (row for _, rows in index.by_shard() for row in rows)
        fresh = read_note_rows(folder, map(shard_name, plan), sha256)
        publish_index(folder, chain(published, fresh), index.header, sha256=sha256)
        remove_leftovers(folder, set(sha256))


def verify_shards(folder: str | Path, *, jobs: int = 1) -> list[ShardDamage]:
    """Hash every shard and compare with the index.

    Args:
        folder: folder of shards with an index.
        jobs: processes that read.

    Returns:
        The damaged and missing ones, in order; empty if all is well.
    """
    index = ShardIndex(Path(folder))
    check = partial(_reason, folder=Path(folder))
    items = [(name, index.sha256[name]) for name in index.shard_names]
    reasons = parallel_map(check, items, jobs=jobs, what="verify")
    return [
        ShardDamage(name, reason if reason != _CHANGED else _detail(Path(folder), index, name))
        for (name, _), reason in zip(items, reasons, strict=True)
        if reason
    ]


_CHANGED = "was changed"


def _reason(item: tuple[str, str], folder: Path) -> str:
    shard, sha256 = item
    path = folder / shard
    if not path.is_file():
        return "is missing"
    try:
        return "" if sha256_of(path) == sha256 else _CHANGED
    except OSError as error:
        return f"cannot be read ({error})"


def _detail(folder: Path, index: ShardIndex, shard: str) -> str:
    """Tell a shard that was cut short from one whose bytes were changed."""
    size = (folder / shard).stat().st_size
    rows = index.members(shard)
    whole = sum(row.offset + row.size <= size for row in rows)
    if whole < len(rows):
        return f"was cut short: {whole} of its {len(rows)} utterances are there"
    return "was changed: its sha256 is another"


def repair_shards(
    folder: str | Path, load: LoadArray, items: Mapping[str, Any] | None = None, *, jobs: int = 1
) -> list[ShardDamage]:
    """Rebuild damaged and missing shards from their source.

    Args:
        folder: folder of shards with an index.
        load: the `load` that `write_shards` was called with.
        items: the mapping, if `load` takes a second argument from one; only the entries of damaged
            shards are looked up.
        jobs: worker processes.

    Returns:
        The damaged shards that were rebuilt.

    Raises:
        WavewrightError: a shard does not come out with its recorded sha256, because the source has
            changed. It is left as it was found.
    """
    folder = Path(folder)
    with lock_folder(folder):
        damaged = verify_shards(folder, jobs=jobs)
        index = ShardIndex(folder)
        tasks = []
        for shard, _ in damaged:
            ids = [row.id for row in index.members(shard)]
            own = None if items is None else [items[utterance] for utterance in ids]
            tasks.append(ShardTask(shard_number(shard), ids, own))
        work = partial(_rebuild, folder=folder, load=load, header=index.header)
        digests = [index.sha256[shard] for shard, _ in damaged]
        parallel_map(work, list(zip(tasks, digests, strict=True)), jobs=jobs, what="repair")
        remove_leftovers(folder, set(index.shard_names))
    return damaged


def _rebuild(
    item: tuple[ShardTask, str], folder: Path, load: LoadArray, header: ShardHeader
) -> None:
    task, sha256 = item
    write_shard(folder, task.number, load_task(task, load), header, sha256=sha256)
