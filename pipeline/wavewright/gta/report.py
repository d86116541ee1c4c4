"""The account of a GTA stage: a row per utterance, a summary, histograms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wavewright.gta.shard_maker import Entry


def write_report(folder: Path, entries: Sequence[Entry], **more: Any) -> None:
    """Write `report.csv`, `report.json` and, if anything was made, `distances.png`.

    Args:
        folder: where they go.
        entries: one per utterance; their order does not matter.
        more: for the summary.
    """
    import pandas as pd

    ordered = sorted(entries, key=lambda entry: entry.id)
    frame = pd.DataFrame([vars(entry) for entry in ordered], columns=list(Entry.__annotations__))
    frame.to_csv(folder / "report.csv", index=False, float_format="%.6f", lineterminator="\n")
    made = [entry for entry in ordered if entry.made == "gta"]
    summary: dict[str, Any] = {
        "utterances": len(ordered),
        "made": len(made),
        "replaced_by_natural": sum(entry.made == "natural" for entry in ordered),
        "left_out": sum(entry.made == "no" for entry in ordered),
        "doubtful": sum(bool(entry.doubt) for entry in made),
        "lengths_equal": all(entry.frames == entry.frames_natural for entry in made),
        "frames_cut": sum(entry.cut for entry in made),
        "frames_padded": sum(entry.padded for entry in made),
        "measures": {name: _spread(made, name) for name in _MEASURES if _has(made, name)},
        "farthest_from_natural": _farthest(made),
        **more,
    }
    (folder / "report.json").write_text(json.dumps(summary, indent=1) + "\n")
    if made:
        _plot(folder / "distances.png", made)


_MEASURES = ("mel_l1", "focus", "diagonality", "coverage", "order")


def _has(entries: Sequence[Entry], name: str) -> bool:
    """Whether a measure was taken: mels that were read have no alignment."""
    return any(getattr(entry, name) is not None for entry in entries)


def _spread(entries: Sequence[Entry], name: str) -> dict[str, float]:
    """Mean and percentiles of one measure."""
    import numpy as np

    values = np.array([getattr(entry, name) for entry in entries], dtype=float)
    low, middle, high = np.percentile(values, [5, 50, 95])
    spread = {"mean": values.mean(), "p5": low, "median": middle, "p95": high}
    return {key: round(float(value), 6) for key, value in spread.items()}


def worst(entries: Sequence[Entry]) -> list[Entry]:
    """Those to look at: the farthest from their recordings, then those least aligned."""
    made = [entry for entry in entries if entry.made == "gta"]
    far = sorted(made, key=lambda entry: (-(entry.mel_l1 or 0.0), entry.id))[:3]
    aligned = [entry for entry in made if entry.diagonality is not None and entry not in far]
    astray = sorted(aligned, key=lambda entry: (not entry.doubt, entry.diagonality, entry.id))
    return far + astray[:2]


def _farthest(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The ten utterances that differ most from their recordings."""
    ordered = sorted(entries, key=lambda entry: (-(entry.mel_l1 or 0.0), entry.id))
    return [
        {name: getattr(entry, name) for name in ("id", "mel_l1", "diagonality", "doubt")}
        for entry in ordered[:10]
    ]


def _plot(path: Path, entries: Sequence[Entry]) -> None:
    from matplotlib.figure import Figure

    aligned = _has(entries, "diagonality")
    figure = Figure(figsize=(9 if aligned else 4.5, 3.2), dpi=80, layout="constrained")
    axes = figure.subplots(1, 1 + aligned, squeeze=False)[0]
    axes[0].hist([entry.mel_l1 for entry in entries], bins=40)
    axes[0].set_xlabel("mean |GTA - natural|, in the mel's unit")
    axes[0].set_ylabel("utterances")
    if aligned:
        axes[1].hist([entry.diagonality for entry in entries], bins=40, range=(0, 1))
        axes[1].set_xlabel("diagonality of the alignment")
    figure.savefig(path, format="png", metadata={"Software": None})
