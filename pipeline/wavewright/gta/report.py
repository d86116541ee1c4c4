"""Report of the GTA stage: a row per utterance, a summary, histograms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wavewright.gta.shard_maker import ReportRow


def write_report(folder: Path, rows: Sequence[ReportRow], **more: Any) -> None:
    """Write `report.csv`, `report.json` and, if any GTA mel was made, `distances.png`.

    Args:
        folder: output folder.
        rows: one per utterance, in any order.
        more: extra fields of the summary.
    """
    import pandas as pd

    ordered = sorted(rows, key=lambda row: row.id)
    frame = pd.DataFrame([vars(row) for row in ordered], columns=list(ReportRow.__annotations__))
    frame.to_csv(folder / "report.csv", index=False, float_format="%.6f", lineterminator="\n")
    with_gta = [row for row in ordered if row.made == "gta"]
    summary: dict[str, Any] = {
        "utterances": len(ordered),
        "made": len(with_gta),
        "replaced_by_natural": sum(row.made == "natural" for row in ordered),
        "left_out": sum(row.made == "no" for row in ordered),
        "doubtful": sum(bool(row.doubt) for row in with_gta),
        "lengths_equal": all(row.frames == row.frames_natural for row in with_gta),
        "frames_cut": sum(row.cut for row in with_gta),
        "frames_padded": sum(row.padded for row in with_gta),
        "measures": {name: _spread(with_gta, name) for name in _MEASURES if _has(with_gta, name)},
        "farthest_from_natural": _farthest(with_gta),
        **more,
    }
    (folder / "report.json").write_text(json.dumps(summary, indent=1) + "\n")
    if with_gta:
        _plot(folder / "distances.png", with_gta)


_MEASURES = ("mel_l1", "focus", "diagonality", "coverage", "order")


def _has(rows: Sequence[ReportRow], name: str) -> bool:
    """True if a measure is there: external mels have no alignment."""
    return any(getattr(row, name) is not None for row in rows)


def _spread(rows: Sequence[ReportRow], name: str) -> dict[str, float]:
    """Mean and percentiles of one measure."""
    import numpy as np

    values = np.array([getattr(row, name) for row in rows], dtype=float)
    low, middle, high = np.percentile(values, [5, 50, 95])
    spread = {"mean": values.mean(), "p5": low, "median": middle, "p95": high}
    return {key: round(float(value), 6) for key, value in spread.items()}


def worst_utterances(rows: Sequence[ReportRow]) -> list[ReportRow]:
    """Utterances to check first: the farthest from their recordings, then the worst aligned."""
    with_gta = [row for row in rows if row.made == "gta"]
    far = sorted(with_gta, key=lambda row: (-(row.mel_l1 or 0.0), row.id))[:3]
    aligned = [row for row in with_gta if row.diagonality is not None and row not in far]
    astray = sorted(aligned, key=lambda row: (not row.doubt, row.diagonality, row.id))
    return far + astray[:2]


def _farthest(rows: Sequence[ReportRow]) -> list[dict[str, Any]]:
    """Ten utterances with the largest distance from their recordings."""
    ordered = sorted(rows, key=lambda row: (-(row.mel_l1 or 0.0), row.id))
    return [
        {name: getattr(row, name) for name in ("id", "mel_l1", "diagonality", "doubt")}
        for row in ordered[:10]
    ]


def _plot(path: Path, rows: Sequence[ReportRow]) -> None:
    from matplotlib.figure import Figure

    aligned = _has(rows, "diagonality")
    figure = Figure(figsize=(9 if aligned else 4.5, 3.2), dpi=80, layout="constrained")
    axes = figure.subplots(1, 1 + aligned, squeeze=False)[0]
    axes[0].hist([row.mel_l1 for row in rows], bins=40)
    axes[0].set_xlabel("mean |GTA - natural|, in the mel's unit")
    axes[0].set_ylabel("utterances")
    if aligned:
        axes[1].hist([row.diagonality for row in rows], bins=40, range=(0, 1))
        axes[1].set_xlabel("diagonality of the alignment")
    figure.savefig(path, format="png", metadata={"Software": None})
