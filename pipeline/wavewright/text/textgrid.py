"""TextGrids: times of words and phones in an utterance.

Files are read and written by `tgt` (GPL-3.0), which is imported only here, inside functions. Both
of Praat's text formats are read, long and short, in UTF-8 or UTF-16. Times are in seconds.
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
    """Labelled interval from `start` to `end`, in seconds."""

    start: float
    end: float
    label: str


@dataclass(frozen=True)
class Alignment:
    """Times of words and phones, from 0 to `duration` seconds, without gaps.

    `words` is empty if the TextGrid has no such tier; silence has a label of `SILENCES`.
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
        path: path of the TextGrid.
        duration: duration of the audio in seconds; intervals ending up to 0.05 s later are cut.
        phones, words: names of the tiers.

    Raises:
        WavewrightError: not a TextGrid, truncated, wrong declared counts, no tier `phones`, or
            times that are negative, not finite, overlapping or beyond the audio.
        MissingExtra: the extra `alignments` is not installed.
    """
    alignment, warnings = read_alignment_with_warnings(path, duration, phones=phones, words=words)
    if warnings:
        log.warning("%s: %s", path, warnings)
    return alignment


def read_alignment_with_warnings(
    path: str | Path,
    duration: float | None = None,
    *,
    phones: str = "phones",
    words: str = "words",
) -> tuple[Alignment, str]:
    """Read tiers like `read_alignment`; also return warnings (gaps, empty intervals, ...)."""
    path = Path(path)
    grid = _read_grid(path)
    end = float(grid.end_time) if duration is None else duration
    word_tier, phone_tier = _tier(grid, words, path), _tier(grid, phones, path)
    if phone_tier is None:
        tiers = ", ".join(f"'{name}'" for name in grid.get_tier_names()) or "none"
        raise WavewrightError(f"{path}: no tier '{phones}' (tiers found: {tiers})")
    phone_intervals, warnings = _intervals(phone_tier, end, f"{path}: tier '{phones}'")
    word_intervals: tuple[Interval, ...] = ()
    if word_tier:
        word_intervals, more = _intervals(word_tier, end, f"{path}: tier '{words}'")
        warnings += more
    warnings += _unknown_phones(phone_intervals)
    alignment = Alignment(words=word_intervals, phones=phone_intervals, duration=end)
    return alignment, "; ".join(warnings)


def _unknown_phones(phones: Sequence[Interval]) -> list[str]:
    """Warning about labels that belong to no known phone set."""
    labels = {p.label for p in phones if p.label not in SILENCES and not _is_phone(p.label)}
    return [f"unknown phones {', '.join(sorted(labels)[:10])}"] if labels else []


def _is_phone(label: str) -> bool:
    if _ARPABET.fullmatch(label) or " " in label:  # a phrase stands for more than one phone
        return True
    return not label.isascii() or label in ("spn", "SPN", "noise") or bool(_IPA.fullmatch(label))


def write_alignment(path: str | Path, alignment: Alignment) -> None:
    """Write tiers `words` and `phones` in Praat's long format, times to the microsecond.

    The file is written atomically.
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
    """Start and end of speech in seconds, widened by `margin` seconds within the audio.

    Raises:
        WavewrightError: every phone is silence.
    """
    speech = [phone for phone in alignment.phones if phone.label not in SILENCES]
    if not speech:
        raise WavewrightError("the alignment has no phone that is not silence")
    start, end = speech[0].start - margin, speech[-1].end + margin
    return max(0.0, start), min(alignment.duration, end)


def cut_alignment(alignment: Alignment, start: float, end: float) -> Alignment:
    """Cut an alignment to the audio between two times; the new times start at 0."""

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
    """Find a tier by name; aligners that know the speaker call it `SPEAKER - phones`."""
    wanted = name.lower()
    names = {tier: tier.name.lower() for tier in grid}
    tiers = [t for t, n in names.items() if n == wanted or n.endswith(f" - {wanted}")]
    if len(tiers) > 1:
        raise WavewrightError(f"{path}: more than one tier '{name}'; one speaker is supported")
    return tiers[0] if tiers else None


def _intervals(tier: Any, duration: float, where: str) -> tuple[tuple[Interval, ...], list[str]]:
    """Validate a tier; return its intervals, with gaps filled, and warnings."""
    intervals: list[Interval] = []
    previous_end, gaps, empty = 0.0, 0, 0
    for item in tier:
        start, end = float(item.start_time), float(item.end_time)
        place = f"{where}: interval {item.text!r} from {start:.4f} to {end:.4f} s"
        if not (math.isfinite(start) and math.isfinite(end)) or start < 0 or end < start:
            raise WavewrightError(f"{place} is not a time in the audio")
        if end > duration + _TOLERANCE:
            raise WavewrightError(f"{place} ends after the audio's {duration:.4f} s")
        if start < previous_end - 1e-4:
            raise WavewrightError(
                f"{place} overlaps the one before, which ends at {previous_end:.4f} s"
            )
        if start > previous_end + 1e-4:
            intervals.append(Interval(previous_end, start, ""))
            gaps += 1
        empty += end == start
        previous_end = min(end, duration)
        intervals.append(Interval(min(start, duration), previous_end, item.text.strip()))
    if previous_end < duration - _TOLERANCE:
        intervals.append(Interval(previous_end, duration, ""))
    elif intervals:  # the aligner's frames end a little before the audio does
        last = intervals[-1]
        intervals[-1] = Interval(last.start, duration, last.label)
    warnings = [f"{gaps} gaps between intervals, taken as silence"] if gaps else []
    warnings += [f"{empty} intervals of no length"] if empty else []
    return tuple(intervals), warnings
