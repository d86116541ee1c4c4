"""Plot of the worst GTA mels: natural mel, GTA mel, attention."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wavewright.data.shards import Array
from wavewright.gta.shard_maker import ReportRow


class UtterancePlot(NamedTuple):
    """One row of the plot.

    Attributes:
        row: report row of the utterance.
        natural: mel of the recording.
        gta: GTA mel.
        alignment: (steps, symbols), or None for external mels.
        symbols: labels of the text axis.
    """

    row: ReportRow
    natural: Array
    gta: Array
    alignment: Array | None = None
    symbols: Sequence[str] = ()


def plot_utterances(path: Path, plots: Sequence[UtterancePlot]) -> None:
    """Plot utterances into one PNG, a row each; equal input gives equal bytes."""
    from matplotlib.figure import Figure

    columns = 3 if any(plot.alignment is not None for plot in plots) else 2
    figure = Figure(
        figsize=(4.6 * columns, 2.7 * len(plots)), dpi=80, layout="constrained", facecolor="white"
    )
    grid = figure.subplots(len(plots), columns, squeeze=False)
    for axes_row, plot in zip(grid, plots, strict=True):
        low, high = np.percentile(plot.natural, [1, 99.9])
        for axes, mel in zip(axes_row, (plot.natural, plot.gta), strict=False):
            axes.imshow(mel, aspect="auto", origin="lower", vmin=low, vmax=high, cmap="magma")
            axes.set_ylabel("band", fontsize=7)
        axes_row[0].set_title(f"{plot.row.id}: natural", fontsize=8)
        axes_row[1].set_title(_title(plot.row), fontsize=8)
        for axes in axes_row:
            axes.tick_params(labelsize=6)
        if columns == 3:
            _plot_attention(axes_row[2], plot)
    for axes in grid[-1][:2]:
        axes.set_xlabel("frame", fontsize=7)
    figure.savefig(path, format="png", metadata={"Software": None})


def _title(row: ReportRow) -> str:
    failure = f"; {row.doubt}" if row.doubt else ""
    return f"GTA: {row.mel_l1:.3f} from the natural mel{failure}"


def _plot_attention(axes: Any, plot: UtterancePlot) -> None:
    if plot.alignment is None:
        axes.set_axis_off()
        return
    axes.imshow(plot.alignment.T, aspect="auto", origin="lower", vmin=0, vmax=1, cmap="viridis")
    axes.set_yticks(range(len(plot.symbols)), labels=list(plot.symbols))
    axes.set_title(f"attention: diagonality {plot.row.diagonality:.2f}", fontsize=8)
    axes.set_xlabel("decoder step", fontsize=7)
    axes.tick_params(axis="y", labelsize=3)
