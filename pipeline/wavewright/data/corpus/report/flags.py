"""Flags of the manifest, explained."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

MEANINGS = {
    "antiphase": "its two channels are each other's opposite: their mean would be silence",
    "bad_alignment": "its TextGrid cannot be used; the utterance is used without it",
    "band_limited": "recorded at a lower rate than the corpus is prepared at: nothing above half "
    "of that rate is in it",
    "clipped": "more than one sample in a thousand is at full scale: the recording was too loud",
    "dead_channel": "one of its two channels is silent",
    "fast_text": "has far more text for its length than the others: words may be cut off, or the "
    "text is not what is said",
    "less_gain": "amplified less than the others, because its peak would have gone too high",
    "mostly_silence": "most of it is silence",
    "noisy": "its quietest moments are hardly quieter than its speech: noise, music, or no pause "
    "in it at all",
    "offset": "the mean of its samples is far from zero, as of a recorder with a fault",
    "over_full_scale": "a floating-point file with samples beyond full scale; they were scaled "
    "down, not cut off",
    "quiet": "its speech is very quiet as recorded; a gain that mends this lifts its noise too",
    "short": "very short: a word or less, with too little around it to tell speech from noise",
    "slow_text": "has far less text for its length than the others: something is said, or is "
    "silent, that the text does not have",
    "trailing_bytes": "bytes follow the samples in its file that no header speaks of; not read",
    "trimmed_by_energy": "has no TextGrid to trim it by, so loudness decided where speech begins "
    "and ends",
    "unknown_size": "its header does not say how long it is, as of a program that was stopped; "
    "read to the end of the file",
    "unknown_symbols": "its text has symbols that the acoustic models cannot read",
}
_CHANNELS = re.compile(r"(\d{1,4})_channels")
_SHOWN, _SHOWN_EXAMPLES = 40, 3


@dataclass(frozen=True)
class FlagCount:
    """Flag with its number of utterances and the first of them."""

    flag: str
    meaning: str
    count: int
    examples: list[str]


def split_flags(flags: str) -> list[str]:
    """Split a manifest row's flags."""
    return [flag for flag in flags.split(",") if flag]


def flag_meaning(flag: str) -> str:
    """Explanation of a flag, or an empty string."""
    channels = _CHANNELS.fullmatch(flag)
    if channels:
        return f"its file has {channels[1]} channels, of which one sound was made"
    return MEANINGS.get(flag, "")


def count_flags(rows: Iterable[tuple[str, str]]) -> list[FlagCount]:
    """Count the flags of (id, flags) pairs; the forty most frequent."""
    ids: dict[str, list[str]] = defaultdict(list)
    for name, flags in rows:
        for flag in split_flags(flags):
            ids[flag].append(name)
    order = sorted(ids.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        FlagCount(flag, flag_meaning(flag), len(names), names[:_SHOWN_EXAMPLES])
        for flag, names in order[:_SHOWN]
    ]
