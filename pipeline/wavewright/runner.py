"""Run a recipe: what is not up to date, in order, each unit in a process of its own.

A unit works in a hidden partial folder that survives kills; when it succeeds, one rename
publishes the folder. A lock on the unit's home is inherited by its processes, so that an orphan
keeps a second runner out.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from wavewright.config import Recipe
from wavewright.errors import Locked, Stale, WavewrightError
from wavewright.files import sync
from wavewright.plan import Assessment, Plan, Unit
from wavewright.progress import on_terminal
from wavewright.record import (
    LOGS,
    Record,
    damage,
    environment,
    outputs_digest,
    read_record,
    scan,
    write_record,
)

_STOPPED = {128 + number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)}
_TAIL = 15  # lines of a failing log that are shown
_CONTROL = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
_SHARD = re.compile(r"shard-\d+\.tar")
Say = Callable[[str], None]


class StageFailed(WavewrightError):
    """A unit's process ended with an error."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Request:
    """What the command line asked for; stages by number or name."""

    stage: str | None = None
    stop_stage: str | None = None
    dry_run: bool = False
    explain: bool = False
    force: bool = False
    allow_stale: bool = False
    backend: str = "loky"
    scheduler: str = ""


def run(plan: Plan, request: Request, say: Say) -> Path | None:
    """Bring the requested stages up to date.

    Args:
        plan: of a recipe.
        request: which stages, and how.
        say: prints a line to the user.

    Returns:
        The last stage's result, if it was brought up to date.

    Raises:
        Stale: a stage before the first one is needed and not up to date.
        StageFailed: with the failing log's tail and how to run that unit again.
    """
    first = plan.number_of(request.stage, 0)
    last = plan.number_of(request.stop_stage, len(plan.stages) - 1)
    if last < first:
        raise WavewrightError(f"--stop-stage {last} comes before --stage {first}")
    plan.stale_before = first if request.allow_stale else 0
    plan.look_again()
    _require_earlier(plan, first, last)
    overview(plan, first, last, request, say)
    if request.dry_run or request.explain:
        return None
    result = None
    for unit in plan.units:
        if first <= unit.number <= last:
            result = _bring_up_to_date(plan, unit, request, say)
    return result


def overview(plan: Plan, first: int, last: int, request: Request, say: Say) -> None:
    """Say of every unit whether it will run, and why."""
    pending: dict[str, str] = {}
    for unit in plan.units:
        if not first <= unit.number <= last:
            continue
        assessment = plan.assess(unit, pending)
        will_run = assessment.state == "run" or request.force
        if will_run:
            pending[unit.stage.output] = unit.label
        state = "will run  " if will_run else "up to date"
        reasons = assessment.reasons or (["--force"] if will_run else [])
        shown = reasons if request.explain else reasons[:2]
        more = f" (and {len(reasons) - len(shown)} more)" if len(reasons) > len(shown) else ""
        say(f"{unit.label:<24} {state}  {'; '.join(shown)}{more}".rstrip())


def status(plan: Plan, say: Say) -> None:
    """Say of every unit where it stands, with the folder of what is up to date."""
    for unit in plan.units:
        assessment = plan.assess(unit)
        where = assessment.folder if assessment.state == "done" else ""
        state = "up to date" if assessment.state == "done" else "to do     "
        say(f"{unit.label:<24} {state}  {where} {'; '.join(assessment.reasons)}".rstrip())


def verify(plan: Plan, say: Say) -> bool:
    """Hash every current result again; True if all are as they were published."""
    whole = True
    for unit in plan.units:
        folder = (unit.home / "latest").resolve()
        record = read_record(folder)
        if record is None:
            say(f"{unit.label:<24} no result")
            continue
        damaged = list(damage(folder, record, thorough=True))
        say(f"{unit.label:<24} {_describe(damaged, unit) if damaged else 'intact'}")
        for name, what in damaged:
            if what == "was changed":
                os.utime(folder / name)  # so that the next run looks at the contents too
        whole &= not damaged
    return whole


def _describe(damaged: list[tuple[str, str]], unit: Unit) -> str:
    """What is wrong with a result, and what will be done about it."""
    shown = "; ".join(f"{name} {what}" for name, what in damaged[:5])
    more = f" (and {len(damaged) - 5} more files)" if len(damaged) > 5 else ""
    if unit.stage.precious:
        then = "the next run goes on from what is whole"
    elif _only_shards(damaged):
        then = "the next run keeps what is whole and makes only the damaged shards again"
    else:
        then = "the next run makes it again"
    return f"{shown}{more}; {then}"


