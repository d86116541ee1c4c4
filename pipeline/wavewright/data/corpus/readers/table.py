"""A table of utterances: .csv, .tsv or .parquet with a header, itself or alone in a folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavewright.data.corpus.readers.common import make_utterance, resolve_path
from wavewright.data.corpus.utterances import CorpusUtterance
from wavewright.data.manifest import SPLITS
from wavewright.errors import WavewrightError

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".tsv", ".parquet")
#: Our field, and what tables call it.
ALIASES: dict[str, tuple[str, ...]] = {
    "audio": ("audio", "audio_path", "audio_file", "audio_filepath", "path", "file", "filename",
              "wav", "wav_path"),
    "id": ("id", "utt_id", "utterance_id", "utterance", "name"),
    "text": ("text", "raw", "raw_text", "transcript", "transcription", "sentence"),
    "normalised": ("normalised_text", "normalized_text", "normalised", "normalized"),
    "speaker": ("speaker", "speaker_id", "spk", "client_id"),
    "start": ("start", "start_time", "offset", "begin"),
    "end": ("end", "end_time", "stop"),
    "duration": ("duration",),
    "split": ("split", "subset"),
    "alignment": ("alignment", "textgrid"),
}  # fmt: skip
_SPLITS = {
    "train": "train",
    "dev": "dev",
    "valid": "dev",
    "validation": "dev",
    "val": "dev",
    "test": "test",
}
log = logging.getLogger("wavewright")


def matches(source: Path) -> bool:
    """True if `source` is a table that names audio files, or a folder with exactly one."""
    return _table_in(source) is not None


def _table_in(source: Path) -> Path | None:
    files = [source] if source.is_file() else sorted(p for p in source.iterdir() if p.is_file())
    tables = [p for p in files if p.suffix.lower() in SUFFIXES and _audio_column(_header(p))]
    return tables[0] if len(tables) == 1 else None


def _header(path: Path) -> list[str]:
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        try:
            return [str(name) for name in pq.read_schema(path).names]
        except (OSError, ValueError):
            return []
    with path.open("rb") as file:
        line = file.readline(65536)
    return [
        name.strip(" \"'\r\n").lower()
        for name in line.decode("utf-8-sig", "replace").split(_delimiter(path, line))
    ]


def _delimiter(path: Path, line: bytes) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    return max(",", "|", ";", "\t", key=lambda mark: line.count(mark.encode()))


def _audio_column(names: list[str]) -> str | None:
    return next((name for name in names if name.lower() in ALIASES["audio"]), None)


def read(source: Path) -> list[CorpusUtterance]:
    """Read the table's utterances; without an id column, ids are audio names."""
    path = _table_in(source)
    if path is None:
        raise WavewrightError(f"{source}: no table with a column of audio paths")
    frame = _load(path)
    columns = _columns(path, [str(name) for name in frame.columns])
    rows = enumerate(frame.to_dict("records"), 2)  # the header is line 1
    return [
        _make_utterance(path, place, _TableRow(row, columns, path, place)) for place, row in rows
    ]


def _load(path: Path) -> pd.DataFrame:
    import pandas as pd

    if path.suffix.lower() == ".parquet":
        return pd.read_parquet(path).rename(columns=str.lower)
    with path.open("rb") as file:
        first = file.readline(65536)
    try:
        frame = pd.read_csv(
            path,
            sep=_delimiter(path, first),
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            encoding_errors="strict",
        )
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise WavewrightError(f"{path}: not a readable table in UTF-8 ({reason})") from error
    return frame.rename(columns=lambda name: str(name).strip().lower())


def _columns(path: Path, names: list[str]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for ours, aliases in ALIASES.items():
        present = [name for name in names if name in aliases]
        if len(present) > 1:
            raise WavewrightError(
                f"{path}: the columns {' and '.join(present)} both mean '{ours}'; drop one"
            )
        if present:
            columns[ours] = present[0]
    unused = sorted(set(names) - set(columns.values()))
    if unused:
        log.info("%s: columns not used: %s", path, ", ".join(unused))
    return columns


class _TableRow:
    """Row of a table, accessed by our field names."""

    def __init__(
        self,
        values: Mapping[Any, Any],
        columns: Mapping[str, str],
        path: Path,
        place: int,
    ) -> None:
        self.values, self.columns, self.path, self.place = values, columns, path, place

    def text(self, field: str) -> str:
        value = self.values[self.columns[field]] if field in self.columns else ""
        return "" if value is None or value != value else str(value).strip()

    def number(self, field: str) -> float | None:
        text = self.text(field)
        if not text:
            return None
        try:
            return float(text)
        except ValueError:
            raise WavewrightError(
                f"{self.path}: line {self.place}, column '{self.columns[field]}': expected "
                f"seconds, found {text[:40]!r}"
            ) from None


def _make_utterance(path: Path, place: int, row: _TableRow) -> CorpusUtterance:
    audio = resolve_path(row.text("audio"), path.parent)
    start, end, duration = row.number("start") or 0.0, row.number("end"), row.number("duration")
    if end is None and duration is not None and "start" in row.columns:
        end = start + duration
    split = row.text("split").lower()
    if split and split not in _SPLITS:
        raise WavewrightError(
            f"{path}: line {place}, column '{row.columns['split']}': found {split[:40]!r}, allowed "
            f"are {', '.join(SPLITS)} (or valid, validation)"
        )
    alignment = row.text("alignment")
    return make_utterance(
        row.text("id") or audio.stem,
        audio,
        where=f"line {place}",
        text=row.text("text"),
        normalised=row.text("normalised"),
        speaker=row.text("speaker"),
        start=start,
        end=end,
        split=_SPLITS.get(split, ""),
        alignment=resolve_path(alignment, path.parent) if alignment else None,
    )
