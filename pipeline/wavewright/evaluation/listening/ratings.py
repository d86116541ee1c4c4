"""From listeners' answers to numbers: means, shares, their intervals and tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np

from wavewright.errors import WavewrightError
from wavewright.evaluation.listening.design import ANCHOR, NATURAL, Key, Record, read_key
from wavewright.evaluation.listening.ratings_statistics import (
    Answers,
    Interval,
    binomial_greater,
    clustered_mean,
)
from wavewright.evaluation.listening.results import (
    Discrimination,
    Estimate,
    PairDifference,
    Preference,
    Ratings,
    SystemRating,
)
from wavewright.evaluation.listening.screening import screen
from wavewright.evaluation.listening.sessions import (
    Answer,
    Session,
    asked_for,
    heard,
    preferred,
    read_sessions,
)
from wavewright.evaluation.statistics import holm, sign_flip
from wavewright.io.files import write_text


def import_ratings(folder: Path, key: Path, out: Path) -> Ratings:
    """Read results of listeners, write `ratings.json` and `ratings.md` into `out`.

    Raises:
        WavewrightError: the key or a result is not usable, or nobody is left after screening.
    """
    from wavewright.evaluation.listening.ratings_table import ratings_markdown

    known = read_key(key)
    ratings = rate(known, read_sessions(folder, known))
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "ratings.json", ratings.model_dump_json(indent=1) + "\n")
    write_text(out / "ratings.md", ratings_markdown(ratings))
    return ratings


def rate(key: Key, sessions: Sequence[Session]) -> Ratings:
    """What these sessions say, after screening.

    Raises:
        WavewrightError: screening leaves nobody.
    """
    used, excluded = screen(key, sessions)
    if not used:
        reasons = "; ".join(f"{one.listener} {one.reason}" for one in excluded)
        raise WavewrightError(f"no listener is left after screening: {reasons}")
    devices = [session.device for session in used]
    find = {"mos": _scores, "ab": _preferences, "abx": _discriminations}[key.test.kind]
    ratings = Ratings(
        test=key.test.id,
        kind=key.test.kind,
        title=key.test.title,
        question=key.test.question,
        listeners=tuple(session.listener for session in used),
        excluded=tuple(excluded),
        devices={name: devices.count(name) for name in sorted(set(devices))},
        utterances=len(key.utterances),
        median_seconds=float(np.median([a.seconds for s in used for a in s.answers])),
    )
    return ratings.model_copy(update=find(key, used))


def _scores(key: Key, used: Sequence[Session]) -> dict[str, tuple[Record, ...]]:
    rated = {
        system: _table(key, used, {system}, lambda answer: float(answer.answer))
        for system in key.systems
    }
    scores = [
        SystemRating(system=system, score=_estimate(clustered_mean(answers)))
        for system, answers in rated.items()
    ]
    gaps = {(a, b): rated[a] - rated[b] for a, b in combinations(key.systems, 2)}
    chances = [sign_flip(gap.mean(axis=1)) for gap in gaps.values()]
    differences = [
        PairDifference(a=a, b=b, difference=_estimate(clustered_mean(gap)), p=p, p_holm=corrected)
        for ((a, b), gap), p, corrected in zip(gaps.items(), chances, holm(chances), strict=True)
    ]
    return {"scores": tuple(scores), "differences": tuple(differences)}


def _preferences(key: Key, used: Sequence[Session]) -> dict[str, tuple[Record, ...]]:
    pairs = [(a, b) for a, b in combinations(key.systems, 2) if _are_compared(key, a, b)]

    def points(answer: Answer, a: str) -> float:
        chosen = preferred(answer, key)
        return float(chosen == a) if chosen else 0.5

    tables = [_table(key, used, {a, b}, partial(points, a=a)) for a, b in pairs]
    chances = [sign_flip(table.mean(axis=1) - 0.5) for table in tables]
    rows = [
        Preference(
            a=a,
            b=b,
            for_a=int((table == 1).sum()),
            neither=int((table == 0.5).sum()),
            for_b=int((table == 0).sum()),
            share=_estimate(clustered_mean(table)),
            p=p,
            p_holm=corrected,
        )
        for (a, b), table, p, corrected in zip(pairs, tables, chances, holm(chances), strict=True)
    ]
    return {"preferences": tuple(rows)}


def _discriminations(key: Key, used: Sequence[Session]) -> dict[str, tuple[Record, ...]]:
    systems = [system for system in key.systems if system != NATURAL]
    tables = [
        _table(
            key,
            used,
            {NATURAL, system},
            lambda answer: float(preferred(answer, key) == asked_for(answer, key)),
        )
        for system in systems
    ]
    chances = [sign_flip(table.mean(axis=1) - 0.5, "greater") for table in tables]
    rows = [
        Discrimination(
            system=system,
            right=int(table.sum()),
            answers=table.size,
            share=_estimate(clustered_mean(table)),
            p_binomial=binomial_greater(int(table.sum()), table.size),
            p=p,
            p_holm=corrected,
        )
        for system, table, p, corrected in zip(systems, tables, chances, holm(chances), strict=True)
    ]
    return {"discriminations": tuple(rows)}


def _are_compared(key: Key, a: str, b: str) -> bool:
    played = ({key.sounds[name].system for name in t.stimuli} for t in key.test.trials)
    return {a, b} in played


def _table(
    key: Key, used: Sequence[Session], systems: set[str], points: Callable[[Answer], float]
) -> Answers:
    """(listeners, utterances): points of the answers to trials that play just these systems."""
    places = {utterance: index for index, utterance in enumerate(key.utterances)}
    table = np.full((len(used), len(places)), np.nan)
    for row, session in enumerate(used):
        for answer in session.answers:
            sounds = heard(answer, key)
            if {sound.system for sound in sounds} == systems and ANCHOR not in systems:
                table[row, places[sounds[0].utterance]] = points(answer)
    return table


def _estimate(interval: Interval) -> Estimate:
    return Estimate(mean=interval.mean, low=interval.low, high=interval.high)
