"""Read a speech corpus.

There is one layout, that of LJSpeech-1.1, and `ingest` brings others into it: `metadata.csv`
(`id|raw text|normalised text`, UTF-8, quoting off), `wavs/ID.wav` or `.flac`, and, where there are
some, `alignments/ID.TextGrid` and `splits/{train,dev,test}.txt`.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wavewright.errors import WavewrightError
from wavewright.manifest import check_id

AUDIO = (".wav", ".flac")
COLUMNS = ("id", "raw", "normalised")
log = logging.getLogger("wavewright")


@dataclass(frozen=True)
class Entry:
    """One line of metadata and the files that go with it.

    `id` is legal and unique: an entry whose own id is neither is called after its line.
    `reason` says why the entry cannot be used, and is empty where it can.
    """

    id: str
    text: str
    normalised: str
    speaker: str
    audio: Path
    alignment: Path | None
    reason: str


def read_corpus(folder: str | Path, columns: Sequence[str] = COLUMNS) -> list[Entry]:
    """All entries of a corpus, sorted by id, faulty ones with a reason.

    Args:
        folder: the corpus.
        columns: what the fields of a line are: `id`, `raw`, `normalised`, `speaker`. Without
            `normalised`, and on lines that lack the last field, the raw text stands for it.

    Raises:
        WavewrightError: no metadata.csv, one that is empty or not UTF-8, or no audio at all.
    """
    folder = Path(folder)
    if "id" not in columns or not set(columns) <= {*COLUMNS, "speaker"}:
        raise WavewrightError(
            f"columns {list(columns)}: 'id' and any of 'raw', 'normalised', 'speaker' are allowed"
        )
    audio = files_by_id(folder / "wavs", AUDIO)
    if not audio:
        raise WavewrightError(f"{folder / 'wavs'}: no .wav or .flac file in it")
    alignments = files_by_id(folder / "alignments", (".TextGrid",))
    entries: list[Entry] = []
    for number, line in read_lines(folder / "metadata.csv"):
        name = line.split("|")[0].strip(" \t")
        if not entries and name.lower() == "id" and name not in audio:
            log.warning("%s: line 1 is taken for a header", folder / "metadata.csv")
            continue
        entry = _entry(number, line, columns)
        found = audio.get(name, [])
        grids = alignments.get(name, [])
        reason = entry.reason or _audio_fault(name, found)
        entries.append(
            replace(
                entry,
                audio=found[0] if found else entry.audio,
                alignment=grids[0] if grids else None,
                reason=reason,
            )
        )
    if not entries:
        raise WavewrightError(f"{folder / 'metadata.csv'}: no utterance in it")
    _warn_of_case(entries, folder)
    return sorted(_without_repeats(entries), key=lambda entry: entry.id)


def read_lines(path: str | Path) -> list[tuple[int, str]]:
    """Lines of a UTF-8 text with their numbers, blank ones left out; LF, CRLF or CR end a line."""
    path = Path(path)
    if not path.is_file():
        raise WavewrightError(f"{path}: no such file")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise WavewrightError(
            f"{path}: not UTF-8 (line {line}, byte {error.start} of the file is "
            f"0x{data[error.start]:02x}); convert it first"
        ) from error
    lines = re.split(r"\r\n|\n|\r", text)
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def files_by_id(folder: Path, suffixes: Iterable[str]) -> dict[str, list[Path]]:
    """Files with one of these suffixes, by their stem; nothing where there is no such folder."""
    found: dict[str, list[Path]] = defaultdict(list)
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.suffix in suffixes:
                found[path.stem].append(path)
    return dict(found)


def _entry(number: int, line: str, columns: Sequence[str]) -> Entry:
    first, *rest = line.split("|")
    # Control characters in an id are a fault to be named, not to be stripped.
    fields = [first.strip(" \t"), *(field.strip() for field in rest)]
    blank = Entry(f"line-{number:07d}", "", "", "", Path(), None, "")
    try:
        name = check_id(fields[0])
    except WavewrightError as error:
        return replace(blank, reason=f"bad id on line {number}: {error}")
    if not max(2, len(columns) - 1) <= len(fields) <= len(columns):
        expected = "|".join(columns)
        reason = f"line {number} has {len(fields)} columns, expected {expected}"
        return replace(blank, id=name, reason=reason)
    named = dict(zip(columns, fields, strict=False))
    text = named.get("raw", "")
    normalised = named.get("normalised", text)
    reason = "" if normalised else f"empty text on line {number}"
    return replace(
        blank,
        id=name,
        text=text or normalised,
        normalised=normalised,
        speaker=named.get("speaker", ""),
        reason=reason,
    )


def _audio_fault(name: str, found: Sequence[Path]) -> str:
    if not found:
        return f"missing audio: no wavs/{name}.wav or .flac"
    if len(found) > 1:
        return f"more than one audio file: {', '.join(path.name for path in found)}"
    return ""


def _warn_of_case(entries: Iterable[Entry], folder: Path) -> None:
    seen: dict[str, str] = {}
    for entry in entries:
        other = seen.setdefault(entry.id.casefold(), entry.id)
        if other != entry.id:
            log.warning(
                "%s: '%s' and '%s' differ in case only; they are one file on some disks",
                folder / "metadata.csv",
                other,
                entry.id,
            )


def _without_repeats(entries: Sequence[Entry]) -> list[Entry]:
    """Entries that share an id are all faulty: nothing says which text the audio has."""
    lines: dict[str, list[int]] = defaultdict(list)
    for index, entry in enumerate(entries):
        lines[entry.id].append(index)
    result = list(entries)
    for name, indices in lines.items():
        if len(indices) == 1:
            continue
        for count, index in enumerate(indices):
            reason = f"duplicate id '{name}': it stands on {len(indices)} lines"
            new = name if count == 0 else f"{name[:110]}.repeat-{count}"
            result[index] = replace(entries[index], id=new, reason=reason)
    return result
