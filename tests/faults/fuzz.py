"""SIGKILL at random moments of a recipe's run, again and again, for some minutes.

    python -m tests.faults.fuzz --minutes 10

The recipe is `mini` with few sentences and steps. It runs twice undisturbed: files that those two
disagree in (they tell times) cannot be compared. Then it runs with kills. Each hits, at random,
the runner alone, the stage's process alone, one of its children, or everything at once; the same
command starts again at once. A start that an orphan keeps out is counted, and the orphan mostly
killed too. After each kill every published result is hashed; when the recipe is finished, its files
must be those of the undisturbed run, and it begins anew in an empty folder.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from wavewright.runner.record import first_damage, read_record

ROOT = Path(__file__).resolve().parents[2]
SENTENCES = 24
MINI: dict[str, dict[str, float]] = {
    "prepare": {"dev": 2, "test": 2},
    "acoustic": {
        "max_steps": 6,
        "batch_size": 4,
        "checkpoint_every": 1,
        "validation_utterances": 2,
        "spoken_utterances": 1,
    },
    "train": {
        "max_steps": 6,
        "gta_start": 3,
        "adversary_start": 3,
        "batch_size": 2,
        "checkpoint_every": 1,
        "validation_utterances": 2,
    },
}
VICTIMS = ("everything", "runner", "stage", "child")
COUNTED = (*VICTIMS, "orphan")
#: After this many kills within one stage it may finish, or no pass would ever end.
ENOUGH = 24


@dataclass
class Tally:
    """Counts of what happened."""

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: int = 0
    torn: list[str] = field(default_factory=list)
    passes: int = 0
    different: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """Faults found; must be empty."""
        return [*self.torn, *self.different, *self.unexpected]


@dataclass
class Recipe:
    """A recipe in a folder of its own, and the command that runs it."""

    file: Path
    options: dict[str, dict[str, float]]
    environment: dict[str, str]

    @property
    def results(self) -> Path:
        """Folder of the published results."""
        return self.file.parent / "exp"

    def start(self, log: Path) -> subprocess.Popen[bytes]:
        """Run it in a session of its own; what it says goes to `log`."""
        command = [sys.executable, "-m", "wavewright", "run", str(self.file)]
        for stage, options in self.options.items():
            for name, value in options.items():
                command += ["--set", f"{stage}.{name}={value}"]
        with log.open("wb") as file:
            return subprocess.Popen(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self.environment,
                start_new_session=True,
            )


def undisturbed(recipe: Recipe, log: Path) -> tuple[dict[str, str], dict[str, float]]:
    """sha256 of every file that a run from nothing makes, and what each stage takes in seconds."""
    shutil.rmtree(recipe.results, ignore_errors=True)
    process = recipe.start(log)
    starts: dict[str, float] = {}
    while process.poll() is None:
        if stage := stage_in(log):
            starts.setdefault(stage, time.monotonic())
        time.sleep(0.01)
    if process.returncode != 0:
        raise SystemExit(f"the undisturbed run failed:\n{log.read_text()}")
    ends = [*starts.values(), time.monotonic()][1:]
    took = {stage: end - start for (stage, start), end in zip(starts.items(), ends, strict=True)}
    return files_of(recipe), took


def files_of(recipe: Recipe) -> dict[str, str]:
    """sha256 by `NN_stage/file` of the results in use, as their records have it."""
    found: dict[str, str] = {}
    for link in sorted(recipe.results.rglob("latest")):
        if record := read_record(link.resolve()):
            home = link.parent.relative_to(recipe.results).as_posix()
            found |= {f"{home}/{name}": file.sha256 for name, file in record.outputs.items()}
    return found


def torn(recipe: Recipe) -> Iterator[str]:
    """Published results that are not what their record says, or hold something half-written."""
    for folder in published(recipe.results):
        name = folder.relative_to(recipe.results).as_posix()
        record = read_record(folder)
        if record is None:
            yield f"{name} has no record"
        elif what := first_damage(folder, record, thorough=True):
            yield f"{name}: {what}"
        for leftover in folder.rglob("*.partial*"):
            yield f"{name}: {leftover.name} was left in it"


def published(results: Path) -> list[Path]:
    """Folders with a final name, KEY or KEY-BUDGET."""
    return [
        path
        for path in results.rglob("*")
        if re.fullmatch(r"[0-9a-f]{12}(-\d+)?", path.name)
        and path.is_dir()
        and not any(part.startswith(".") for part in path.relative_to(results).parts)
    ]


def stage_in(log: Path) -> str | None:
    """The stage that the runner said it began last."""
    said = re.findall(r"^\[(\d+ [^\]]+)\] (?!done in)", log.read_text(errors="replace"), re.M)
    return said[-1] if said else None


def descendants(ancestor: int) -> list[int]:
    """Processes that a process started, and those that they started, oldest first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            after_name = entry.read_text().rpartition(")")[2].split()
            if after_name[0] != "Z":
                children.setdefault(int(after_name[1]), []).append(int(entry.parent.name))
    found, waiting = [], [ancestor]
    while waiting:
        now = sorted(children.get(waiting.pop(0), []))
        found += now
        waiting += now
    return found


def end(processes: list[int]) -> int:
    """Kill those that are still there; how many that were."""
    ended = 0
    for number in processes:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
            ended += 1
    return ended


