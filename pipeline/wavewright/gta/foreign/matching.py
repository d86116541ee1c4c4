"""Whose mel is it: by the full relative id, never by a bare name that could be two's."""

from __future__ import annotations

from collections.abc import Collection as Ids
from collections.abc import Sequence
from pathlib import Path

from wavewright.errors import WavewrightError
from wavewright.gta.foreign.collection import Found, spelt


def match(found: Sequence[Found], ids: Ids[str], source: Path) -> dict[str, Found]:
    """The mel of each utterance that has one.

    A mel belongs to the utterance whose id is its own, or is the end of it from a folder on: of
    `mels/anna/u1`, that is `mels-anna-u1`, `anna-u1` or `u1`, the longest that there is. An id
    that says more than the mel does not match it.

    Args:
        found: the mels.
        ids: of all usable utterances.
        source: for messages.

    Raises:
        WavewrightError: two mels belong to one utterance, one could belong to two, or none
            belongs to any.
    """
    ids = set(ids)
    matched: dict[str, Found] = {}
    strangers = []
    for mel in found:
        tails = (spelt(mel.parts[start:]) for start in range(len(mel.parts)))
        utterance = next((tail for tail in tails if tail in ids), None)
        if utterance is None:
            strangers.append(mel)
        elif utterance in matched:
            raise WavewrightError(
                f"{source}: two mels match the utterance '{utterance}': "
                f"{matched[utterance].where} ('{matched[utterance].id}') and {mel.where} "
                f"('{mel.id}')"
            )
        else:
            matched[utterance] = mel
    _require_plain(strangers, ids, matched, source)
    if not matched:
        raise WavewrightError(
            f"{source}: none of its {len(found)} mels matches an utterance; the first is "
            f"'{found[0].id if found else ''}', the first utterance is '{min(ids, default='')}'"
        )
    return matched


def _require_plain(
    strangers: Sequence[Found], ids: Ids[str], matched: Ids[str], source: Path
) -> None:
    """Refuse a mel whose name is the end of several ids, of which one has no mel yet."""
    owners: dict[str, list[str]] = {mel.id: [] for mel in strangers}
    for utterance in sorted(ids) if owners else ():
        parts = utterance.split("-")
        for start in range(1, len(parts)):
            tail = "-".join(parts[start:])
            if tail in owners:
                owners[tail].append(utterance)
    for mel in strangers:
        if len(owners[mel.id]) > 1 and not all(owner in matched for owner in owners[mel.id]):
            first, second = owners[mel.id][:2]
            raise WavewrightError(
                f"{source}: {mel.where} could be of '{first}' or of '{second}'; ids are matched "
                "in full, so the mels must lie in folders, or have names, that tell them apart"
            )
