"""Plan of a listening test: its trials, and random names for its sounds."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import combinations

from wavewright.errors import WavewrightError
from wavewright.evaluation.listening.design import (
    ANCHOR,
    ANSWER_OPTIONS,
    INSTRUCTIONS,
    NATURAL,
    QUESTIONS,
    ListeningKey,
    ListeningOptions,
    ListeningTest,
    Stimulus,
    TestKind,
    Trial,
)

TITLE = "Listening test"
_CHECKS = 10  # one check in this many trials, but at least two


class NameGenerator:
    """Generator of random names, each used once."""

    def __init__(self, generator: random.Random) -> None:
        self._generator = generator
        self._drawn: set[str] = set()
        self.sounds: dict[str, Stimulus] = {}

    def new_name(self) -> str:
        """Draw twelve hexadecimal digits, the first a letter, else YAML may read a number."""
        name = ""
        while name in self._drawn or not name[:1].isalpha():
            name = f"{self._generator.getrandbits(48):012x}"
        self._drawn.add(name)
        return name

    def new_stimulus(self, system: str, utterance: str) -> str:
        """Draw a name for a sound; every copy gets another one."""
        name = self.new_name()
        self.sounds[name] = Stimulus(system=system, utterance=utterance)
        return name


def plan_test(
    kind: TestKind,
    candidates: Sequence[str],
    utterances: Sequence[str],
    practice: str,
    options: ListeningOptions,
) -> ListeningKey:
    """Plan the trials of a test; its sounds are still to be written.

    MOS rates every utterance of natural speech and of every candidate. AB compares every two
    candidates, or a single one with natural speech; ABX every candidate with natural speech. Two
    trials, or one in ten, are checks that play a recording in strong noise.

    Args:
        kind: mos, ab or abx.
        candidates: names of systems; natural speech is always there.
        utterances: ids.
        practice: id of the utterance for the practice trial.
        options: seed and texts.

    Raises:
        WavewrightError: there is no candidate or no utterance.
    """
    if not candidates or not utterances:
        raise WavewrightError("a listening test needs at least one candidate and one utterance")
    generator = random.Random(options.seed)
    names = NameGenerator(generator)
    groups = {utterance: names.new_name() for utterance in sorted({*utterances, practice})}
    groups_of_systems = _systems_to_compare(kind, candidates)
    rated_trials = [
        _trial(names, kind, groups[u], _alternate(systems, index + turn), u, index // 2 + turn)
        for turn, systems in enumerate(groups_of_systems)
        for index, u in enumerate(generator.sample(utterances, len(utterances)))
    ]
    checked = generator.sample(
        utterances, min(len(utterances), max(2, len(rated_trials) // _CHECKS))
    )
    obvious = (ANCHOR,) if kind == "mos" else (NATURAL, ANCHOR)
    checks = [
        _trial(names, kind, groups[u], _alternate(obvious, index), u, index)
        for index, u in enumerate(checked)
    ]
    first = _trial(names, kind, groups[practice], groups_of_systems[-1], practice, 0)
    test = ListeningTest(
        id="",
        kind=kind,
        title=options.title or TITLE,
        question=options.question or QUESTIONS[kind],
        instructions=INSTRUCTIONS[kind],
        choices=ANSWER_OPTIONS[kind],
        volume=names.new_stimulus(NATURAL, practice),
        practice=first,
        trials=tuple(sorted((*rated_trials, *checks), key=lambda trial: trial.id)),
    )
    return ListeningKey(
        test=test,
        seed=options.seed,
        systems=(NATURAL, *candidates),
        utterances=tuple(sorted(utterances)),
        checks=tuple(sorted(trial.id for trial in checks)),
        sounds=dict(sorted(names.sounds.items())),
    )


def _systems_to_compare(kind: TestKind, candidates: Sequence[str]) -> list[tuple[str, ...]]:
    if kind == "mos":
        return [(system,) for system in (NATURAL, *candidates)]
    if kind == "ab" and len(candidates) > 1:
        return list(combinations(candidates, 2))
    return [(NATURAL, candidate) for candidate in candidates]


def _alternate(systems: tuple[str, ...], index: int) -> tuple[str, ...]:
    """Reverse every second trial, so that no system is A more often."""
    return systems[:: -1 if index % 2 else 1]


def _trial(
    names: NameGenerator,
    kind: TestKind,
    group: str,
    systems: Iterable[str],
    utterance: str,
    turn: int,
) -> Trial:
    systems = tuple(systems)
    copies = _alternate(systems, turn) if kind == "abx" else ()
    return Trial(
        id=names.new_name(),
        group=group,
        stimuli=tuple(names.new_stimulus(system, utterance) for system in systems),
        references=tuple(names.new_stimulus(system, utterance) for system in copies),
    )