class Fuzzer:
    """Kills runs of a recipe.

    Args:
        recipe: to run.
        log: where the runs write.
        took: seconds that each stage takes undisturbed.
        chance: decides when and whom.
    """

    def __init__(
        self, recipe: Recipe, log: Path, took: dict[str, float], chance: random.Random
    ) -> None:
        self.recipe, self.log, self.took, self.chance = recipe, log, took, chance
        self.tally = Tally()
        self.in_this_pass: Counter[str] = Counter()
        self.stage = self.orphaned = "starting"
        self.orphans: list[int] = []

    def one_pass(self, end: float) -> None:
        """Run from an empty folder to a finished recipe, with kills until `end`."""
        shutil.rmtree(self.recipe.results)
        self.in_this_pass.clear()
        while True:
            before = self.tally.kills.total()
            code = self._one_start(calm=time.monotonic() > end)
            killed = self.tally.kills.total() - before
            self.tally.torn += [
                f"after kill {before + killed}: {what}" for what in torn(self.recipe)
            ]
            said = self.log.read_text(errors="replace")
            if code == 75:
                self.tally.refused += 1
                self._after_a_refusal()
            elif killed:
                continue
            elif code != 0 or "Traceback" in said:
                self.tally.unexpected.append(f"exit {code}: {said[-2000:]}")
                return
            else:
                return

    def _one_start(self, *, calm: bool) -> int:
        """Run until the end or a kill; the exit code."""
        process = self.recipe.start(self.log)
        self.stage, since = "starting", time.monotonic()
        delay = self.chance.uniform(0, 1) if self.chance.random() < 0.1 else float("inf")
        while process.poll() is None:
            now = stage_in(self.log)
            if now and now != self.stage:
                self.stage, since = now, time.monotonic()
                # Mostly early, or 150 kills would take half an hour.
                delay = 1.2 * self.took.get(now, 5.0) * self.chance.random() ** 3
            due = time.monotonic() - since > delay
            if due and not calm and self.in_this_pass[self.stage] < ENOUGH:
                self._kill(process)
                delay = float("inf")
            time.sleep(0.01)
        return process.returncode

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        """End what chance says, or everything where there is no such process yet."""
        victim, below = self.chance.choice(VICTIMS), descendants(process.pid)
        if victim == "child" and len(below) > 1:
            end([self.chance.choice(below[1:])])
        elif victim == "stage" and below:
            end(below[:1])
        elif victim == "runner":
            end([process.pid])
            self.orphans, self.orphaned = below, self.stage
        else:
            victim = "everything"
            end([process.pid, *below])
        self._count(victim)

    def _after_a_refusal(self) -> None:
        if self.chance.random() < 0.7 and end(self.orphans):
            self.stage = self.orphaned
            self._count("orphan")
        time.sleep(0.2)

    def _count(self, victim: str) -> None:
        self.tally.kills[self.stage, victim] += 1
        self.in_this_pass[self.stage] += 1


def fuzz(recipe: Recipe, minutes: float, work: Path, chance: random.Random) -> Tally:
    """Kill for so long, then let the last pass finish."""
    log = work / "run.log"
    first, took = undisturbed(recipe, log)
    second, _ = undisturbed(recipe, log)
    unequal = {name for name in first | second if first.get(name) != second.get(name)}
    print(f"undisturbed: {sum(took.values()):.0f} s, {len(first)} files", flush=True)
    print(f"not compared, since two undisturbed runs differ: {sorted(unequal)}", flush=True)
    fuzzer = Fuzzer(recipe, log, took, chance)
    tally = fuzzer.tally
    until = time.monotonic() + 60 * minutes
    while time.monotonic() < until:
        fuzzer.one_pass(until)
        tally.passes += 1
        found = files_of(recipe)
        tally.different += [
            f"pass {tally.passes}: {name}"
            for name in sorted((first | found).keys() - unequal)
            if first.get(name) != found.get(name)
        ]
        print(f"pass {tally.passes}: {tally.kills.total()} kills so far", flush=True)
    return tally


def mini(work: Path) -> Recipe:
    """The shipped recipe, smaller, in a folder of its own."""
    folder = work / "mini"
    shutil.copytree(ROOT / "recipes" / "mini", folder, ignore=shutil.ignore_patterns("exp"))
    lines = (folder / "sentences.txt").read_text().splitlines(keepends=True)
    (folder / "sentences.txt").write_text("".join(lines[:SENTENCES]))
    roots = os.pathsep.join(str(ROOT / name) for name in ("pipeline", "stages"))
    return Recipe(folder / "recipe.yaml", MINI, {**os.environ, "PYTHONPATH": roots})


def table(tally: Tally) -> str:
    """Kills by stage and victim."""
    stages = sorted({stage for stage, _ in tally.kills})
    lines = [
        f"| stage | {' | '.join(COUNTED)} | together |",
        f"|---|{'---:|' * (len(COUNTED) + 1)}",
    ]
    for stage in stages:
        counts = [tally.kills[stage, victim] for victim in COUNTED]
        lines.append(f"| {stage} | {' | '.join(map(str, [*counts, sum(counts)]))} |")
    return "\n".join(lines)


def main() -> int:
    """Print what happened; 1 if anything was torn or different."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="wavewright-fuzz-"))
    tally = fuzz(mini(work), arguments.minutes, work, random.Random(arguments.seed))
    print(table(tally))
    print(
        f"{tally.kills.total()} kills, {tally.passes} times to the end; {tally.refused} starts "
        f"refused because an orphan was still at work; {len(tally.torn)} torn results, "
        f"{len(tally.different)} files other than undisturbed"
    )
    for fault in tally.faults:
        print(fault)
    if tally.faults:
        print(f"left for a look: {work}")
        return 1
    shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
