"""Report page of a prepared corpus: contents, what was left out, and outliers to listen to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wavewright.data.corpus.report import clips as data_clips
from wavewright.data.corpus.report import phones as data_phones
from wavewright.data.corpus.report.clips import Clip, Extremes
from wavewright.data.corpus.report.figures import (
    Figure,
    format_duration,
    measure_figures,
    phone_figure,
    speaker_figure,
)
from wavewright.data.corpus.report.flags import count_flags, flag_meaning, split_flags
from wavewright.data.corpus.report.measures import (
    CLIPPED,
    LEVEL_AFTER,
    MEASURES,
    UNKNOWN,
    compute_measures,
    drop_unknown,
    is_amplified,
)
from wavewright.data.corpus.report.phones import Phones, PhoneStatistics
from wavewright.data.corpus.report.reasons import LEFT_OUT, group_reasons, read_quarantine
from wavewright.data.manifest import SPLITS, read_manifest
from wavewright.io.files import write_text
from wavewright.webpage.render import format_count, render_page

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
_TEMPLATE = "data.html.j2"
_ASSETS = Path(__file__).parent
_NORMAL, _MOST_EXTREME = 6, 3
_SHOWN_PHONES, _RAREST = 120, 10
_ENOUGH = 10  # values that a middle 90 % is shown for


@dataclass(frozen=True)
class Card:
    """Card of one utterance on the page.

    Attributes:
        numbers: its measures, "SNR 31.2 dB".
        flags: (flag, meaning).
        clip: player and pictures; None if the page shows them elsewhere already.
        elsewhere: (anchor, heading) of that other place.
        value: value of the measure that it is an outlier of; empty for typical ones.
    """

    id: str
    text: str
    normalised: str
    speaker: str
    split: str
    numbers: list[str]
    flags: list[tuple[str, str]]
    clip: Clip | None
    elsewhere: tuple[str, str] = ("", "")
    value: str = ""


def write_data_report(prepared: Path, *, title: str, megabytes: float = 6.0) -> Path:
    """Write `report.html` beside the manifest: one file, the same bytes for the same inputs.

    Args:
        prepared: holds `manifest.parquet`, `quarantine.csv` and the shards `audio/`.
        title: heading of the page.
        megabytes: approximate maximum size of the page; beyond it fewer utterances get a player.

    Returns:
        The page's path.

    Raises:
        WavewrightError: one of the files is missing or damaged, or they do not belong together.
    """
    prepared = Path(prepared)
    frame = read_manifest(prepared / "manifest.parquet")
    faulty = frame.loc[frame["reason"] != "", "id"]
    quarantine = read_quarantine(prepared / "quarantine.csv", set(faulty))
    usable = frame[frame["reason"] == ""].sort_values("id", ignore_index=True)
    ids = set(frame["id"])
    del frame
    phones = data_phones.read_phones(prepared / "manifest.parquet")
    values = compute_measures(usable, phones)
    page = {
        **_about(title, usable, quarantine, ids, phones),
        "splits": _splits(usable),
        "empty": [split for split in SPLITS if not (usable["split"] == split).any()],
        "alike": _medians_by_split(usable, values),
        "measures": [measure for measure in MEASURES if measure.id in values],
        "flags": count_flags(zip(usable["id"], usable["flags"], strict=True)),
        "flagged": int((usable["flags"] != "").sum()),
        "figures": measure_figures(values),
        "speakers_figure": speaker_figure(usable),
        **_phones(phones),
        "odd": [],
        "normal": [],
    }
    around = len(render_page(_TEMPLATE, page, folder=_ASSETS).encode())
    page.update(_playable_cards(prepared / "audio", usable, values, int(megabytes * 1e6) - around))
    path = prepared / "report.html"
    write_text(path, render_page(_TEMPLATE, page, folder=_ASSETS))
    return path


def _about(
    title: str,
    usable: pd.DataFrame,
    quarantine: Sequence[tuple[str, str]],
    ids: set[str],
    phones: Phones,
) -> dict[str, Any]:
    from wavewright._version import __version__

    left_out = [row for row in quarantine if row[1].startswith(LEFT_OUT)]
    faults = [row for row in quarantine if not row[1].startswith(LEFT_OUT)]
    seconds = drop_unknown(usable["seconds"].to_numpy(np.float64))
    return {
        "title": title,
        "version": __version__,
        "usable": len(usable),
        "total": len(usable) + len(quarantine),
        "hours": float(seconds.sum()) / 3600,
        "median_seconds": float(np.median(seconds)) if len(seconds) else 0.0,
        "duration": format_duration,
        "speakers": usable["speaker"].nunique(),
        "only_speaker": usable["speaker"].iloc[0] if len(usable) else "",
        "rates": sorted(int(rate) for rate in usable["sample_rate"].unique()),
        "aligned": phones.aligned(),
        "faults": group_reasons(faults, ids),
        "left_out": group_reasons(left_out, ids),
        "count": format_count,
    }


def _splits(usable: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of the table of splits, empty splits included, the total last."""
    whole = float(usable["seconds"].sum()) or 1.0
    parts = [(split, usable[usable["split"] == split]) for split in SPLITS]
    return [
        {
            "name": name,
            "utterances": len(part),
            "share": len(part) / max(len(usable), 1),
            "hours": float(part["seconds"].sum()) / 3600,
            "hours_share": float(part["seconds"].sum()) / whole,
            "speakers": part["speaker"].nunique(),
        }
        for name, part in [*parts, ("all", usable)]
    ]


