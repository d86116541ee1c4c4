"""Run a recipe: every unit that is not up to date, in order, each in its own process."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wavewright.errors import StageFailed, Stale, WavewrightError, os_errors_as_user_errors
from wavewright.runner.child import StageLog, run_worker
from wavewright.runner.plan import Assessment, Plan, Unit
from wavewright.runner.record import LOG_FOLDER, UNREADABLE, find_damage, read_record
from wavewright.runner.store import (
    can_resume,
    lock_unit,
    only_shards,
    open_lock,
    open_partial,
    point_latest,
    publish,
)

_STOP_CODES = {128 + number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)}
PrintLine = Callable[[str], None]


@dataclass(frozen=True)
class RunRequest:
    """Options of one run; stages by number or name."""

    stage: str | None = None
    stop_stage: str | None = None
    dry_run: bool = False
    explain: bool = False
    force: bool = False
    allow_stale: bool = False
    backend: str = "loky"
    scheduler: str = ""


def run(plan: Plan, request: RunRequest, print_line: PrintLine) -> Path | None:
    """Bring the requested stages up to date.

    Args:
        plan: plan of a recipe.
        request: stages and options.
        print_line: prints a line to the user.

    Returns:
        The last stage's result, if it was brought up to date.

    Raises:
        Stale: a stage before the first one is needed and not up to date.
        StageFailed: with the failing log's tail and how to run that unit again.
    """
    first = plan.stage_number(request.stage, 0)
    last = plan.stage_number(request.stop_stage, len(plan.stages) - 1)
    if last < first:
        raise WavewrightError(f"--stop-stage {last} comes before --stage {first}")
    plan.stale_before = first if request.allow_stale else 0
    plan.refresh()
    if request.dry_run or request.explain:
        print_overview(plan, first, last, request, print_line)
        missing = _missing_earlier(plan, first, last)
        if missing:
            print_line(
                f"A run would stop before stage {first} with exit code {Stale.exit_code}: {missing}"
            )
        return None
    if missing := _missing_earlier(plan, first, last):
        raise Stale(missing)
    running = print_overview(plan, first, last, request, print_line)
    for unit in running:  # what cannot be written fails before any work
        os.close(open_lock(unit))
    result = None
    for unit in plan.units:
        if first <= unit.number <= last:
            result = _bring_up_to_date(plan, unit, request, print_line)
    return result


def print_overview(
    plan: Plan, first: int, last: int, request: RunRequest, print_line: PrintLine
) -> list[Unit]:
    """Print of every unit whether it will run, and why.

    With `dry_run` or `explain` the units before `first` and after `last` are printed too.

    Returns:
        The units that will run, in order.
    """
    whole = request.dry_run or request.explain
    needed = plan.needed_by(first, last)
    pending: dict[str, str] = {}
    running = []
    for unit in plan.units:
        if not first <= unit.number <= last:
            if whole:
                print_line(_outside(plan, unit, first, needed))
            continue
        assessment = plan.assess(unit, pending)
        will_run = assessment.state == "run" or request.force
        if will_run:
            pending[unit.stage.output] = unit.label
            running.append(unit)
        state = "will run  " if will_run else "up to date"
        reasons = assessment.reasons or (["--force"] if will_run else [])
        if will_run and not request.force and can_resume(assessment):
            reasons = ["resumes an interrupted run", *reasons]
        if request.explain and will_run:  # what changed in itself, besides what comes first
            reasons = list(dict.fromkeys([*reasons, *plan.own_changes(unit)]))
        brief = reasons if request.explain else reasons[:2]
        more = f" (and {len(reasons) - len(brief)} more)" if len(reasons) > len(brief) else ""
        print_line(f"{unit.label:<24} {state}  {'; '.join(brief)}{more}".rstrip())
    return running


def _outside(plan: Plan, unit: Unit, first: int, needed: set[str]) -> str:
    """Line of the plan for a unit that was not asked for."""
    if unit.number > first:
        return f"{unit.label:<24} left out    it comes after --stop-stage"
    if plan.published(unit) is not None:
        return f"{unit.label:<24} up to date"
    use = "needs it" if unit.stage.name in needed else "reads none of it"
    reasons = plan.assess(unit).reasons[:2]
    return f"{unit.label:<24} to do       {'; '.join([*reasons, f'stage {first} {use}'])}"


def print_status(plan: Plan, print_line: PrintLine) -> None:
    """Print the state of each unit, with the folder of its result if up to date."""
    for unit in plan.units:
        assessment = plan.assess(unit)
        where = assessment.folder if assessment.state == "done" else ""
        state = "up to date" if assessment.state == "done" else "to do     "
        print_line(f"{unit.label:<24} {state}  {where} {'; '.join(assessment.reasons)}".rstrip())


def verify_results(plan: Plan, print_line: PrintLine) -> bool:
    """Hash every current result again; returns True if all are intact."""
    intact = True
    for unit in plan.units:
        folder = unit.latest
        record = read_record(folder)
        if record is None:
            lost = folder.is_dir()
            print_line(f"{unit.label:<24} {UNREADABLE if lost else 'no result'}")
            intact &= not lost
            continue
        damaged = list(find_damage(folder, record, thorough=True))
        print_line(f"{unit.label:<24} {_describe_damage(damaged, unit) if damaged else 'intact'}")
        for name, what in damaged:
            if what == "was changed":
                os.utime(folder / name)  # so that the next run looks at the contents too
        intact &= not damaged
    return intact


def _describe_damage(damaged: list[tuple[str, str]], unit: Unit) -> str:
    """Describe a result's damage and what the next run will do about it."""
    listing = "; ".join(f"{name} {what}" for name, what in damaged[:5])
    more = f" (and {len(damaged) - 5} more files)" if len(damaged) > 5 else ""
    if unit.stage.precious:
        then = "the next run continues from what is intact"
    elif only_shards(damaged):
        then = "the next run keeps what is whole and makes only the damaged shards again"
    else:
        then = "the next run makes it again"
    return f"{listing}{more}; {then}"


