"""A checkpoint in, another program's file out: what the command `export` does."""

from __future__ import annotations

from pathlib import Path

from wavewright.checkpoint import load_vocoder, read_weights, weights_file
from wavewright.interop.graph import waveform_graph
from wavewright.interop.onnx import About, import_packages, write_onnx
from wavewright.interop.parallel_wavegan import unlike_theirs, write_parallel_wavegan
from wavewright.interop.sherpa_onnx import sherpa_graph
from wavewright.interop.snippets import for_onnxruntime, for_parallel_wavegan, for_sherpa_onnx
from wavewright.vocoder import Vocoder


def export_file(checkpoint: Path, out: Path, *, form: str = "onnx") -> str:
    """Export a vocoder; returns what it did and how the file is used.

    Args:
        checkpoint: a run or step folder, or a .safetensors file.
        out: the file to write, or for ParallelWaveGAN the folder.
        form: `onnx`, for ONNX Runtime, `sherpa-onnx`, or `parallel-wavegan`.

    Raises:
        MissingExtra: packages that the form needs are not installed.
        WavewrightError: the vocoder cannot be exported so.
    """
    if form == "parallel-wavegan":
        return _for_parallel_wavegan(checkpoint, out)
    import_packages()
    weights = weights_file(checkpoint)
    vocoder = load_vocoder(weights)
    about, worst = export_vocoder(vocoder, out, form=form, step=read_weights(weights)[0]["step"])
    snippet = for_onnxruntime if form == "onnx" else for_sherpa_onnx
    return (
        f"{out}: {vocoder.name}, {out.stat().st_size / 1e6:.1f} MB; ONNX Runtime and PyTorch "
        f"differ by {worst:.1g} at most\n\n{snippet(out, about)}"
    )


def export_vocoder(
    vocoder: Vocoder, out: Path, *, form: str = "onnx", step: int = 0
) -> tuple[About, float]:
    """Export a loaded vocoder; what the file says of itself, and the largest difference."""
    if form == "onnx":
        graph = waveform_graph(vocoder)
        about = About.of(vocoder, graph, step)
        return about, write_onnx(graph, out, about)
    graph, fields = sherpa_graph(vocoder)
    about = About.of(vocoder, graph, step)
    return about, write_onnx(graph, out, about, fields)


def _for_parallel_wavegan(checkpoint: Path, out: Path) -> str:
    weights = weights_file(checkpoint)
    vocoder = load_vocoder(weights)
    file, *_ = write_parallel_wavegan(vocoder, out, read_weights(weights)[0]["step"])
    remark = unlike_theirs(vocoder.mel)
    if remark:
        remark = (
            f"; its mels are not those that ParallelWaveGAN and ESPnet extract ({remark}): "
            "give it mels of Wavewright's, in log10"
        )
    return f"{file}: {vocoder.name}{remark}\n\n{for_parallel_wavegan(file)}"
