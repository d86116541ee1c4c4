"""Screening of listeners: inattentive ones are excluded, each with a reason."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wavewright.evaluation.listening.design import ANCHOR, NATURAL, ListeningKey, ListeningModel
from wavewright.evaluation.listening.sessions import (
    Answer,
    ListenerSession,
    played_stimuli,
    preferred_system,
    reference_system,
)

TOLERANCE = 0.25  # the share of checks that an attentive listener may fail
_ANCHOR_AT_MOST = 2  # "Poor"
_APART = 1.0  # points that natural speech must lie above the anchor, on average


class Excluded(ListeningModel):
    """Excluded listener and the reason."""

    listener: str
    reason: str


def screen_listeners(
    key: ListeningKey, sessions: Sequence[ListenerSession]
) -> tuple[list[ListenerSession], list[Excluded]]:
    """Split sessions into those to use and the excluded listeners.

    A listener is excluded who fails more than a quarter of the checks, has answered without
    hearing every sound, or (MOS) rates natural speech less than a point above strong noise.
    """
    used, excluded = [], []
    for session in sessions:
        reason = _unheard(session) or _inattentive(key, session) or _undiscerning(key, session)
        if reason:
            excluded.append(Excluded(listener=session.listener, reason=reason))
        else:
            used.append(session)
    return used, excluded


def _unheard(session: ListenerSession) -> str:
    number = sum(min(answer.plays) < 1 for answer in session.answers)
    return f"did not hear every sound to its end in {number} trials" if number else ""


def _inattentive(key: ListeningKey, session: ListenerSession) -> str:
    checks = [answer for answer in session.answers if answer.trial in key.checks]
    failed = sum(not _passed(key, answer) for answer in checks)
    if failed <= TOLERANCE * len(checks):
        return ""
    return f"failed {failed} of {len(checks)} attention checks"


def _passed(key: ListeningKey, answer: Answer) -> bool:
    if key.test.kind == "mos":
        return int(answer.answer) <= _ANCHOR_AT_MOST
    right = NATURAL if key.test.kind == "ab" else reference_system(answer, key)
    return preferred_system(answer, key) == right


def _undiscerning(key: ListeningKey, session: ListenerSession) -> str:
    if key.test.kind != "mos":
        return ""
    natural, anchor = (
        float(
            np.mean(
                [int(a.answer) for a in session.answers if played_stimuli(a, key)[0].system == name]
            )
        )
        for name in (NATURAL, ANCHOR)
    )
    if natural - anchor >= _APART:
        return ""
    return f"rated natural speech {natural:.2f} and speech in strong noise {anchor:.2f}"
