"""Reading aloud so that it can be relied on: sentence by sentence, and again where attention fails.

An attentive acoustic model now and then skips words, loses its place, or does not find the end. All
three show in the alignment; another draw of the prenet's dropout usually reads the sentence well.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wavewright.acoustic.model import AcousticModel, Speech, utterance_seed
from wavewright.errors import WavewrightError
from wavewright.text import shorten

TRIES = 4
_END = re.compile(r"(?<=[.!?;:])[\"'\u201d\u2019)\]]*\s+")
_ABBREVIATED = re.compile(r"\b(?:mr|mrs|ms|dr|st|prof|vs|etc|[a-z])\.$", re.IGNORECASE)
log = logging.getLogger("wavewright")


@dataclass(frozen=True)
class Said:
    """One sentence, as well as it could be said.

    Attributes:
        text: the sentence.
        speech: mel and alignment of the best try.
        tries: how many it took.
        problem: what is still wrong with it; empty if nothing is.
    """

    text: str
    speech: Speech
    tries: int
    problem: str


def problem(speech: Speech) -> str:
    """What the alignment says went wrong; empty if nothing did."""
    return speech.scores.doubt if speech.stopped else "did not find the end and was cut off"


def say(
    model: AcousticModel,
    text: str,
    *,
    seed: int,
    tries: int = TRIES,
    max_seconds: float | None = None,
    speaker: str = "",
) -> Said:
    """Say one text freely; where attention fails, again with other noise.

    Args:
        model: in eval mode.
        text: ordinary text.
        seed: of the first try; the others' seeds follow from it.
        tries: at most so many. The first that goes well is taken, or else the best.
        max_seconds: see `AcousticModel.speak`.
        speaker: see `AcousticModel.speak`.

    Raises:
        WavewrightError: the text is empty, or has symbols that the model does not know, or
            a speaker is not known.
    """
    numbers = model.encode_text(text)
    best: tuple[tuple[bool, float], Speech] | None = None
    for attempt in range(1, tries + 1):
        own = seed if attempt == 1 else utterance_seed(seed, f"try {attempt}")
        speech = model.speak(numbers, seed=own, max_seconds=max_seconds, speaker=speaker)
        if not problem(speech):
            return Said(text, speech, attempt, "")
        merit = (speech.stopped, speech.scores.coverage * speech.scores.order)
        if best is None or merit > best[0]:
            best = merit, speech
    if best is None:
        raise WavewrightError(
            f"cannot say {shorten(text)} in {tries} tries: at least one is needed"
        )
    found = problem(best[1])
    log.warning("%s: the acoustic model %s, in each of %d tries", shorten(text), found, tries)
    return Said(text, best[1], tries, found)


def read(
    model: AcousticModel, text: str, *, seed: int, tries: int = TRIES, speaker: str = ""
) -> Iterator[Said]:
    """Say a text of any length, sentence by sentence, as each is ready."""
    for number, sentence in enumerate(sentences(text)):
        own = seed if number == 0 else utterance_seed(seed, f"sentence {number}")
        yield say(model, sentence, seed=own, tries=tries, speaker=speaker)


def sentences(text: str) -> Sequence[str]:
    """A text in pieces that end with `.`, `!`, `?`, `;` or `:`; no words are lost.

    Abbreviated titles and initials end no sentence. A text without words is one piece.
    """
    pieces: list[str] = []
    for piece in _END.split(" ".join(text.split())):
        if pieces and (_ABBREVIATED.search(pieces[-1]) or not re.search(r"\w", piece)):
            pieces[-1] = f"{pieces[-1]} {piece}".strip()
        else:
            pieces.append(piece)
    return [piece for piece in pieces if piece] or [text]
