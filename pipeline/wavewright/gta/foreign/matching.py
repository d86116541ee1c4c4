"""Matching of external mels to utterances, by the full relative id.

A bare name that could belong to two utterances matches neither.
"""

from __future__ import annotations

from collections.abc import Collection as Ids
from collections.abc import Sequence
from pathlib import Path

from wavewright.errors import WavewrightError
from wavewright.gta.foreign.collection import ExternalMel, join_id


def match_utterances(
    mels: Sequence[ExternalMel], ids: Ids[str], source: Path
) -> dict[str, ExternalMel]:
    """Map utterance ids to their mels.

    A mel belongs to the utterance whose id is its own, or is the end of it from a folder on: of
    `mels/anna/u1`, that is `mels-anna-u1`, `anna-u1` or `u1`, whichever is the longest that
    exists. An id longer than the mel's does not match it.

    Args:
        mels: external mels.
        ids: ids of all usable utterances.
        source: folder or manifest, for messages.

    Raises:
        WavewrightError: two mels belong to one utterance, one could belong to two, or none
            belongs to any.
    """
    ids = set(ids)
    matched: dict[str, ExternalMel] = {}
    unmatched = []
    for mel in mels:
        tails = (join_id(mel.parts[start:]) for start in range(len(mel.parts)))
        utterance = next((tail for tail in tails if tail in ids), None)
        if utterance is None:
            unmatched.append(mel)
        elif utterance in matched:
            raise WavewrightError(
                f"{source}: two mels match the utterance '{utterance}': "
                f"{matched[utterance].location} ('{matched[utterance].id}') and {mel.location} "
                f"('{mel.id}')"
            )
        else:
            matched[utterance] = mel
    _require_unambiguous(unmatched, ids, matched, source)
    if not matched:
        raise WavewrightError(
            f"{source}: none of its {len(mels)} mels matches an utterance; the first is "
            f"'{mels[0].id if mels else ''}', the first utterance is '{min(ids, default='')}'"
        )
    return matched


def _require_unambiguous(
    unmatched: Sequence[ExternalMel], ids: Ids[str], matched: Ids[str], source: Path
) -> None:
    """Raise if a mel's name is the end of several ids, at least one of which has no mel."""
    owners: dict[str, list[str]] = {mel.id: [] for mel in unmatched}
    for utterance in sorted(ids) if owners else ():
        parts = utterance.split("-")
        for start in range(1, len(parts)):
            tail = "-".join(parts[start:])
            if tail in owners:
                owners[tail].append(utterance)
    for mel in unmatched:
        if len(owners[mel.id]) > 1 and not all(owner in matched for owner in owners[mel.id]):
            first, second = owners[mel.id][:2]
            raise WavewrightError(
                f"{source}: {mel.location} could be of '{first}' or of '{second}'; ids are matched "
                "in full, so the mels must lie in folders, or have names, that tell them apart"
            )
