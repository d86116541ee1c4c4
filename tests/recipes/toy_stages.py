"""Small stages, made visible to the runner by an entry point, that count how often they ran."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.stage import Budget, In, InMany, InMaybe, Out, Unkeyed, stage

if TYPE_CHECKING:
    from wavewright.data.shards import Array


def _count(name: str) -> None:
    with Path(os.environ["TOY_COUNTS"]).open("a") as file:
        file.write(name + "\n")


@stage(version=1)
def source(text: Out, *, words: str, source: Path | None = None) -> None:
    """Write the words down."""
    _count("source")
    extra = source.read_text() if source else ""
    (text / "words.txt").write_text(words + extra)


@stage(version=1)
def shout(
    text: In, loud: Out, *, mel: MelSpec, mark: str = "!", jobs: Unkeyed[int] = 1, fail: str = ""
) -> None:
    """Say it louder."""
    _count("shout")
    print(os.environ.get("TOY_SAYS", ""), flush=True)
    if os.environ.get("TOY_BROKEN"):
        raise RuntimeError("something is broken")
    if fail == "user":
        raise WavewrightError("words.txt: field 'words' is too quiet; shout")
    if fail == "crash":
        raise RuntimeError("out of breath")
    half = loud / ".words.txt.partial"
    if fail == "kill" or (fail == "kill once" and not half.exists()):
        half.write_text("H")
        os.kill(os.getpid(), signal.SIGKILL)
    (loud / "words.txt").write_text((text / "words.txt").read_text().upper() + mark)
    (loud / "logs" / "noise.txt").write_text(str(time.time_ns()))


def _needs(options: Any) -> set[str]:
    return {"text", "loud"} if options.listen else {"text"}


@stage(version=1, precious=True, foreach="vocoders", uses=_needs)
def learn(
    text: In,
    loud: InMaybe,
    skill: Out,
    *,
    name: str,
    seed: int,
    max_steps: Budget[int],
    listen: bool = True,
    rate: float = 0.5,
    pause: Unkeyed[float] = 0.0,
) -> None:
    """Count steps, continuing where an earlier run stood."""
    _count(f"learn {name}")
    assert (loud is not None) == listen
    if rate < 0:
        raise WavewrightError("rate is below 0")
    heard = (loud / "words.txt").read_text() if loud else ""
    (skill / "notes.txt").write_text(f"{rate} {seed} {heard}")
    steps = skill / "steps.txt"
    done = len(steps.read_text()) if steps.exists() else 0
    while done < max_steps:
        time.sleep(pause)
        done += 1
        steps.write_text("." * done)


@stage(version=1, precious=True)
def drill(
    troop: Out,
    *,
    max_steps: Budget[int] = 3,
    fault: Unkeyed[str] = "",
    pause: Unkeyed[float] = 0.0,
    gpus: Unkeyed[int] = 1,
    nodes: Unkeyed[int] = 1,
    rendezvous: Unkeyed[str] = "",
    max_restarts: Unkeyed[int | None] = None,
) -> None:
    """March in step with others, of whom the last goes wrong once."""
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    _count(f"drill {rank} of {size}")
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda number, _: stopped.append(number))
    done = len(list(troop.glob("step-*")))
    for step in range(done + 1, max_steps + 1):
        time.sleep(pause)
        if rank == size - 1 and step == 2 and fault == "tired":
            raise WavewrightError("field 'pace' is 9; at most 3 can be marched")
        if rank == size - 1 and step == 2 and fault == "shot":
            mark = troop / "logs" / "shot.txt"
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        while rank == 0 and size > 1 and step > 1 and not (troop / "logs" / f"{step}").exists():
            time.sleep(0.01)  # as a sum over all of them would wait
            if stopped:
                raise SystemExit(130 if stopped[0] == signal.SIGINT else 143)
        if rank == 0:
            (troop / f"step-{step}").write_text("")
        (troop / "logs" / f"{step}").touch()
        if stopped:
            raise SystemExit(130 if stopped[0] == signal.SIGINT else 143)


@stage(version=1)
def judge(skill: InMany, verdict: Out, *, strict: bool = False) -> None:
    """List what was learnt."""
    _count("judge")
    if strict and len(skill) < 2:
        raise WavewrightError(f"{len(skill)} is too few to judge")
    lines = [f"{name} {len((path / 'steps.txt').read_text())}" for name, path in skill.items()]
    (verdict / "verdict.txt").write_text("\n".join(lines))


@stage(version=1)
def tones(
    tones: Out, *, level: Path, count: int = 12, pause: Unkeyed[float] = 0.0, jobs: Unkeyed[int] = 1
) -> None:
    """Write shards of three tones each, as loud as a file says."""
    from wavewright.data.shards import write_shards

    ids = {f"tone{number:02d}": number for number in range(count)}
    load = partial(_tone, level=level, pause=pause)
    write_shards(tones / "audio", ids, load, mel=None, sample_rate=8000, jobs=jobs, shard_size=3)


def _tone(utterance: str, number: int, level: Path, pause: float) -> Array:
    import numpy as np

    _count(utterance)
    if os.environ.get("TOY_HUNGRY") == utterance:
        np.ones(10**12)
    time.sleep(pause)
    # The environment is what a stage must not depend on: tests change it behind the runner's back.
    loudness = float(level.read_text()) * float(os.environ.get("TOY_GAIN", "1"))
    wave = np.sin(2 * np.pi * (200 + 20 * number) * np.arange(800) / 8000)
    return (32767 * loudness * wave).astype(np.int16)
