"""Check of a vocoder's ONNX file against PyTorch."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from wavewright.errors import MissingExtra, WavewrightError
from wavewright.interop.exporting.export import export_vocoder
from wavewright.interop.exporting.graph import waveform_graph
from wavewright.interop.exporting.onnx import open_session, require_onnx_packages, require_parity
from wavewright.models.vocoder import Vocoder
from wavewright.testing.inputs import (
    FRAMES,
    ready,
    refuses,
)


def check_export(vocoder: Vocoder) -> None:
    """ONNX Runtime says what `generate` or `sample` says, or it refuses if `exports` is False.

    Of sizes that the exporter has not seen, one frame among them. Without the extra `onnx` nothing
    is checked.
    """
    vocoder = ready(vocoder)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocoder.onnx"
        if not vocoder.exports:
            refuses(lambda: export_vocoder(vocoder, path), "export, because exports is False")
            return
        with contextlib.suppress(MissingExtra):
            require_onnx_packages()
            _check_exported(vocoder, path)


def _check_exported(vocoder: Vocoder, path: Path) -> None:
    try:
        export_vocoder(vocoder, path)
        session, graph = open_session(path), waveform_graph(vocoder)
        for batch, frames in ((1, 1), (3, 1), (1, FRAMES), (2, 40)):
            require_parity(graph, session, batch, frames, seed=3)
    except WavewrightError as error:
        raise AssertionError(
            f"exports is True, so synthesize() must be one graph for every size: {error}"
        ) from error
