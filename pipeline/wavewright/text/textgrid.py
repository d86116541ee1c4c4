"""TextGrids: where words and phones lie in an utterance.

Reading and writing is done by `tgt` (GPL-3.0), which is imported here only, inside functions. Both
of Praat's text forms are read, long and short, in UTF-8 or UTF-16. Times are seconds.
"""

from __future__ import annotations

import codecs
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wavewright.errors import MissingExtra, WavewrightError
from wavewright.io.files import write_text

SILENCES = frozenset({"", "sil", "sp", "<sil>", "<eps>", "pau", "_"})
"""Labels that mean silence to the Montreal Forced Aligner, PocketSphinx, Festival or espeak-ng."""

_LARGEST = 16 * 2**20  # bytes; an hour of phones is about 4 MiB
_TOLERANCE = 0.05  # seconds; aligners round the end of the audio up to their frame step
_TIER_SIZE = re.compile(
    r"(?:intervals|points): size = (\d+)"  # the long form
    r'|"(?:IntervalTier|TextTier)"\s+"(?:[^"]|"")*"\s+\S+\s+\S+\s+(\d+)'  # the short form
)
_ARPABET = re.compile(
    "AA|AE|AH|AO|AW|AX|AXR|AY|B|CH|D|DH|DX|EH|EL|EM|EN|ER|EY|F|G|HH|H|IH|IX|IY|JH|K|L|M|N|NG|NX|"
    "OW|OY|P|Q|R|S|SH|T|TH|UH|UW|UX|V|W|WH|Y|Z|ZH".replace("|", "[012]?|")
    + "[012]?",
    re.IGNORECASE,
)
_IPA = re.compile(r"[A-Z]?[a-z@{}&?_:~'\"%=,.<>^0-9]{0,5}")  # SAMPA, espeak-ng, plain letters
log = logging.getLogger("wavewright")


@dataclass(frozen=True)
class Interval:
    """`label` lasts from `start` to `end`, in seconds."""

    start: float
    end: float
    label: str


@dataclass(frozen=True)
class Alignment:
    """What is said when, from 0 to `duration` seconds, without gaps.

    `words` is empty where the TextGrid has no such tier; silence has a label of `SILENCES`.
    """

    words: tuple[Interval, ...]
    phones: tuple[Interval, ...]
    duration: float


def read_alignment(
    path: str | Path,
    duration: float | None = None,
    *,
    phones: str = "phones",
    words: str = "words",
) -> Alignment:
    """Read the tiers `words` (optional) and `phones` of a TextGrid.

    Args:
        path: the TextGrid.
        duration: seconds of the audio; intervals that end up to 0.05 s later are cut to it.
        phones, words: names of the tiers.

    Raises:
        WavewrightError: not a TextGrid, cut off, declared counts that differ from what is there,
            no `phones`, times that are negative, not finite, overlapping or beyond the audio.
        MissingExtra: the extra `alignments` is not installed.
    """
    alignment, odd = read_checked(path, duration, phones=phones, words=words)
    if odd:
        log.warning("%s: %s", path, odd)
    return alignment


def read_checked(
    path: str | Path,
    duration: float | None = None,
    *,
    phones: str = "phones",
    words: str = "words",
) -> tuple[Alignment, str]:
    """The same, with what is odd in words (gaps, intervals of no length, unknown phones)."""
    path = Path(path)
    grid = _read_grid(path)
    end = float(grid.end_time) if duration is None else duration
    word_tier, phone_tier = _tier(grid, words, path), _tier(grid, phones, path)
    if phone_tier is None:
        found = ", ".join(f"'{name}'" for name in grid.get_tier_names()) or "none"
        raise WavewrightError(f"{path}: no tier '{phones}' (tiers found: {found})")
    spoken, odd = _checked(phone_tier, end, f"{path}: tier '{phones}'")
    said, more = _checked(word_tier, end, f"{path}: tier '{words}'") if word_tier else ((), [])
    odd += more + _unknown_phones(spoken)
    return Alignment(words=said, phones=spoken, duration=end), "; ".join(odd)


def _unknown_phones(phones: Sequence[Interval]) -> list[str]:
    """Labels that no phone set has: more than letters, digits and the marks of IPA and stress."""
    odd = sorted({p.label for p in phones if p.label not in SILENCES and not _is_phone(p.label)})
    return [f"unknown phones {', '.join(odd[:10])}"] if odd else []


def _is_phone(label: str) -> bool:
    if _ARPABET.fullmatch(label) or " " in label:  # a phrase stands for more than one phone
        return True
    return not label.isascii() or label in ("spn", "SPN", "noise") or bool(_IPA.fullmatch(label))


