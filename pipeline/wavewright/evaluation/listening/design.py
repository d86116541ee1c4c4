"""Schema of a listening test: listeners get a `ListeningTest`, the author keeps the `ListeningKey`.

Trials and sounds have random names, so that no file for listeners tells which system is which.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from wavewright.errors import WavewrightError

TestKind = Literal["mos", "ab", "abx"]
NATURAL = "natural"  # the recordings, which are also rated as hidden references
ANCHOR = "anchor"  # a recording in strong noise, which attentive listeners cannot mistake


class ListeningModel(BaseModel):
    """Frozen part of a listening test's files; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


ModelT = TypeVar("ModelT", bound=ListeningModel)


class AnswerOption(ListeningModel):
    """One of the possible answers to a question."""

    value: str
    label: str


ANSWER_OPTIONS: dict[TestKind, tuple[AnswerOption, ...]] = {
    # The five points of ITU-T P.800's absolute category rating.
    "mos": (
        AnswerOption(value="5", label="Excellent"),
        AnswerOption(value="4", label="Good"),
        AnswerOption(value="3", label="Fair"),
        AnswerOption(value="2", label="Poor"),
        AnswerOption(value="1", label="Bad"),
    ),
    "ab": (
        AnswerOption(value="A", label="A"),
        AnswerOption(value="none", label="No preference"),
        AnswerOption(value="B", label="B"),
    ),
    "abx": (AnswerOption(value="A", label="X is A"), AnswerOption(value="B", label="X is B")),
}
QUESTIONS: dict[TestKind, str] = {
    "mos": "How natural does this speech sound?",
    "ab": "Which of the two sounds more natural?",
    "abx": "Which of the two is the same as X?",
}
INSTRUCTIONS: dict[TestKind, str] = {
    "mos": "You will hear single recordings of speech, some real and some made by a computer. "
    "After each, say how natural it sounds on a scale of five. Judge the sound of the voice and "
    "not what is said.",
    "ab": "You will hear the same sentence twice, as A and as B. Say which of the two sounds more "
    "natural. If you cannot decide, say so. Judge the sound of the voice and not what is said.",
    "abx": "You will hear the same sentence three times, as A, as B and as X. X is the same as "
    "either A or B. Say which. If you are not sure, guess: a choice is needed.",
}


@dataclass(frozen=True)
class ListeningOptions:
    """Options of a new listening test.

    Attributes:
        utterances: most utterances, drawn by the seed.
        seed: seed of everything random; random by default, and recorded in the key.
        title, question: shown to listeners; empty for the defaults.
    """

    utterances: int = 20
    seed: int = field(default_factory=partial(secrets.randbits, 32))
    title: str = ""
    question: str = ""


class Trial(ListeningModel):
    """One question. In files for listeners the order of the names has no meaning.

    Attributes:
        id: random name.
        group: random name of the utterance; a page avoids playing it twice in a row.
        stimuli: sounds, one to rate or two to compare; half of the listeners get them reversed.
        references: for ABX, copies of the two stimuli under other names, one of which is X.
    """

    id: str
    group: str
    stimuli: tuple[str, ...] = Field(min_length=1, max_length=2)
    references: tuple[str, ...] = ()

    @property
    def sounds(self) -> tuple[str, ...]:
        """Names of all sounds that the trial may play."""
        return (*self.stimuli, *self.references)


class ListeningTest(ListeningModel):
    """Contents of a page, without systems, utterances or which trials are checks."""

    schema_version: Literal[1] = 1
    id: str = Field(description="digest of the whole test with its sounds, kept in every result")
    kind: TestKind
    title: str
    question: str
    instructions: str
    choices: tuple[AnswerOption, ...]
    volume: str = Field(description="the sound by which listeners set their volume")
    practice: Trial
    trials: tuple[Trial, ...]


class Stimulus(ListeningModel):
    """System and utterance behind the random name of a sound."""

    system: str
    utterance: str
    sha256: str = ""


class ListeningKey(ListeningModel):
    """`key.json`: a test and the meaning of its names. Listeners must not have it."""

    schema_version: Literal[1] = 1
    test: ListeningTest
    seed: int
    systems: tuple[str, ...] = Field(description="natural speech first, then the candidates")
    utterances: tuple[str, ...]
    checks: tuple[str, ...] = Field(description="trials that tell whether a listener attends")
    sounds: dict[str, Stimulus]
    sample_rate: int = 0
    level: float = Field(default=0.0, description="dBFS, RMS over active speech, of every sound")


def read_key(path: Path) -> ListeningKey:
    """Read the key of a test.

    Raises:
        WavewrightError: the file cannot be read, or it is not a key.
    """
    return read_json_model(
        path, ListeningKey, "the key.json that `wavewright listening-test` wrote"
    )


def read_json_model(path: Path, kind: type[ModelT], expected: str) -> ModelT:
    """Read a JSON file as a `kind`; `expected` names the file in error messages."""
    from pydantic import ValidationError

    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WavewrightError(f"{path}: not readable as text ({error})") from error
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        problem = f"{field}: {first['msg']}" if field else first["msg"]
        raise WavewrightError(f"{path}: not {expected} ({problem})") from error
