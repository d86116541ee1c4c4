"""Which listeners attended: those who did not are left out, each with a reason."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wavewright.evaluation.listening.design import ANCHOR, NATURAL, Key, Record
from wavewright.evaluation.listening.sessions import Answer, Session, asked_for, heard, preferred

TOLERANCE = 0.25  # the share of checks that an attentive listener may fail
_ANCHOR_AT_MOST = 2  # "Poor"
_APART = 1.0  # points that natural speech must lie above the anchor, on average


class Excluded(Record):
    """A listener whose answers are not used."""

    listener: str
    reason: str


def screen(key: Key, sessions: Sequence[Session]) -> tuple[list[Session], list[Excluded]]:
    """Sessions to use, and listeners to leave out.

    A listener is left out who fails more than a quarter of the checks, has answered without
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


def _unheard(session: Session) -> str:
    number = sum(min(answer.plays) < 1 for answer in session.answers)
    return f"did not hear every sound to its end in {number} trials" if number else ""


def _inattentive(key: Key, session: Session) -> str:
    checks = [answer for answer in session.answers if answer.trial in key.checks]
    failed = sum(not _passed(key, answer) for answer in checks)
    if failed <= TOLERANCE * len(checks):
        return ""
    return f"failed {failed} of {len(checks)} attention checks"


def _passed(key: Key, answer: Answer) -> bool:
    if key.test.kind == "mos":
        return int(answer.answer) <= _ANCHOR_AT_MOST
    right = NATURAL if key.test.kind == "ab" else asked_for(answer, key)
    return preferred(answer, key) == right


def _undiscerning(key: Key, session: Session) -> str:
    if key.test.kind != "mos":
        return ""
    natural, anchor = (
        float(np.mean([int(a.answer) for a in session.answers if heard(a, key)[0].system == name]))
        for name in (NATURAL, ANCHOR)
    )
    if natural - anchor >= _APART:
        return ""
    return f"rated natural speech {natural:.2f} and speech in strong noise {anchor:.2f}"
