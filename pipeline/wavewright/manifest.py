"""The utterance table: one Parquet row per utterance, quarantined ones included."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from wavewright.errors import WavewrightError
from wavewright.files import whole

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "id": "string",
    "audio": "string",
    "samples": "int64",
    "sample_rate": "int64",
    "speaker": "string",
    "text": "string",
    "normalised_text": "string",
    "split": "string",
    "alignment": "string",
    "flags": "string",
    "reason": "string",
}
SPLITS = ("train", "dev", "test")
_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")


def check_id(utterance: str) -> str:
    """Return the id unchanged, or raise: ids become file names, so their letters are limited."""
    if not _ID.fullmatch(utterance) or set(utterance) == {"."}:
        raise WavewrightError(
            f"utterance id {utterance[:140]!r} is not allowed: use 1 to 128 letters, digits, "
            "'_', '.' or '-'"
        )
    return utterance


def write_manifest(frame: pd.DataFrame, path: str | Path) -> None:
    """Write the table, sorted by id; the file appears whole or not at all.

    Columns: id, audio (where the samples are), samples and sample_rate (Hz) of the prepared
    audio, speaker, text, normalised_text, split (train, dev, test; empty when quarantined),
    alignment (path of a TextGrid, or empty), flags (comma-separated), reason (why quarantined).
    """
    path = Path(path)
    missing = set(COLUMNS) - set(frame.columns)
    if missing:
        raise WavewrightError(f"{path}: manifest lacks the columns {sorted(missing)}")
    table = frame[list(COLUMNS)].astype(COLUMNS).sort_values("id", ignore_index=True)
    with whole(path) as scratch:
        table.to_parquet(scratch, index=False)


def read_manifest(path: str | Path) -> pd.DataFrame:
    """Read and check a manifest: every column there, ids legal and unique, splits known."""
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise WavewrightError(f"{path}: no such manifest")
    try:
        frame = pd.read_parquet(path)
        frame = frame[list(COLUMNS)].astype(COLUMNS)
    except (KeyError, ValueError, OSError) as error:
        raise WavewrightError(f"{path}: not a manifest of ours ({error})") from error
    for utterance in frame["id"]:
        check_id(utterance)
    repeated = frame["id"][frame["id"].duplicated()]
    if len(repeated):
        raise WavewrightError(f"{path}: the id '{repeated.iloc[0]}' appears more than once")
    unknown = set(frame["split"]) - {*SPLITS, ""}
    if unknown:
        raise WavewrightError(f"{path}: unknown split {sorted(unknown)}; allowed: {SPLITS}")
    return frame


def usable(frame: pd.DataFrame, split: str | None = None) -> pd.DataFrame:
    """Rows that are not quarantined, of one split or of all, sorted by id."""
    kept = frame[frame["reason"] == ""]
    if split is not None:
        kept = kept[kept["split"] == split]
    return kept.sort_values("id", ignore_index=True)
