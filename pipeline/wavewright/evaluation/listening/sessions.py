"""Answer files of listeners, read and checked against the test."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from wavewright.errors import WavewrightError
from wavewright.evaluation.listening.design import (
    ListeningKey,
    ListeningModel,
    Stimulus,
    Trial,
    read_json_model,
)


class Answer(ListeningModel):
    """Answer to one trial; `plays` counts complete plays of `shown` and then `reference`."""

    trial: str
    shown: tuple[str, ...]
    reference: str
    answer: str
    seconds: float = Field(ge=0)
    plays: tuple[int, ...]


class ListenerSession(ListeningModel):
    """Answers of one listener, in the order of the questions."""

    schema_version: Literal[1]
    test: str
    listener: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    started: str
    finished: str
    device: str
    answers: tuple[Answer, ...]


def read_sessions(folder: Path, key: ListeningKey) -> list[ListenerSession]:
    """Read every .json file of a folder, ordered by listener.

    Raises:
        WavewrightError: there are none, one of them is broken, belongs to another test or does
            not answer every trial, or two are from one listener. Nothing is left out silently.
    """
    if not folder.is_dir():
        raise WavewrightError(f"{folder}: no such folder of results")
    sessions: dict[str, tuple[Path, ListenerSession]] = {}
    for path in sorted(folder.glob("*.json")):
        session = read_json_model(path, ListenerSession, "a result that a listening test saved")
        _check(path, session, key)
        if session.listener in sessions:
            raise WavewrightError(
                f"{path}: listener '{session.listener}' has sent {sessions[session.listener][0]} "
                "already; keep one of the two"
            )
        sessions[session.listener] = path, session
    if not sessions:
        raise WavewrightError(f"{folder}: holds no .json files")
    return [session for _, (_, session) in sorted(sessions.items())]


def _check(path: Path, session: ListenerSession, key: ListeningKey) -> None:
    if session.test != key.test.id:
        raise WavewrightError(
            f"{path}: answers test '{session.test}', but the key is of test '{key.test.id}'"
        )
    trials = {trial.id: trial for trial in key.test.trials}
    answered = [answer.trial for answer in session.answers]
    if sorted(answered) != sorted(trials):
        raise WavewrightError(
            f"{path}: answers {len(set(answered) & set(trials))} of the test's {len(trials)} "
            f"trials, {len(answered)} answers in all; each must be answered once"
        )
    allowed = [choice.value for choice in key.test.choices]
    for answer in session.answers:
        if answer.answer not in allowed:
            raise WavewrightError(
                f"{path}: trial {answer.trial}: answer '{answer.answer}'; allowed: "
                f"{', '.join(allowed)}"
            )
        if not _belongs(answer, trials[answer.trial]):
            raise WavewrightError(
                f"{path}: trial {answer.trial}: the sounds heard are not those of the trial"
            )


def _belongs(answer: Answer, trial: Trial) -> bool:
    references = trial.references or ("",)
    plays = len(answer.shown) + bool(answer.reference)
    return (
        sorted(answer.shown) == sorted(trial.stimuli)
        and answer.reference in references
        and len(answer.plays) == plays
    )


def played_stimuli(answer: Answer, key: ListeningKey) -> list[Stimulus]:
    """Stimuli of an answer, in the order in which they were shown."""
    return [key.sounds[name] for name in answer.shown]


def preferred_system(answer: Answer, key: ListeningKey) -> str:
    """System that an answer of AB or ABX prefers; empty for none."""
    return (
        played_stimuli(answer, key)["AB".index(answer.answer)].system
        if answer.answer != "none"
        else ""
    )


def reference_system(answer: Answer, key: ListeningKey) -> str:
    """System that was X, in ABX."""
    return key.sounds[answer.reference].system
