"""SIGKILL at random moments of a recipe's run, again and again, for some minutes.

    python -m tests.faults.fuzz --minutes 10

The recipe is `mini` with few sentences and steps. It runs twice undisturbed: files that those two
disagree in (they tell times) cannot be compared. Then it runs with kills. Each hits, at random,
the runner alone, the stage's process alone, one of its children, or everything at once; the same
command starts again at once. After each kill every published result is hashed; when the recipe is
finished, its files must be those of the undisturbed run, and it begins anew in an empty folder.
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

from wavewright.record import read_record, trouble

ROOT = Path(__file__).resolve().parents[2]
SENTENCES = 24
MINI = {
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
#: After this many kills within one stage it may finish, or no pass would ever end.
ENOUGH = 24


@dataclass
class Tally:
    """What happened."""

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: int = 0
    torn: list[str] = field(default_factory=list)
    passes: int = 0
    different: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """What must be empty."""
        return [*self.torn, *self.different, *self.unexpected]


@dataclass
class Recipe:
    """A recipe in a folder of its own, and the command that runs it."""

    file: Path
    options: dict[str, dict[str, int]]
    environment: dict[str, str]

    @property
    def results(self) -> Path:
        """Where its stages publish."""
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
        elif what := trouble(folder, record, thorough=True):
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


def kill(process: subprocess.Popen[bytes], victim: str, chance: random.Random) -> str:
    """End what was chosen, or everything where there is no such process yet."""
    below = descendants(process.pid)
    if victim == "child" and len(below) > 1:
        chosen = [chance.choice(below[1:])]
    elif victim == "stage" and below:
        chosen = below[:1]
    elif victim == "runner":
        chosen = [process.pid]
    else:
        victim, chosen = "everything", [process.pid, *below]
    for number in chosen:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    return victim


def one_start(
    recipe: Recipe, log: Path, took: dict[str, float], tally: Tally, so_far: Counter[str],
    chance: random.Random, *, calm: bool,
) -> int:  # fmt: skip
    """Run until the end or a kill; the exit code."""
    process = recipe.start(log)
    stage, since = "starting", time.monotonic()
    delay = chance.uniform(0, 1) if chance.random() < 0.1 else float("inf")
    while process.poll() is None:
        now = stage_in(log)
        if now and now != stage:
            stage, since = now, time.monotonic()
            # Skewed to early moments, or 150 kills would take half an hour.
            delay = 1.2 * took.get(stage, 5.0) * chance.random() ** 2
        if not calm and time.monotonic() - since > delay and so_far[stage] < ENOUGH:
            victim = kill(process, chance.choice(VICTIMS), chance)
            tally.kills[stage, victim] += 1
            so_far[stage] += 1
            delay = float("inf")
        time.sleep(0.01)
    return process.returncode


def fuzz(
    recipe: Recipe, minutes: float, work: Path, chance: random.Random, *, say: bool = True
) -> Tally:
    """Kill for so long, then let the last pass finish."""
    log = work / "run.log"
    first, took = undisturbed(recipe, log)
    second, _ = undisturbed(recipe, log)
    unequal = {name for name in first | second if first.get(name) != second.get(name)}
    if say:
        print(f"undisturbed: {sum(took.values()):.0f} s, {len(first)} files", flush=True)
        print(f"not compared, since two undisturbed runs differ: {sorted(unequal)}", flush=True)
    tally = Tally()
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        shutil.rmtree(recipe.results)
        one_pass(recipe, log, took, tally, chance, end)
        found = files_of(recipe)
        tally.different += [
            f"pass {tally.passes}: {name}"
            for name in sorted((first | found).keys() - unequal)
            if first.get(name) != found.get(name)
        ]
        tally.passes += 1
        if say:
            print(f"pass {tally.passes}: {tally.kills.total()} kills so far", flush=True)
    return tally


def one_pass(
    recipe: Recipe, log: Path, took: dict[str, float], tally: Tally, chance: random.Random,
    end: float,
) -> None:  # fmt: skip
    """From an empty folder to a finished recipe, through kills until `end`."""
    so_far: Counter[str] = Counter()
    while True:
        before = tally.kills.total()
        code = one_start(recipe, log, took, tally, so_far, chance, calm=time.monotonic() > end)
        tally.torn += [f"after kill {tally.kills.total()}: {what}" for what in torn(recipe)]
        killed = tally.kills.total() > before
        if code == 75:  # an orphan is still at work; at most for as long as its stage takes
            tally.refused += 1
            time.sleep(0.2)
        elif code == 0 and not killed:
            return
        elif code not in (0, -signal.SIGKILL) and not killed:
            tally.unexpected.append(f"exit {code}: {log.read_text(errors='replace')[-2000:]}")
            return
        if "Traceback" in log.read_text(errors="replace") and not killed:
            tally.unexpected.append(log.read_text(errors="replace")[-2000:])


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
        f"| stage | {' | '.join(VICTIMS)} | together |",
        f"|---|{'---:|' * (len(VICTIMS) + 1)}",
    ]
    for stage in stages:
        counts = [tally.kills[stage, victim] for victim in VICTIMS]
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
