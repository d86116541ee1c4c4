"""Plots of attention: text upwards, time to the right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from wavewright.models.acoustic import AcousticOutput


class Panel(NamedTuple):
    """One alignment of the plot.

    Attributes:
        title: title line.
        output: synthesized utterance whose alignment is shown.
        symbols: labels of the text axis.
    """

    title: str
    output: AcousticOutput
    symbols: Sequence[str]


def plot_attention(path: Path, panels: Sequence[Panel], columns: int = 2) -> None:
    """Plot alignments into one PNG, row by row; equal panels give equal bytes."""
    from matplotlib.figure import Figure

    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(6.0 * columns, 4.0 * rows), dpi=90)
    figure.subplots_adjust(
        left=0.06,
        right=0.98,
        top=1 - 0.5 / (4.0 * rows),
        bottom=0.5 / (4.0 * rows),
        wspace=0.12,
        hspace=0.4,
    )
    for axes, panel in zip(
        figure.subplots(rows, columns, squeeze=False).flat, panels, strict=False
    ):
        weights = panel.output.alignment.T.numpy()
        axes.imshow(weights, aspect="auto", origin="lower", vmin=0, vmax=1, cmap="viridis")
        scores = panel.output.scores
        end = "" if panel.output.stopped else ", no end found"
        axes.set_title(
            f"{panel.title}\nfocus {scores.focus:.2f}, diagonality {scores.diagonality:.2f}, "
            f"coverage {scores.coverage:.2f}{end}",
            fontsize=8,
        )
        axes.set_yticks(range(len(panel.symbols)), labels=list(panel.symbols), fontsize=5)
        axes.set_xlabel("decoder step", fontsize=7)
        axes.tick_params(axis="x", labelsize=7)
    figure.savefig(path, format="png", metadata={"Software": None})