def _medians_by_split(usable: pd.DataFrame, values: Mapping[str, Floats]) -> dict[str, Any]:
    """Median and middle 90 % of every measure by split."""
    there = [split for split in SPLITS if (usable["split"] == split).any()]
    rows = []
    for measure in (measure for measure in MEASURES if measure.id in values):
        cells = []
        for split in there:
            column = drop_unknown(values[measure.id][(usable["split"] == split).to_numpy()])
            if not len(column):
                cells.append((UNKNOWN, ""))
                continue
            low, middle, high = (float(q) for q in np.quantile(column, (0.05, 0.5, 0.95)))
            ends = f"{measure.number(low)} to {measure.number(high)}"
            cells.append((measure.show(middle), ends if len(column) >= _ENOUGH else ""))
        amplified = measure is not LEVEL_AFTER or is_amplified(values)
        if np.nan_to_num(values[measure.id]).any() and amplified:
            rows.append((measure, cells))
    return {"splits": there, "rows": rows}


def _phones(phones: Phones) -> dict[str, Any]:
    classes: list[PhoneStatistics] = data_phones.statistics_by_class(phones)
    labels = data_phones.statistics_by_label(phones)
    figure: Figure | None = phone_figure(classes)
    return {
        "phone_classes": classes,
        "phone_figure": figure,
        "rarest": labels[:_RAREST],
        "phone_labels": sorted(labels[:_SHOWN_PHONES], key=lambda row: row.name),
        "phone_kinds": len(labels),
    }


def _playable_cards(
    audio: Path, usable: pd.DataFrame, values: Mapping[str, Floats], budget: int
) -> dict[str, Any]:
    """Cards of the outliers by measure, and of typical utterances."""
    from wavewright.data.shards import Shards

    if not len(usable):
        return {"odd": [], "normal": []}
    most = min(max(len(usable) // 10, 1), _MOST_EXTREME)
    odd = data_clips.find_extremes(values, most)
    normal = data_clips.pick_typical(usable, values, _NORMAL)
    # The pictures' captions and numbers are on the page as well: about 1.5 kB for a card.
    budget -= 1500 * (sum(len(item.rows) for item in odd) + len(normal))
    lists = [item.rows for item in odd] + [normal]
    clips = data_clips.make_clips(lists, usable["id"].to_list(), Shards(audio), budget)
    sections_by_row: dict[int, Extremes] = {}
    sections = []
    for item in odd:
        cards = []
        for row in item.rows:
            cards.append(_card(usable, values, row, clips, item, sections_by_row.get(row)))
            sections_by_row.setdefault(row, item)
        sections.append((item, cards))
    return {
        "odd": sections,
        "normal": [
            _card(usable, values, row, clips, None, sections_by_row.get(row)) for row in normal
        ],
    }


def _card(
    usable: pd.DataFrame,
    values: Mapping[str, Floats],
    row: int,
    clips: Mapping[int, Clip],
    odd: Extremes | None,
    earlier: Extremes | None,
) -> Card:
    line = usable.iloc[row]
    numbers = [
        f"{measure.short} {measure.show(float(values[measure.id][row]))}".strip()
        for measure in MEASURES
        if measure.id in values and np.isfinite(values[measure.id][row])
        if measure is not CLIPPED or values[measure.id][row] > 0
        if measure is not LEVEL_AFTER or is_amplified(values)
    ]
    flags = [(flag, flag_meaning(flag)) for flag in split_flags(line["flags"])]
    same = line["normalised_text"].strip() == line["text"].strip()
    return Card(
        id=line["id"],
        text=line["text"],
        normalised="" if same else line["normalised_text"],
        speaker=line["speaker"],
        split=line["split"],
        numbers=numbers,
        flags=flags,
        clip=None if earlier else clips[row],
        elsewhere=(earlier.anchor, earlier.heading) if earlier else ("", ""),
        value=odd.measure.show(float(values[odd.measure.id][row])) if odd else "",
    )
