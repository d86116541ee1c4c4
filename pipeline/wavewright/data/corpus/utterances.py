"""Utterances of a speech corpus, in one of the two layouts that `ingest` writes.

That of LJSpeech-1.1: `metadata.csv` (`id|raw text|normalised text`, UTF-8, quoting off),
`wavs/ID.wav` or another format, and, where there are some, `alignments/ID.TextGrid` and
`splits/{train,dev,test}.txt`. What it cannot say (speakers, parts of recordings, official splits,
no text at all) stands in `corpus.parquet` instead: one row per utterance, audio beside it.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wavewright.data.manifest import check_id
from wavewright.errors import WavewrightError
from wavewright.io.files import atomic_write

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf", ".w64")
"""Suffixes of what libsndfile reads, in lower case."""
METADATA_COLUMNS = ("id", "raw", "normalised")
CORPUS_TABLE = "corpus.parquet"
_FIELDS = ("id", "audio", "start", "end", "text", "normalised", "speaker", "alignment", "split")
log = logging.getLogger("wavewright")


@dataclass(frozen=True, slots=True)
class CorpusUtterance:
    """Utterance of a corpus: one line of metadata and its files.

    `id` is legal and unique: an utterance whose own id is neither is called after its line.
    `reason` is why the utterance cannot be used; empty if it can. `start` and `end` are
    seconds of the file, None for its end. `split` is the corpus's own, or empty.
    """

    id: str
    text: str
    normalised: str
    speaker: str
    audio: Path
    alignment: Path | None
    reason: str
    start: float = 0.0
    end: float | None = None
    split: str = ""


def read_corpus(
    folder: str | Path, columns: Sequence[str] = METADATA_COLUMNS
) -> list[CorpusUtterance]:
    """Read all utterances of a corpus, sorted by id; faulty ones have a reason.

    Args:
        folder: the corpus.
        columns: fields of a line of metadata.csv: `id`, `raw`, `normalised`,
            `speaker`. Without `normalised`, and on lines that lack the last field, the raw text
            stands for it. Ignored for a corpus.parquet, whose columns are named.

    Raises:
        WavewrightError: no metadata.csv, one that is empty or not UTF-8, or no audio at all.
    """
    folder = Path(folder)
    if (folder / CORPUS_TABLE).is_file():
        return _read_table(folder)
    if "id" not in columns or not set(columns) <= {*METADATA_COLUMNS, "speaker"}:
        raise WavewrightError(
            f"columns {list(columns)}: 'id' and any of 'raw', 'normalised', 'speaker' are allowed"
        )
    audio = files_by_id(folder / "wavs", AUDIO_SUFFIXES)
    if not audio:
        raise WavewrightError(
            f"{folder / 'wavs'}: no audio file in it ({', '.join(AUDIO_SUFFIXES)})"
        )
    alignments = files_by_id(folder / "alignments", (".TextGrid",))
    utterances: list[CorpusUtterance] = []
    for number, line in read_lines(folder / "metadata.csv"):
        name = line.split("|")[0].strip(" \t")
        if not utterances and name.lower() == "id" and name not in audio:
            log.warning("%s: line 1 is taken for a header", folder / "metadata.csv")
            continue
        utterance = _parse_line(number, line, columns)
        paths = audio.get(name, [])
        grids = alignments.get(name, [])
        reason = utterance.reason or _audio_fault(name, paths)
        utterances.append(
            replace(
                utterance,
                audio=paths[0] if paths else utterance.audio,
                alignment=grids[0] if grids else None,
                reason=reason,
            )
        )
    if not utterances:
        raise WavewrightError(f"{folder / 'metadata.csv'}: no utterance in it")
    return sort_and_check_ids(utterances, folder / "metadata.csv")


def _read_table(folder: Path) -> list[CorpusUtterance]:
    import pandas as pd

    path = folder / CORPUS_TABLE
    try:
        rows = pd.read_parquet(path, columns=[*_FIELDS, "reason"]).to_dict("records")
    except (KeyError, ValueError, OSError) as error:
        raise WavewrightError(f"{path}: not a table of utterances ({error})") from error
    if not rows:
        raise WavewrightError(f"{path}: no utterance in it")
    utterances = []
    for row in rows:
        audio, alignment = str(row["audio"]), str(row["alignment"])
        reason = str(row["reason"])
        if not reason and not (folder / audio).is_file():
            reason = f"missing audio: no {audio}"
        utterances.append(
            CorpusUtterance(
                id=check_id(str(row["id"])),
                text=str(row["text"]),
                normalised=str(row["normalised"]),
                speaker=str(row["speaker"]),
                audio=folder / audio,
                alignment=folder / alignment if alignment else None,
                reason=reason,
                start=float(row["start"]),
                end=None if pd.isna(row["end"]) else float(row["end"]),
                split=str(row["split"]),
            )
        )
    return sorted(utterances, key=lambda utterance: utterance.id)


def write_corpus_table(folder: Path, utterances: Iterable[CorpusUtterance]) -> None:
    """Write `corpus.parquet`; audio and alignments must lie in `folder`."""
    import pandas as pd

    rows = [
        {
            "id": utterance.id,
            "audio": _relative_path(utterance.audio, folder),
            "start": utterance.start,
            "end": float("nan") if utterance.end is None else utterance.end,
            "text": utterance.text,
            "normalised": utterance.normalised,
            "speaker": utterance.speaker,
            "alignment": _relative_path(utterance.alignment, folder) if utterance.alignment else "",
            "split": utterance.split,
            "reason": utterance.reason,
        }
        for utterance in sorted(utterances, key=lambda utterance: utterance.id)
    ]
    with atomic_write(folder / CORPUS_TABLE) as scratch:
        pd.DataFrame(rows, columns=[*_FIELDS, "reason"]).to_parquet(scratch, index=False)


def _relative_path(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else ""


def sort_and_check_ids(utterances: Sequence[CorpusUtterance], where: Path) -> list[CorpusUtterance]:
    """Sort by id; mark repeated ids as faults, warn of ids that differ in case only."""
    _warn_about_case(utterances, where)
    return sorted(_mark_repeated_ids(utterances), key=lambda utterance: utterance.id)


def read_lines(path: str | Path) -> list[tuple[int, str]]:
    """Read numbered lines of a UTF-8 text without blank ones; LF, CRLF or CR end a line."""
    path = Path(path)
    if not path.is_file():
        raise WavewrightError(f"{path}: no such file")
    return numbered_lines(path.read_bytes(), f"{path}")


def numbered_lines(data: bytes, where: str) -> list[tuple[int, str]]:
    """Number the lines of bytes already read; `where` names them in errors."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise WavewrightError(
            f"{where}: not UTF-8 (line {line}, byte {error.start} of the file is "
            f"0x{data[error.start]:02x}); convert it first"
        ) from error
    lines = re.split(r"\r\n|\n|\r", text)
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def files_by_id(folder: Path, suffixes: Iterable[str]) -> dict[str, list[Path]]:
    """List files with one of these suffixes by stem; empty if there is no such folder."""
    files: dict[str, list[Path]] = defaultdict(list)
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.suffix in suffixes or path.suffix.lower() in suffixes:
                files[path.stem].append(path)
    return dict(files)


