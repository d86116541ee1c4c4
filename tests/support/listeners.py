"""Made-up systems, and made-up listeners who answer by a rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.support.reports import RATE, speech
from wavewright.audio.files import save_wav
from wavewright.evaluation.listening.design import (
    ListeningKey,
    ListeningOptions,
    TestKind,
    Trial,
    read_key,
)
from wavewright.evaluation.listening.page import write_listening_test
from wavewright.evaluation.listening.sessions import Answer, ListenerSession

SYSTEMS = {"close-one": 0.003, "noisy-one": 0.03}
Judge = Callable[[ListeningKey, Trial, tuple[str, ...], str], str]


def write_systems(folder: Path, utterances: int = 3, seconds: float = 0.4) -> dict[str, Path]:
    """Folders of natural speech and two noisier systems, of different loudness and length."""
    rng = np.random.default_rng(0)
    loud = dict(zip(("natural", *SYSTEMS), (1.0, 0.3, 2.0), strict=True))
    for index in range(utterances):
        wav = speech(index, seconds + 0.02 * index)
        for number, (system, noise) in enumerate({"natural": 0.0, **SYSTEMS}.items()):
            noisy = wav + noise * rng.normal(size=len(wav))
            (folder / system).mkdir(parents=True, exist_ok=True)
            cut = noisy[: len(noisy) - 100 * number]
            save_wav(folder / system / f"utt-{index}.wav", loud[system] * cut, RATE)
    return {system: folder / system for system in loud}


def made_test(
    folder: Path, kind: TestKind, *, utterances: int = 3, seconds: float = 0.4, **words: str
) -> tuple[Path, ListeningKey]:
    """A test on the disk, of the systems that `write_systems` writes beside it, and its key."""
    folders = write_systems(folder / "systems", utterances + 1, seconds)
    natural = folders.pop("natural")
    options = ListeningOptions(utterances=utterances, seed=5, **words)
    write_listening_test(kind, natural, folders, folder / "test", options)
    return folder / "test", read_key(folder / "test" / "key.json")


def session(key: ListeningKey, listener: str, judge: Judge) -> ListenerSession:
    """The result of a listener who judges every trial so; every second one has A and B reversed."""
    reverse = sum(listener.encode()) % 2
    answers = []
    for trial in key.test.trials:
        shown = trial.stimuli[::-1] if reverse else trial.stimuli
        reference = trial.references[reverse] if trial.references else ""
        plays = (*shown, reference) if reference else shown
        answers.append(
            Answer(
                trial=trial.id,
                shown=shown,
                reference=reference,
                answer=judge(key, trial, shown, reference),
                seconds=3.0,
                plays=(1,) * len(plays),
            )
        )
    return ListenerSession(
        schema_version=1,
        test=key.test.id,
        listener=listener,
        started="2026-01-01T10:00:00.000Z",
        finished="2026-01-01T10:20:00.000Z",
        device="headphones",
        answers=tuple(answers),
    )


def systems_of(key: ListeningKey, names: tuple[str, ...]) -> list[str]:
    """Systems of the sounds."""
    return [key.sounds[name].system for name in names]


def attentive(key: ListeningKey, trial: Trial, shown: tuple[str, ...], reference: str) -> str:
    """Hears everything: natural speech is best, then the close system, then noise."""
    order = ("natural", *SYSTEMS, "anchor")
    systems = systems_of(key, shown)
    if key.test.kind == "mos":
        return {"natural": "5", "close-one": "4", "noisy-one": "3", "anchor": "1"}[systems[0]]
    if key.test.kind == "ab":
        return "AB"[systems.index(min(systems, key=order.index))]
    return "AB"[systems.index(key.sounds[reference].system)]