def _missing_earlier(plan: Plan, first: int, last: int) -> str:
    """Say which earlier stage must run first, and what to type; empty if none must."""
    needed = plan.needed_by(first, last)
    for unit in plan.units:
        if unit.stage.name not in needed or unit.number >= first:
            continue
        if plan.published(unit) is None:
            assessment = plan.assess(unit)
            accept = ", or accept what is there with --allow-stale" if unit.latest.is_dir() else ""
            return (
                f"stage {unit.label} is not up to date ({'; '.join(assessment.reasons[:3])}) and "
                f"stage {first} needs it: start with --stage {unit.number}{accept}"
            )
    return ""


def _bring_up_to_date(plan: Plan, unit: Unit, request: RunRequest, print_line: PrintLine) -> Path:
    assessment = plan.assess(unit)
    if assessment.state == "done" and not request.force:
        return _reuse(assessment, print_line)
    with lock_unit(unit) as lock, os_errors_as_user_errors(unit.home):
        plan.refresh()  # another runner may just have made it
        assessment = plan.assess(unit)
        if assessment.state == "done" and not request.force:
            return _reuse(assessment, print_line)
        print_line(f"[{unit.label}] {unit.stage.summary}")
        started = time.monotonic()
        partial = open_partial(assessment, request.force)
        _execute(plan, assessment, partial, lock, request, print_line)
        folder = publish(plan.recipe.work_dir, assessment, partial, time.monotonic() - started)
        plan.refresh()
        print_line(f"[{unit.label}] done in {time.monotonic() - started:.0f} s: {folder}")
        return folder


def _reuse(assessment: Assessment, print_line: PrintLine) -> Path:
    for remark in assessment.reasons:
        print_line(f"[{assessment.unit.label}] {remark}")
    point_latest(assessment.unit, assessment.folder)
    return assessment.folder


def _execute(
    plan: Plan,
    assessment: Assessment,
    partial: Path,
    lock: int,
    request: RunRequest,
    print_line: PrintLine,
) -> None:
    """Run the unit's function in a child process, its output on the terminal and in a log."""
    unit = assessment.unit
    job = partial / LOG_FOLDER / "job.json"
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
    log = StageLog(partial / LOG_FOLDER / "stage.log")
    code = run_worker(job, log, lock)
    if code == 0:
        return
    if code in _STOP_CODES:
        raise StageFailed(f"stage {unit.label} was stopped; the same command continues it", code)
    print_line(f"--- last lines of {log.path}")
    for line in log.tail:
        print_line(line)
    again = rerun_command(plan, unit, request, force=assessment.state == "done")
    raise StageFailed(
        f"stage {unit.label} failed. Log: {log.path}\nTo run it again: {again}",
        code if code in (2, 75, 77) else 1,
    )


def rerun_command(plan: Plan, unit: Unit, request: RunRequest, *, force: bool = False) -> str:
    """Shell command that runs one unit again, exactly as it ran.

    Args:
        plan: plan of the unit's recipe.
        unit: the unit.
        request: options of the run.
        force: the unit ran although it was up to date.
    """
    command = [*_this_command(), "run", str(plan.recipe.path)]
    command += ["--stage", unit.stage.name, "--stop-stage", unit.stage.name]
    for name in [unit.name] if unit.name else plan.vocoders:
        command += ["--vocoder", name]
    for change in plan.recipe.changes:
        command += ["--set", change]
    for name, value in plan.forced.items():
        command += [f"--{name}", str(value)]
    if request.backend != "loky":
        command += ["--backend", request.backend]
    if request.scheduler:
        command += ["--scheduler", request.scheduler]
    command += ["--allow-stale"] * request.allow_stale + ["--force"] * force
    # Paths of --set start from the folder that the user is in.
    here = f"cd {shlex.quote(os.getcwd())} && " if plan.recipe.changes else ""
    return here + shlex.join(command)


def _this_command() -> list[str]:
    """Command by which this program was called."""
    script = Path(sys.argv[0])
    if script.name != "wavewright" or not script.is_file():
        return [sys.executable, "-m", "wavewright"]
    installed = shutil.which("wavewright")
    return ["wavewright" if installed and script.samefile(installed) else str(script.absolute())]