def _require_earlier(plan: Plan, first: int, last: int) -> None:
    needed = plan.needed_by(first, last)
    for unit in plan.units:
        if unit.stage.name not in needed or unit.number >= first:
            continue
        if plan.published(unit) is None:
            assessment = plan.assess(unit)
            raise Stale(
                f"stage {unit.label} is not up to date ({'; '.join(assessment.reasons[:3])}) and "
                f"stage {first} needs it: start with --stage {unit.number}, or accept what is "
                "there with --allow-stale"
            )


def _bring_up_to_date(plan: Plan, unit: Unit, request: Request, say: Say) -> Path:
    assessment = plan.assess(unit)
    if assessment.state == "done" and not request.force:
        return _reuse(assessment, say)
    with _lock(unit) as lock:
        plan.look_again()  # another runner may just have made it
        assessment = plan.assess(unit)
        if assessment.state == "done" and not request.force:
            return _reuse(assessment, say)
        say(f"[{unit.label}] {unit.stage.summary}")
        started = time.monotonic()
        partial = _open_partial(assessment, request.force)
        _execute(plan.recipe, assessment, partial, lock, request, say)
        folder = _publish(assessment, partial, time.monotonic() - started)
        plan.look_again()
        say(f"[{unit.label}] done in {time.monotonic() - started:.0f} s: {folder}")
        return folder


def _reuse(assessment: Assessment, say: Say) -> Path:
    for remark in assessment.reasons:
        say(f"[{assessment.unit.label}] {remark}")
    _point_latest(assessment.unit, assessment.folder)
    return assessment.folder


def _point_latest(unit: Unit, folder: Path) -> None:
    """Make `latest` name the result in use."""
    link = unit.home / "latest"
    if link.is_symlink() and os.readlink(link) == folder.name:
        return
    scratch = unit.home / ".latest.partial"
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(folder.name)
    os.replace(scratch, link)


