"""Result folders of a unit: locking, working folder, publishing by rename, `latest`.

A unit works in a hidden folder that survives kills. A lock on the unit's home is inherited by its
processes, so that an orphan keeps a second runner out.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from wavewright.errors import (
    Locked,
    StageFailed,
    WavewrightError,
    os_error_reason,
    os_errors_as_user_errors,
)
from wavewright.io.files import fsync_path
from wavewright.runner.plan import DAMAGED_REASON, Assessment, Unit, find_candidates
from wavewright.runner.record import (
    LOG_FOLDER,
    StageRecord,
    environment,
    find_damage,
    outputs_digest,
    read_record,
    scan_outputs,
    write_record,
)

_SHARD = re.compile(r"shard-\d+\.tar")


@contextmanager
def lock_unit(unit: Unit) -> Iterator[int]:
    """Lock a unit for as long as any process holds the descriptor."""
    descriptor = open_lock(unit)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise Locked(
            f"{unit.home}: another run is at work on {unit.label} ({holder}); "
            "wait for it or stop it"
        ) from None
    except OSError as error:
        os.close(descriptor)
        raise WavewrightError(
            f"{unit.home}: cannot be locked ({os_error_reason(error)}); put work_dir on a file "
            "system that has locks"
        ) from error
    try:
        with suppress(OSError):  # a full disk; the content is only a hint for other processes
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def open_lock(unit: Unit) -> int:
    """Descriptor of a unit's lock file.

    Raises:
        WavewrightError: nothing can be written where its result goes.
    """
    try:
        unit.home.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(unit.home / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        if not os.access(unit.home, os.W_OK | os.X_OK):
            os.close(descriptor)
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise WavewrightError(
            f"{unit.home}: cannot be written ({os_error_reason(error)}); the result of stage "
            f"{unit.label} goes there"
        ) from error
    return descriptor


def partial_folder(assessment: Assessment) -> Path:
    """Working folder of a unit until its result is published."""
    return assessment.unit.home / f".partial-{assessment.key}"


def can_resume(assessment: Assessment) -> bool:
    """True if an interrupted run left work that can be resumed."""
    damaged = any(reason.startswith(DAMAGED_REASON) for reason in assessment.reasons)
    return bool(assessment.key) and not damaged and partial_folder(assessment).is_dir()


def open_partial(assessment: Assessment, force: bool) -> Path:
    """Open the working folder: left by an interrupted run, seeded by an older result, or new.

    A precious stage continues from its damaged result or from a smaller budget's, and finds its
    intact checkpoints itself. Another stage gets those files of its damaged result that
    are as they were published, if only shards are damaged: they can be made one by one.
    """
    unit = assessment.unit
    partial = partial_folder(assessment)
    damaged = any(reason.startswith(DAMAGED_REASON) for reason in assessment.reasons)
    if force or damaged:
        shutil.rmtree(partial, ignore_errors=True)
    seed = assessment.folder if damaged and unit.stage.precious else None
    if not damaged and unit.budget is not None:
        seed = next(
            (folder for folder, *_ in reversed(find_candidates(unit, assessment.key))), None
        )
    if seed is not None and not force and not partial.exists():
        scratch = unit.home / f".seed-{assessment.key}"
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(seed, scratch)
        (scratch / "stage.json").unlink(missing_ok=True)
        os.rename(scratch, partial)
    elif damaged and not force:
        _link_intact(assessment.folder, partial)
    (partial / LOG_FOLDER).mkdir(parents=True, exist_ok=True)
    return partial


def only_shards(damaged: list[tuple[str, str]]) -> bool:
    lost = [Path(name).name for name, what in damaged if what != "was added"]
    return all(_SHARD.fullmatch(name) for name in lost)


def _link_intact(folder: Path, partial: Path) -> None:
    """Put the intact files of a damaged result into a new folder, without copying them."""
    record = read_record(folder)
    if record is None:
        return
    damaged = list(find_damage(folder, record, thorough=True))
    if not only_shards(damaged):
        return  # what was made on the way to an intact shard would not be made again
    for name in sorted(record.outputs.keys() - dict(damaged).keys()):
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(folder / name, partial / name)
        except OSError:  # a file system without hard links
            shutil.copy2(folder / name, partial / name)


def publish(work_dir: Path, assessment: Assessment, partial: Path, seconds: float) -> Path:
    """Write the record of a result and publish it by one rename."""
    unit = assessment.unit
    for leftover in [*partial.rglob(".*.partial")]:  # of an earlier attempt that was killed
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    outputs = scan_outputs(partial)
    if not outputs:
        raise StageFailed(f"stage {unit.label} ended well but wrote nothing", 1)
    write_record(
        partial,
        StageRecord(
            stage=unit.stage.name,
            unit=unit.name,
            key=assessment.key,
            parts=assessment.parts,
            outputs=outputs,
            digest=outputs_digest(outputs),
            budget=unit.budget,
            stale=assessment.stale,
            options=unit.options.model_dump(mode="json"),
            seconds=round(seconds, 1),
            serial=1
            + max((record.serial for _, record in published_results(unit) if record), default=0),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            environment=environment(),
        ),
    )
    for path in partial.rglob("*"):
        if path.is_file() or path.is_dir():
            fsync_path(path)
    fsync_path(partial)
    for folder in [unit.home, *unit.home.parents]:  # which may be as new as the result
        with suppress(PermissionError):  # one that may only be passed through is not new
            fsync_path(folder)
        if folder == work_dir.parent:
            break
    if assessment.folder.exists():  # --force or a damaged result: out of the way, then away
        replaced = unit.home / f".replaced-{assessment.folder.name}"
        shutil.rmtree(replaced, ignore_errors=True)
        os.rename(assessment.folder, replaced)
        os.rename(partial, assessment.folder)
        shutil.rmtree(replaced, ignore_errors=True)
    else:
        os.rename(partial, assessment.folder)
    point_latest(unit, assessment.folder)
    fsync_path(unit.home)
    return assessment.folder


def point_latest(unit: Unit, folder: Path) -> None:
    """Point `latest` to the result in use."""
    link = unit.home / "latest"
    if link.is_symlink() and os.readlink(link) == folder.name:
        return
    scratch = unit.home / f".latest-{os.getpid()}.partial"  # others may do the same just now
    with os_errors_as_user_errors(link):
        scratch.unlink(missing_ok=True)
        scratch.symlink_to(folder.name)
        os.replace(scratch, link)


def published_results(unit: Unit) -> list[tuple[Path, StageRecord | None]]:
    """List a unit's published results with their records, newest first."""
    results = [
        (folder, read_record(folder))
        for folder in unit.home.glob("[!.]*")
        if folder.is_dir() and not folder.is_symlink()
    ]

    def age(one: tuple[Path, StageRecord | None]) -> tuple[int, str]:
        return (one[1].serial, one[1].finished) if one[1] else (-1, "")

    return sorted(results, key=age, reverse=True)
