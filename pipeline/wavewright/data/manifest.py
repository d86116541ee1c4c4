"""The utterance table: one Parquet row per utterance, quarantined ones included."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from wavewright.errors import WavewrightError
from wavewright.io.files import atomic_write

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

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
    "seconds": "float64",
    "level_dbfs": "float64",
    "peak_dbfs": "float64",
    "gain_db": "float64",
    "silence_share": "float64",
    "snr_db": "float64",
    "clipped_share": "float64",
    "characters_per_second": "float64",
}
LISTS = ("phones", "phone_seconds")
"""Columns with a list in every row: the phones' labels, and how long each lasts."""
_RESERVED = re.compile(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])(\..*)?", re.IGNORECASE)
SPLITS = ("train", "dev", "test")
_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_.-]+")


def check_id(utterance: str) -> str:
    """Return the id unchanged, or raise: ids become file names, so their letters are limited."""
    if _RESERVED.fullmatch(utterance):
        raise WavewrightError(
            f"utterance id {utterance!r} is not allowed: Windows reserves this name"
        )
    if not _ID.fullmatch(utterance) or set(utterance) == {"."}:
        raise WavewrightError(
            f"utterance id {utterance[:140]!r} is not allowed: use 1 to 128 letters, digits, "
            "'_', '.' or '-'"
        )
    return utterance


def id_slug(name: str, fill: str = "-") -> str:
    """Replace characters that ids may not have by `fill`: `hifigan:v3` -> `hifigan-v3`."""
    return _NOT_IN_IDS.sub(fill, name)


def write_manifest(frame: pd.DataFrame, path: str | Path) -> None:
    """Write the table, sorted by id; the file appears whole or not at all.

    Columns: id, audio (where the samples are), samples and sample_rate (Hz) of the prepared
    audio, speaker, text, normalised_text, split (train, dev, test; empty when quarantined),
    alignment (path of a TextGrid, or empty), flags (comma-separated), reason (why quarantined);
    measures, which may be left out and are NaN where not known: seconds (of the prepared audio),
    level_dbfs, peak_dbfs, silence_share, snr_db, clipped_share (of the recording; see `Quality`),
    gain_db (that was given), characters_per_second; phones and phone_seconds, lists, empty without
    a TextGrid.
    """
    write_manifest_parts([frame.sort_values("id", ignore_index=True)], path)


def write_manifest_parts(parts: Iterable[pd.DataFrame], path: str | Path) -> None:
    """Write a table that comes in parts, each sorted by id and after the one before it.

    Args:
        parts: see `write_manifest`; each becomes a row group.
        path: Parquet file, written atomically.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    kinds = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64()}
    lists = {"phones": pa.list_(pa.string()), "phone_seconds": pa.list_(pa.float64())}
    schema = pa.schema([*((name, kinds[kind]) for name, kind in COLUMNS.items()), *lists.items()])
    with atomic_write(path) as scratch, pq.ParquetWriter(scratch, schema) as writer:
        for part in parts:
            missing = {n for n in COLUMNS if COLUMNS[n] != "float64"} - set(part.columns)
            if missing:
                raise WavewrightError(f"{path}: manifest lacks the columns {sorted(missing)}")
            table = part.reindex(columns=list(COLUMNS)).astype(COLUMNS)
            columns = [pa.array(table[name], schema.field(name).type) for name in COLUMNS]
            columns += [_lists(part, name, kind) for name, kind in lists.items()]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _lists(frame: pd.DataFrame, name: str, kind: pa.DataType) -> pa.Array:
    import pandas as pd
    import pyarrow as pa

    if name not in frame:
        return pa.array([[]] * len(frame), kind)
    if isinstance(frame[name].dtype, pd.ArrowDtype):
        return pa.array(frame[name], kind)
    values = frame[name].tolist()
    return pa.array([[] if isinstance(value, float) else value for value in values], kind)  # NaN


def read_manifest(path: str | Path, *, lists: bool = False) -> pd.DataFrame:
    """Read and check a manifest: every column there, ids legal and unique, splits known.

    Args:
        path: Parquet file.
        lists: whether to read the columns of `LISTS`; as Python objects they take more memory than
            everything else together.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise WavewrightError(f"{path}: no such manifest")
    try:
        frame = pd.read_parquet(path, columns=[*COLUMNS, *LISTS] if lists else list(COLUMNS))
        frame = frame.astype(COLUMNS)
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


def usable_rows(frame: pd.DataFrame, split: str | None = None) -> pd.DataFrame:
    """Rows that are not quarantined, of one split or of all, sorted by id."""
    rows = frame[frame["reason"] == ""]
    if split is not None:
        rows = rows[rows["split"] == split]
    return rows.sort_values("id", ignore_index=True)


def labels_by_id(prepared: Path, column: str) -> dict[str, str]:
    """Map utterance ids to the values of a column of the manifest in `prepared`."""
    manifest = read_manifest(prepared / "manifest.parquet")
    return dict(zip(manifest["id"], manifest[column], strict=True))
