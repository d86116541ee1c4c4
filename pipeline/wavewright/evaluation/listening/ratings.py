"""Ratings from listeners' answers: means, shares, intervals and tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np

from wavewright.errors import WavewrightError
from wavewright.evaluation.listening.design import (
    ANCHOR,
    NATURAL,
    ListeningKey,
    ListeningModel,
    read_key,
)
from wavewright.evaluation.listening.ratings_statistics import (
    Answers,
    binomial_greater,
    clustered_mean,
)
from wavewright.evaluation.listening.results import (
    Discrimination,
    PairDifference,
    Preference,
    Ratings,
    SystemRating,
)
from wavewright.evaluation.listening.screening import screen_listeners
from wavewright.evaluation.listening.sessions import (
    Answer,
    ListenerSession,
    played_stimuli,
    preferred_system,
    read_sessions,
    reference_system,
)
from wavewright.evaluation.statistics import holm, sign_flip
from wavewright.io.files import write_text


def import_ratings(folder: Path, key: Path, out: Path) -> Ratings:
    """Read the answers of listeners; write `ratings.json` and `ratings.md` into `out`.

    Raises:
        WavewrightError: the key or a result is not usable, or screening excludes everybody.
    """
    from wavewright.evaluation.listening.ratings_table import ratings_markdown

    listening_key = read_key(key)
    ratings = compute_ratings(listening_key, read_sessions(folder, listening_key))
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "ratings.json", ratings.model_dump_json(indent=1) + "\n")
    write_text(out / "ratings.md", ratings_markdown(ratings))
    return ratings


def compute_ratings(key: ListeningKey, sessions: Sequence[ListenerSession]) -> Ratings:
    """Screen sessions and compute the ratings.

    Raises:
        WavewrightError: screening excludes everybody.
    """
    used, excluded = screen_listeners(key, sessions)
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


def _scores(
    key: ListeningKey, used: Sequence[ListenerSession]
) -> dict[str, tuple[ListeningModel, ...]]:
    tables = {
        system: _table(key, used, {system}, lambda answer: float(answer.answer))
        for system in key.systems
    }
    scores = [
        SystemRating(system=system, score=clustered_mean(answers))
        for system, answers in tables.items()
    ]
    gaps = {(a, b): tables[a] - tables[b] for a, b in combinations(key.systems, 2)}
    chances = [sign_flip(gap.mean(axis=1)) for gap in gaps.values()]
    differences = [
        PairDifference(a=a, b=b, difference=clustered_mean(gap), p=p, p_holm=p_holm)
        for ((a, b), gap), p, p_holm in zip(gaps.items(), chances, holm(chances), strict=True)
    ]
    return {"scores": tuple(scores), "differences": tuple(differences)}


def _preferences(
    key: ListeningKey, used: Sequence[ListenerSession]
) -> dict[str, tuple[ListeningModel, ...]]:
    pairs = [(a, b) for a, b in combinations(key.systems, 2) if _are_compared(key, a, b)]

    def points(answer: Answer, a: str) -> float:
        choice = preferred_system(answer, key)
        return float(choice == a) if choice else 0.5

    tables = [_table(key, used, {a, b}, partial(points, a=a)) for a, b in pairs]
    chances = [sign_flip(table.mean(axis=1) - 0.5) for table in tables]
    rows = [
        Preference(
            a=a,
            b=b,
            for_a=int((table == 1).sum()),
            neither=int((table == 0.5).sum()),
            for_b=int((table == 0).sum()),
            share=clustered_mean(table),
            p=p,
            p_holm=p_holm,
        )
        for (a, b), table, p, p_holm in zip(pairs, tables, chances, holm(chances), strict=True)
    ]
    return {"preferences": tuple(rows)}


def _discriminations(
    key: ListeningKey, used: Sequence[ListenerSession]
) -> dict[str, tuple[ListeningModel, ...]]:
    systems = [system for system in key.systems if system != NATURAL]
    tables = [
        _table(
            key,
            used,
            {NATURAL, system},
            lambda answer: float(preferred_system(answer, key) == reference_system(answer, key)),
        )
        for system in systems
    ]
    chances = [sign_flip(table.mean(axis=1) - 0.5, "greater") for table in tables]
    rows = [
        Discrimination(
            system=system,
            right=int(table.sum()),
            answers=table.size,
            share=clustered_mean(table),
            p_binomial=binomial_greater(int(table.sum()), table.size),
            p=p,
            p_holm=p_holm,
        )
        for system, table, p, p_holm in zip(systems, tables, chances, holm(chances), strict=True)
    ]
    return {"discriminations": tuple(rows)}


def _are_compared(key: ListeningKey, a: str, b: str) -> bool:
    played_systems = ({key.sounds[name].system for name in t.stimuli} for t in key.test.trials)
    return {a, b} in played_systems


def _table(
    key: ListeningKey,
    used: Sequence[ListenerSession],
    systems: set[str],
    points: Callable[[Answer], float],
) -> Answers:
    """Points of the answers to trials of exactly these systems, (listeners, utterances)."""
    places = {utterance: index for index, utterance in enumerate(key.utterances)}
    table = np.full((len(used), len(places)), np.nan)
    for row, session in enumerate(used):
        for answer in session.answers:
            sounds = played_stimuli(answer, key)
            if {sound.system for sound in sounds} == systems and ANCHOR not in systems:
                table[row, places[sounds[0].utterance]] = points(answer)
    return table
