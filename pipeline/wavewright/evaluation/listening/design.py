"""What a listening test asks. Listeners get a `ListeningTest`; the `Key` stays with whoever asks.

Trials and sounds have drawn names, so that nothing a listener can open says which system spoke.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from wavewright.errors import WavewrightError

Kind = Literal["mos", "ab", "abx"]
Role = Literal["rating", "check", "practice"]
NATURAL = "natural"  # the recordings, whose copies are also asked for without saying so
ANCHOR = "anchor"  # a recording in strong noise, which attentive listeners cannot mistake


class Record(BaseModel):
    """A frozen part of a file with a documented schema."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Read = TypeVar("Read", bound=Record)


class Choice(Record):
    """One of the answers to a question."""

    value: str
    label: str


CHOICES: dict[Kind, tuple[Choice, ...]] = {
    # The five points of ITU-T P.800's absolute category rating.
    "mos": (
        Choice(value="5", label="Excellent"),
        Choice(value="4", label="Good"),
        Choice(value="3", label="Fair"),
        Choice(value="2", label="Poor"),
        Choice(value="1", label="Bad"),
    ),
    "ab": (
        Choice(value="A", label="A"),
        Choice(value="none", label="No preference"),
        Choice(value="B", label="B"),
    ),
    "abx": (Choice(value="A", label="X is A"), Choice(value="B", label="X is B")),
}
QUESTIONS: dict[Kind, str] = {
    "mos": "How natural does this speech sound?",
    "ab": "Which of the two sounds more natural?",
    "abx": "Which of the two is the same as X?",
}
INSTRUCTIONS: dict[Kind, str] = {
    "mos": "You will hear single recordings of speech, some real and some made by a computer. "
    "After each, say how natural it sounds on a scale of five. Judge the sound of the voice and "
    "not what is said.",
    "ab": "You will hear the same sentence twice, as A and as B. Say which of the two sounds more "
    "natural. If you cannot decide, say so. Judge the sound of the voice and not what is said.",
    "abx": "You will hear the same sentence three times, as A, as B and as X. X is the same as "
    "either A or B. Say which. If you are not sure, guess: a choice is needed.",
}


@dataclass(frozen=True)
class Options:
    """What somebody who makes a test may choose.

    Attributes:
        utterances: at most so many, drawn by the seed.
        seed: of everything that is drawn; without one it is drawn too, and the key records it.
        title, question: shown to listeners; empty for the usual ones.
    """

    utterances: int = 20
    seed: int = field(default_factory=partial(secrets.randbits, 32))
    title: str = ""
    question: str = ""


class Trial(Record):
    """One question. In files for listeners the order of the names carries nothing.

    Attributes:
        id: drawn name.
        group: drawn name of the utterance; a page avoids asking for it twice in a row.
        stimuli: sounds, one to rate or two to compare; half of the listeners get them reversed.
        references: for ABX, copies of the two stimuli under other names, one of which is X.
    """

    id: str
    group: str
    stimuli: tuple[str, ...] = Field(min_length=1, max_length=2)
    references: tuple[str, ...] = ()

    @property
    def sounds(self) -> tuple[str, ...]:
        """Every sound that the trial may play."""
        return (*self.stimuli, *self.references)


class ListeningTest(Record):
    """All that a page shows; says nothing about systems, utterances or which trials are checks."""

    schema_version: Literal[1] = 1
    id: str = Field(description="digest of the whole test with its sounds, kept in every result")
    kind: Kind
    title: str
    question: str
    instructions: str
    choices: tuple[Choice, ...]
    volume: str = Field(description="the sound by which listeners set their volume")
    practice: Trial
    trials: tuple[Trial, ...]


class Sound(Record):
    """What a drawn name stands for."""

    system: str
    utterance: str
    sha256: str = ""


class Key(Record):
    """`key.json`: a test and what its names stand for. Listeners must not have it."""

    schema_version: Literal[1] = 1
    test: ListeningTest
    seed: int
    systems: tuple[str, ...] = Field(description="natural speech first, then the candidates")
    utterances: tuple[str, ...]
    checks: tuple[str, ...] = Field(description="trials that tell whether a listener attends")
    sounds: dict[str, Sound]
    sample_rate: int = 0
    level: float = Field(default=0.0, description="dBFS, RMS over active speech, of every sound")


def read_key(path: Path) -> Key:
    """The key of a test.

    Raises:
        WavewrightError: there is no such file, or it is no key.
    """
    return read_record(path, Key, "the key.json that `wavewright listening-test` wrote")


def read_record(path: Path, kind: type[Read], expected: str) -> Read:
    """A record from a JSON file; what it should have been goes into the error's sentence."""
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