def _parse_line(number: int, line: str, columns: Sequence[str]) -> CorpusUtterance:
    first, *rest = line.split("|")
    # Control characters in an id are a fault to be named, not to be stripped.
    fields = [first.strip(" \t"), *(field.strip() for field in rest)]
    blank = CorpusUtterance(f"line-{number:07d}", "", "", "", Path(), None, "")
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


def _audio_fault(name: str, paths: Sequence[Path]) -> str:
    if not paths:
        return f"missing audio: no wavs/{name}.wav, .flac or other audio file"
    if len(paths) > 1:
        return f"more than one audio file: {', '.join(path.name for path in paths)}"
    return ""


def _warn_about_case(utterances: Iterable[CorpusUtterance], where: Path) -> None:
    first_spelling: dict[str, str] = {}
    for utterance in utterances:
        other = first_spelling.setdefault(utterance.id.casefold(), utterance.id)
        if other != utterance.id:
            log.warning(
                "%s: '%s' and '%s' differ in case only; they are one file on some disks",
                where,
                other,
                utterance.id,
            )


def _mark_repeated_ids(utterances: Sequence[CorpusUtterance]) -> list[CorpusUtterance]:
    """Mark all utterances that share an id as faulty: the audio may have any of their texts."""
    lines: dict[str, list[int]] = defaultdict(list)
    for index, utterance in enumerate(utterances):
        lines[utterance.id].append(index)
    result = list(utterances)
    for name, indices in lines.items():
        if len(indices) == 1:
            continue
        for count, index in enumerate(indices):
            reason = f"duplicate id '{name}': it appears on {len(indices)} lines"
            new = name if count == 0 else f"{name[:110]}.repeat-{count}"
            result[index] = replace(utterances[index], id=new, reason=reason)
    return result