@contextmanager
def _lock(unit: Unit) -> Iterator[int]:
    """An exclusive lock that lives as long as any process holding the descriptor."""
    try:
        unit.home.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(unit.home / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise WavewrightError(f"{unit.home}: cannot be written ({error.strerror})") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise Locked(
            f"{unit.home}: another run is at work on {unit.label} ({holder}); "
            "wait for it or stop it"
        ) from None
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _open_partial(assessment: Assessment, force: bool) -> Path:
    """The folder to work in: left by an interrupted run, or seeded by what went before.

    A precious stage goes on from its damaged result or from a smaller budget's: it knows by itself
    which of its checkpoints are whole. Another stage gets those files of its damaged result that
    are as they were published, if only shards are damaged: they can be made one by one.
    """
    unit = assessment.unit
    partial = unit.home / f".partial-{assessment.key}"
    damaged = any(reason.startswith("its result was damaged") for reason in assessment.reasons)
    if force or damaged:
        shutil.rmtree(partial, ignore_errors=True)
    seed = assessment.folder if damaged and unit.stage.precious else None
    if not damaged and unit.budget is not None:
        smaller = [f for f in unit.home.glob(f"{assessment.key}-*") if read_record(f)]
        seed = max(smaller, key=lambda f: int(f.name.rpartition("-")[2]), default=None)
    if seed is not None and not force and not partial.exists():
        scratch = unit.home / f".seed-{assessment.key}"
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(seed, scratch)
        (scratch / "stage.json").unlink()
        os.rename(scratch, partial)
    elif damaged and not force:
        _link_intact(assessment.folder, partial)
    (partial / LOGS).mkdir(parents=True, exist_ok=True)
    return partial


def _only_shards(damaged: list[tuple[str, str]]) -> bool:
    lost = [Path(name).name for name, what in damaged if what != "was added"]
    return all(_SHARD.fullmatch(name) for name in lost)


def _link_intact(folder: Path, partial: Path) -> None:
    """Put the intact files of a damaged result into a new folder, without copying them."""
    record = read_record(folder)
    if record is None:
        return
    damaged = list(damage(folder, record, thorough=True))
    if not _only_shards(damaged):
        return  # what was made on the way to an intact shard would not be made again
    for name in sorted(record.outputs.keys() - dict(damaged).keys()):
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(folder / name, partial / name)
        except OSError:  # a file system without hard links
            shutil.copy2(folder / name, partial / name)


def _execute(
    recipe: Recipe, assessment: Assessment, partial: Path, lock: int, request: Request, say: Say
) -> None:
    """Run the unit's function in a child process, its output on the terminal and in a log."""
    unit = assessment.unit
    job = partial / LOGS / "job.json"
    paths = {**assessment.paths, unit.stage.output: partial}
    options = unit.options.model_dump(mode="json")
    job.write_text(
        json.dumps(
            {
                "stage": unit.stage.name,
                "paths": paths,
                "options": options,
                "backend": request.backend,
                "scheduler": request.scheduler,
            },
            default=str,
        )
    )
    log = partial / LOGS / "stage.log"
    code = _spawn(job, log, lock)
    if code == 0:
        return
    if code in _STOPPED:
        raise StageFailed(f"stage {unit.label} was stopped; the same command continues it", code)
    lines = log.read_text(errors="replace").splitlines()[-_TAIL:]
    say(f"--- last lines of {log}")
    for line in lines:
        say(line)
    raise StageFailed(
        f"stage {unit.label} failed. Log: {log}\nTo run it again: {reproduce(recipe, unit)}",
        code if code in (2, 75, 77) else 1,
    )


def reproduce(recipe: Recipe, unit: Unit) -> str:
    """The command that runs one unit again."""
    command = ["wavewright", "run", str(recipe.path), "--stage", unit.stage.name]
    command += ["--stop-stage", unit.stage.name]
    if unit.name:
        command += ["--vocoder", unit.name]
    for change in recipe.changes:
        command += ["--set", change]
    return shlex.join(command)


def _spawn(job: Path, log: Path, lock: int) -> int:
    """Start the worker in its own session, forward signals to it, and clean up after it."""
    terminal = "1" if on_terminal() else "0"
    roots = os.pathsep.join(filter(None, sys.path))
    child = subprocess.Popen(
        [sys.executable, "-m", "wavewright.worker", str(job)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=(lock,),
        env={**os.environ, "PYTHONPATH": roots, "WAVEWRIGHT_TERMINAL": terminal},
    )
    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
    before = {n: signal.signal(n, lambda number, _: child.send_signal(number)) for n in handled}
    try:
        assert child.stdout is not None
        with log.open("ab") as file:
            _tee(child.stdout, file)
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _kill_group(child.pid)
    return code if code >= 0 else 128 - code


def _tee(source: IO[bytes], log: IO[bytes]) -> None:
    """Pass output through to the terminal; the log gets lines without control codes."""
    terminal = sys.stderr.buffer
    line = b""
    while chunk := source.read1(65536):  # type: ignore[attr-defined]
        terminal.write(chunk)
        terminal.flush()
        line += chunk
        *complete, line = line.split(b"\n")
        for text in complete:
            shown = _CONTROL.sub(b"", text).rpartition(b"\r")[2].rstrip()
            if shown:
                log.write(shown + b"\n")
        log.flush()
    if line:
        log.write(_CONTROL.sub(b"", line) + b"\n")


def _kill_group(group: int) -> None:
    """Kill what a worker left running."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _publish(assessment: Assessment, partial: Path, seconds: float) -> Path:
    """Record what was made and give it its name by one rename."""
    unit = assessment.unit
    for leftover in [*partial.rglob(".*.partial")]:  # of an earlier attempt that was killed
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    outputs = scan(partial)
    if not outputs:
        raise StageFailed(f"stage {unit.label} ended well but wrote nothing", 1)
    write_record(
        partial,
        Record(
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
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            environment=environment(),
        ),
    )
    for path in partial.rglob("*"):
        sync(path)
    sync(partial)
    if assessment.folder.exists():  # --force or a damaged result: out of the way, then away
        replaced = unit.home / f".replaced-{assessment.folder.name}"
        shutil.rmtree(replaced, ignore_errors=True)
        os.rename(assessment.folder, replaced)
        os.rename(partial, assessment.folder)
        shutil.rmtree(replaced, ignore_errors=True)
    else:
        os.rename(partial, assessment.folder)
    _point_latest(unit, assessment.folder)
    sync(unit.home)
    return assessment.folder
