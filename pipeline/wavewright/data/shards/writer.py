"""Writing of shards: atomic, and equal inputs give equal bytes."""

from __future__ import annotations

import fcntl
import io
import os
import tarfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from wavewright.compute.parallel_map import parallel_map
from wavewright.data.manifest import check_id
from wavewright.data.shards.index import (
    ShardIndex,
    ShardNotes,
    convert_index_to_notes,
    notes_path,
    publish_index,
    read_notes,
    write_notes,
)
from wavewright.data.shards.layout import (
    INDEX,
    Array,
    Encoding,
    IndexRow,
    ShardHeader,
    ShardTask,
    member_name,
    require_unique_ids,
    shard_name,
    shard_number,
    shard_plan,
)
from wavewright.data.shards.members import encode
from wavewright.errors import Locked, WavewrightError
from wavewright.io.files import fsync_path, sha256_of
from wavewright.mel.spec import MelSpec

LoadArray = Callable[..., Array]


def write_shard(
    folder: Path,
    number: int,
    items: Iterable[tuple[str, Array]],
    header: ShardHeader,
    *,
    sha256: str = "",
) -> list[IndexRow]:
    """Write one shard from (id, array) pairs; it appears under its name only when complete.

    Args:
        folder: folder of the shard.
        number: its place in the numbering.
        items: int16 (samples,) or float32 (n_mels, frames) by id.
        header: sample rate and, for mels, their spec.
        sha256: what must come out, of a shard that is made again.

    Returns:
        One row per item, for `publish_index`.

    Raises:
        WavewrightError: an array or id that does not fit, or another sha256 came out.
    """
    name = shard_name(number)
    rows: list[IndexRow] = []
    about = {"WAVEWRIGHT.header": header.as_json()}
    # A name of its own: an engine that has lost sight of a worker runs its task a second time.
    scratch = folder / f".{name}.{uuid.uuid4().hex}.partial"
    try:
        with tarfile.open(scratch, "w", format=tarfile.PAX_FORMAT, pax_headers=about) as tar:
            for utterance, array in items:
                member = encode(array, header)
                info = tarfile.TarInfo(member_name(check_id(utterance), member.suffix))
                info.size = len(member.data)
                tar.addfile(info, io.BytesIO(member.data))
                padded = -(-info.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                offset = tar.offset - padded + member.skip
                bands = 1 if array.ndim == 1 else len(array)
                size = info.size - member.skip
                rows.append(IndexRow(utterance, name, offset, size, array.shape[-1], bands))
        digest = sha256_of(scratch)
        if sha256 and digest != sha256:
            raise WavewrightError(
                f"{folder / name}: made again it has sha256 {digest[:12]}..., not the recorded "
                f"{sha256[:12]}..., so its source has changed; what was made from the old source "
                "has to be made anew as a whole (a recipe's stage: --force)"
            )
        fsync_path(scratch)
        os.replace(scratch, folder / name)
    finally:
        scratch.unlink(missing_ok=True)
    write_notes(folder, name, ShardNotes(header.as_json(), digest, rows))
    return rows


def read_finished_shard(folder: Path, number: int) -> list[IndexRow] | None:
    """Rows of an intact shard that an interrupted run finished, else None."""
    name = shard_name(number)
    notes = read_notes(folder, name)
    return notes.rows if notes is not None and _is_intact(folder, name, notes) else None


def write_shards(
    folder: str | Path,
    ids: Sequence[str] | Mapping[str, Any],
    load: LoadArray,
    *,
    mel: MelSpec | None,
    sample_rate: int,
    encoding: Encoding = "pcm16",
    like: str | Path | None = None,
    jobs: int = 1,
    shard_size: int = 256,
    what: str = "shards",
) -> None:
    """Write every utterance into shards, one task per shard, and index them.

    Intact shards of an interrupted run, or of a published folder of the same utterances, are kept.
    Damaged ones are rebuilt, and must have the recorded sha256.

    Args:
        folder: the shards' folder.
        ids: all utterances; or a mapping from each to `load`'s second argument, of which every task
            is sent its own part only.
        load: id -> int16 (samples,) for audio, or float32 (n_mels, frames) for mels; with a
            mapping, (id, value). Picklable and small: it is sent with each task.
        mel: the spec of the mels, which are (n_mels, frames) whatever its layout; None for audio.
        sample_rate: Hz, of the audio or of the audio under the mels.
        encoding: `pcm16`, or `flac` for audio, which takes about half the space and is decoded for
            every crop.
        like: a folder of shards whose numbers and order these get, such as the audio of the mels.
        jobs: worker processes. The bytes written do not depend on it.
        shard_size: utterances in a shard; without `like`.
        what: name of the work, for the progress bar.

    Raises:
        WavewrightError: an id twice, illegal or not in `like`; an array that does not fit; a
            published folder of other utterances or of another kind.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    header = ShardHeader(sample_rate, mel.bands_first if mel else None, encoding)
    require_unique_ids(ids, folder)
    plan = _plan_like(Path(like), ids) if like else dict(enumerate(shard_plan([*ids], shard_size)))
    tasks = ShardTasks(plan, ids)
    with lock_folder(folder):
        if (folder / INDEX).is_file():
            _require_same(folder, header, plan)
            convert_index_to_notes(folder)
        write_all(folder, tasks, load, header, jobs=jobs, what=what)
        names = set(map(shard_name, plan))
        sha256: dict[str, str] = {}
        publish_index(folder, read_note_rows(folder, names, sha256), header, sha256=sha256)
        remove_leftovers(folder, names)


class ShardTasks(Sequence[ShardTask]):
    """Tasks of a plan, each made on access."""

    def __init__(
        self, plan: Mapping[int, list[str]], ids: Sequence[str] | Mapping[str, Any]
    ) -> None:
        self.plan, self.numbers = plan, sorted(plan)
        self.payloads = ids if isinstance(ids, Mapping) else None

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: Any) -> Any:
        number = self.numbers[place]
        ids = self.plan[number]
        own = None if self.payloads is None else [self.payloads[id_] for id_ in ids]
        return ShardTask(number, ids, own)


def write_all(
    folder: Path,
    tasks: Sequence[ShardTask],
    load: LoadArray,
    header: ShardHeader,
    *,
    jobs: int,
    what: str,
) -> None:
    """Write the shard of every task, unless it is there intact."""
    write = partial(_write_one, folder=folder, load=load, header=header)
    parallel_map(write, tasks, jobs=jobs, what=what)


def _write_one(task: ShardTask, folder: Path, load: LoadArray, header: ShardHeader) -> None:
    name = shard_name(task.number)
    notes = read_notes(folder, name)
    if notes is not None and (
        notes.header != header.as_json() or [row.id for row in notes.rows] != task.ids
    ):
        notes = None
    if notes is None or not _is_intact(folder, name, notes):
        recorded = notes.sha256 if notes else ""
        write_shard(folder, task.number, load_task(task, load), header, sha256=recorded)


def load_task(task: ShardTask, load: LoadArray) -> Iterator[tuple[str, Array]]:
    """Load the arrays of a task, one after the other."""
    for place, utterance in enumerate(task.ids):
        if task.payloads is None:
            yield utterance, load(utterance)
        else:
            yield utterance, load(utterance, task.payloads[place])


def _is_intact(folder: Path, shard: str, notes: ShardNotes) -> bool:
    try:
        return sha256_of(folder / shard) == notes.sha256
    except OSError:
        return False


def _plan_like(like: Path, ids: Iterable[str]) -> dict[int, list[str]]:
    """Plan with the numbers and order of another folder, restricted to `ids`."""
    index = ShardIndex(like)
    missing = set(ids)
    plan = {}
    for shard, rows in index.by_shard():
        own = [row.id for row in rows if row.id in missing]
        if own:
            plan[shard_number(shard)] = own
            missing.difference_update(own)
    if missing:
        raise WavewrightError(f"{like}: holds no utterance '{min(missing)}'")
    return plan


def _require_same(folder: Path, header: ShardHeader, plan: Mapping[int, list[str]]) -> None:
    """Refuse to write over what is published."""
    try:
        index = ShardIndex(folder)
    except WavewrightError:
        return  # nobody could have used it
    planned = {shard_name(number): ids for number, ids in plan.items()}
    there = {shard: [row.id for row in rows] for shard, rows in index.by_shard()}
    if index.header == header and there == planned:
        return
    raise WavewrightError(
        f"{folder}: holds shards of other utterances or of another kind, and what is published is "
        "not written over; append_shards adds utterances, anything else needs an empty folder"
    )


def read_note_rows(
    folder: Path, names: Iterable[str], sha256: dict[str, str]
) -> Iterator[IndexRow]:
    """Read the rows of finished shards from their notes; enters their sha256 into the dict."""
    for name in sorted(names):
        notes = read_notes(folder, name)
        if notes is None:
            raise WavewrightError(f"{notes_path(folder, name)}: is gone; was it deleted?")
        sha256[name] = notes.sha256
        yield from notes.rows


def remove_leftovers(folder: Path, names: set[str]) -> None:
    """Delete what interrupted runs left: shards, notes and partial files not in `names`."""
    for path in folder.glob("shard-*.tar"):
        if path.name not in names:
            path.unlink()
    for path in [*folder.glob("shard-*.tar.json"), *folder.glob(".shard-*.partial")]:
        path.unlink(missing_ok=True)


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a folder against a second writer, if its file system has locks."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Locked(f"{folder}: another process writes shards here") from None
        yield
    finally:
        os.close(descriptor)
