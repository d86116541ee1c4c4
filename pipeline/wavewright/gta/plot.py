"""A picture of the utterances whose GTA mels are worst: natural mel, GTA mel, attention."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wavewright.data.shards import Array
from wavewright.gta.shard_maker import Entry


class Case(NamedTuple):
    """One row of the picture.

    Attributes:
        entry: the utterance and its scores.
        natural: mel of the recording.
        made: GTA mel.
        alignment: (steps, symbols), or None where the mel was read from a file.
        symbols: written along the text axis.
    """

    entry: Entry
    natural: Array
    made: Array
    alignment: Array | None = None
    symbols: Sequence[str] = ()


def plot_cases(path: Path, cases: Sequence[Case]) -> None:
    """Write the cases into one PNG, a row each; equal cases give equal bytes."""
    from matplotlib.figure import Figure

    columns = 3 if any(case.alignment is not None for case in cases) else 2
    figure = Figure(
        figsize=(4.6 * columns, 2.7 * len(cases)), dpi=80, layout="constrained", facecolor="white"
    )
    grid = figure.subplots(len(cases), columns, squeeze=False)
    for row, case in zip(grid, cases, strict=True):
        low, high = np.percentile(case.natural, [1, 99.9])
        for axes, mel in zip(row, (case.natural, case.made), strict=False):
            axes.imshow(mel, aspect="auto", origin="lower", vmin=low, vmax=high, cmap="magma")
            axes.set_ylabel("band", fontsize=7)
        row[0].set_title(f"{case.entry.id}: natural", fontsize=8)
        row[1].set_title(_told(case.entry), fontsize=8)
        for axes in row:
            axes.tick_params(labelsize=6)
        if columns == 3:
            _draw_attention(row[2], case)
    for axes in grid[-1][:2]:
        axes.set_xlabel("frame", fontsize=7)
    figure.savefig(path, format="png", metadata={"Software": None})


def _told(entry: Entry) -> str:
    doubt = f"; {entry.doubt}" if entry.doubt else ""
    return f"GTA: {entry.mel_l1:.3f} from the natural mel{doubt}"


def _draw_attention(axes: Any, case: Case) -> None:
    if case.alignment is None:
        axes.set_axis_off()
        return
    axes.imshow(case.alignment.T, aspect="auto", origin="lower", vmin=0, vmax=1, cmap="viridis")
    axes.set_yticks(range(len(case.symbols)), labels=list(case.symbols))
    axes.set_title(f"attention: diagonality {case.entry.diagonality:.2f}", fontsize=8)
    axes.set_xlabel("decoder step", fontsize=7)
    axes.tick_params(axis="y", labelsize=3)