def write_alignment(path: str | Path, alignment: Alignment) -> None:
    """Write tiers `words` and `phones` in Praat's long form, times to the microsecond.

    The file appears whole or not at all.
    """
    tgt = _tgt()
    grid = tgt.TextGrid()
    for name, intervals in (("words", alignment.words), ("phones", alignment.phones)):
        tier = tgt.IntervalTier(0.0, round(alignment.duration, 6), name)
        for item in intervals:
            tier.add_annotation(tgt.Interval(round(item.start, 6), round(item.end, 6), item.label))
        grid.add_tier(tier)
    path = Path(path)
    write_text(path, tgt.io.export_to_long_textgrid(grid) + "\n")


def speech_bounds(alignment: Alignment, margin: float = 0.0) -> tuple[float, float]:
    """Seconds where speech starts and ends, `margin` seconds wider, within the audio.

    Raises:
        WavewrightError: every phone is silence.
    """
    spoken = [phone for phone in alignment.phones if phone.label not in SILENCES]
    if not spoken:
        raise WavewrightError("the alignment has no phone that is not silence")
    start, end = spoken[0].start - margin, spoken[-1].end + margin
    return max(0.0, start), min(alignment.duration, end)


def cut_alignment(alignment: Alignment, start: float, end: float) -> Alignment:
    """The alignment of the audio between two times, counted from the first one."""

    def cut(intervals: Sequence[Interval]) -> tuple[Interval, ...]:
        return tuple(
            Interval(max(item.start, start) - start, min(item.end, end) - start, item.label)
            for item in intervals
            if item.start < end and item.end > start
        )

    return Alignment(cut(alignment.words), cut(alignment.phones), end - start)


def _tgt() -> Any:
    try:
        import tgt
    except ImportError as error:
        raise MissingExtra(
            "TextGrids are read by tgt, which is not installed: "
            "pip install 'wavewright[alignments]'"
        ) from error
    return tgt


def _read_grid(path: Path) -> Any:
    tgt = _tgt()
    try:
        if path.stat().st_size > _LARGEST:
            raise WavewrightError(f"{path}: larger than {_LARGEST} bytes, not a TextGrid of speech")
        data = path.read_bytes()
    except OSError as error:
        raise WavewrightError(f"{path}: not readable ({error.strerror})") from error
    if not data.strip():
        raise WavewrightError(f"{path}: the TextGrid is empty")
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = "utf-16" if utf16 else "utf-8-sig"
    try:
        declared = [int(a or b) for a, b in _TIER_SIZE.findall(data.decode(encoding))]
        grid = tgt.io.read_textgrid(path, encoding, include_empty_intervals=True)
    except Exception as error:  # a broken file makes tgt raise anything, bare Exception included
        raise WavewrightError(f"{path}: not a whole, well-formed TextGrid ({error})") from error
    for tier, count in zip(grid, declared, strict=False):
        if len(tier) != count:
            raise WavewrightError(
                f"{path}: tier '{tier.name}' declares {count} intervals, but has {len(tier)}"
            )
    return grid


def _tier(grid: Any, name: str, path: Path) -> Any | None:
    """The tier of that name; the aligner writes `SPEAKER - phones` where it knows the speaker."""
    wanted = name.lower()
    names = {tier: tier.name.lower() for tier in grid}
    found = [t for t, n in names.items() if n == wanted or n.endswith(f" - {wanted}")]
    if len(found) > 1:
        raise WavewrightError(f"{path}: more than one tier '{name}'; one speaker is supported")
    return found[0] if found else None


def _checked(tier: Any, duration: float, where: str) -> tuple[tuple[Interval, ...], list[str]]:
    intervals: list[Interval] = []
    reached, gaps, empty = 0.0, 0, 0
    for item in tier:
        start, end = float(item.start_time), float(item.end_time)
        place = f"{where}: interval {item.text!r} from {start:.4f} to {end:.4f} s"
        if not (math.isfinite(start) and math.isfinite(end)) or start < 0 or end < start:
            raise WavewrightError(f"{place} is not a time in the audio")
        if end > duration + _TOLERANCE:
            raise WavewrightError(f"{place} ends after the audio's {duration:.4f} s")
        if start < reached - 1e-4:
            raise WavewrightError(f"{place} overlaps the one before, which ends at {reached:.4f} s")
        if start > reached + 1e-4:
            intervals.append(Interval(reached, start, ""))
            gaps += 1
        empty += end == start
        reached = min(end, duration)
        intervals.append(Interval(min(start, duration), reached, item.text.strip()))
    if reached < duration - _TOLERANCE:
        intervals.append(Interval(reached, duration, ""))
    elif intervals:  # the aligner's frames end a little before the audio does
        last = intervals[-1]
        intervals[-1] = Interval(last.start, duration, last.label)
    odd = [f"{gaps} gaps between intervals, taken as silence"] if gaps else []
    odd += [f"{empty} intervals of no length"] if empty else []
    return tuple(intervals), odd
