"""Which trials a test has, and under which drawn names its sounds go."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import combinations

from wavewright.errors import WavewrightError
from wavewright.evaluation.listening.design import (
    ANCHOR,
    CHOICES,
    INSTRUCTIONS,
    NATURAL,
    QUESTIONS,
    Key,
    Kind,
    ListeningTest,
    Options,
    Sound,
    Trial,
)

TITLE = "Listening test"
_CHECKS = 10  # one check in this many trials, but at least two


class Names:
    """Draws names that say nothing, each only once."""

    def __init__(self, generator: random.Random) -> None:
        self._generator = generator
        self._drawn: set[str] = set()
        self.sounds: dict[str, Sound] = {}

    def draw(self) -> str:
        """Twelve hexadecimal digits, the first a letter: YAML takes 12e345678901 for a number."""
        name = ""
        while name in self._drawn or not name[:1].isalpha():
            name = f"{self._generator.getrandbits(48):012x}"
        self._drawn.add(name)
        return name

    def sound(self, system: str, utterance: str) -> str:
        """A new name for a sound; another one for every copy."""
        name = self.draw()
        self.sounds[name] = Sound(system=system, utterance=utterance)
        return name


def plan_test(
    kind: Kind,
    candidates: Sequence[str],
    utterances: Sequence[str],
    practice: str,
    options: Options,
) -> Key:
    """The trials of a test, its sounds still to be written.

    MOS rates every utterance of natural speech and of every candidate. AB compares every two
    candidates, or a single one with natural speech; ABX every candidate with natural speech. Two
    trials, or one in ten, are checks that play a recording in strong noise.

    Args:
        kind: mos, ab or abx.
        candidates: names of systems; natural speech is always there.
        utterances: ids.
        practice: id of the utterance for the trial that does not count.
        options: seed and words; the utterances are chosen already.

    Raises:
        WavewrightError: there is no candidate or no utterance.
    """
    if not candidates or not utterances:
        raise WavewrightError("a listening test needs at least one candidate and one utterance")
    generator = random.Random(options.seed)
    names = Names(generator)
    groups = {utterance: names.draw() for utterance in sorted({*utterances, practice})}
    compared = _compared(kind, candidates)
    asked = [
        _trial(names, kind, groups[u], _turned(systems, index + turn), u, index // 2 + turn)
        for turn, systems in enumerate(compared)
        for index, u in enumerate(generator.sample(utterances, len(utterances)))
    ]
    heard = generator.sample(utterances, min(len(utterances), max(2, len(asked) // _CHECKS)))
    obvious = (ANCHOR,) if kind == "mos" else (NATURAL, ANCHOR)
    checks = [
        _trial(names, kind, groups[u], _turned(obvious, index), u, index)
        for index, u in enumerate(heard)
    ]
    first = _trial(names, kind, groups[practice], compared[-1], practice, 0)
    test = ListeningTest(
        id="",
        kind=kind,
        title=options.title or TITLE,
        question=options.question or QUESTIONS[kind],
        instructions=INSTRUCTIONS[kind],
        choices=CHOICES[kind],
        volume=names.sound(NATURAL, practice),
        practice=first,
        trials=tuple(sorted((*asked, *checks), key=lambda trial: trial.id)),
    )
    return Key(
        test=test,
        seed=options.seed,
        systems=(NATURAL, *candidates),
        utterances=tuple(sorted(utterances)),
        checks=tuple(sorted(trial.id for trial in checks)),
        sounds=dict(sorted(names.sounds.items())),
    )


def _compared(kind: Kind, candidates: Sequence[str]) -> list[tuple[str, ...]]:
    if kind == "mos":
        return [(system,) for system in (NATURAL, *candidates)]
    if kind == "ab" and len(candidates) > 1:
        return list(combinations(candidates, 2))
    return [(NATURAL, candidate) for candidate in candidates]


def _turned(systems: tuple[str, ...], index: int) -> tuple[str, ...]:
    """Every second time in the other order, so that neither system is A more often."""
    return systems[:: -1 if index % 2 else 1]


def _trial(
    names: Names, kind: Kind, group: str, systems: Iterable[str], utterance: str, turn: int
) -> Trial:
    systems = tuple(systems)
    copies = _turned(systems, turn) if kind == "abx" else ()
    return Trial(
        id=names.draw(),
        group=group,
        stimuli=tuple(names.sound(system, utterance) for system in systems),
        references=tuple(names.sound(system, utterance) for system in copies),
    )
