"""Made-up prepared corpora: a manifest, its shards and its quarantine, quickly."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.support.reports import RATE, speech
from wavewright.audio.files import to_pcm16
from wavewright.data.manifest import write_manifest
from wavewright.data.shards import write_shards

HOSTILE_TEXT = "\x1b[31m<script>document.title = 'broken'</script> \u202eabc & {{ 7 * 7 }} שלום"
PHONE_LABELS = ("sil", "HH", "AH0", "L", "OW1", "ZH", "sil")


def manifest_row(name: str, seconds: float = 1.0, **given: Any) -> dict[str, Any]:
    """One usable utterance of a manifest; `given` replaces columns."""
    return {
        "id": name,
        "audio": "audio/shard-00000.tar",
        "samples": round(seconds * RATE),
        "sample_rate": RATE,
        "speaker": "anna",
        "text": f"This is {name}.",
        "normalised_text": f"This is {name}.",
        "split": "train",
        "alignment": "",
        "flags": "",
        "reason": "",
        "seconds": seconds,
        "level_dbfs": -24.0,
        "peak_dbfs": -6.0,
        "gain_db": 1.0,
        "silence_share": 0.1,
        "snr_db": 40.0,
        "clipped_share": 0.0,
        "characters_per_second": 15.0,
        "phones": [],
        "phone_seconds": [],
        **given,
    }


def left_out_row(name: str, reason: str) -> dict[str, Any]:
    """An utterance that is not used: of its audio nothing is known."""
    numbers = ("level_dbfs", "peak_dbfs", "gain_db", "silence_share", "snr_db", "clipped_share")
    unknown = dict.fromkeys((*numbers, "seconds", "characters_per_second"), float("nan"))
    row = {**manifest_row(name, reason=reason, split="", audio=""), **unknown}
    return {**row, "samples": 0}


def write_corpus(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """`manifest.parquet`, `quarantine.csv` and `audio/` of these rows; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tables(folder, rows)
    kept = {row["id"]: row for row in rows if not row["reason"]}
    waves = {
        name: to_pcm16(speech(seed, row["seconds"]))
        for seed, (name, row) in enumerate(sorted(kept.items()))
    }
    if kept:
        write_shards(folder / "audio", list(kept), waves.__getitem__, mel=None, sample_rate=RATE)
    return folder


def write_tables(folder: Path, rows: Sequence[Mapping[Any, Any]]) -> None:
    """The two tables alone."""
    write_manifest(pd.DataFrame(list(rows)), folder / "manifest.parquet")
    with (folder / "quarantine.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["id", "reason"])
        table.writerows([row["id"], row["reason"]] for row in rows if row["reason"])


def varied_rows(count: int = 40, seed: int = 0) -> list[dict[str, Any]]:
    """Utterances of two speakers in three splits whose measures all differ, with phones."""
    rng = np.random.default_rng(seed)
    rows = []
    for index in range(count):
        seconds = float(np.round(0.4 + 0.5 * rng.random(), 3))
        columns: Mapping[str, Any] = {
            "level_dbfs": float(rng.normal(-26, 3)),
            "peak_dbfs": float(rng.normal(-9, 2)),
            "gain_db": 3.0,
            "silence_share": float(rng.uniform(0.05, 0.4)),
            "snr_db": float(rng.normal(40, 5)),
            "characters_per_second": float(rng.normal(15, 2)),
            "speaker": ("anna", "bert")[index % 2],
            "split": "dev" if index % 10 == 0 else "test" if index % 10 == 1 else "train",
            "phones": list(PHONE_LABELS),
            "phone_seconds": [float(s) for s in rng.uniform(0.03, 0.2, len(PHONE_LABELS))],
        }
        rows.append(manifest_row(f"made-{index:03d}", seconds, **columns))
    return rows


def hostile_rows() -> list[dict[str, Any]]:
    """A corpus that has something of everything: faults, flags, texts that attack the page."""
    rows = varied_rows()
    rows[0] |= {"flags": "clipped,offset", "clipped_share": 0.02, "text": HOSTILE_TEXT}
    rows[1] |= {"flags": "6_channels", "speaker": "<b>bert</b>\u202e"}
    rows[2] |= {"seconds": 2.5, "samples": round(2.5 * RATE), "normalised_text": "read this"}
    rows.append(left_out_row("broken-1", "broken-1.wav: too short: 0.020 s, the minimum is 0.1 s"))
    rows.append(left_out_row("broken-2", "broken-2.wav: too short: 0.031 s, the minimum is 0.1 s"))
    rows.append(left_out_row("broken-3", "its text is <img src=x onerror=alert(1)>\x1b[0m"))
    rows.append(left_out_row("twin-1", "left out: same text as made-000, which is in dev"))
    return rows
