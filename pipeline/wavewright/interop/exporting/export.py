"""Command `export`: from a checkpoint to another program's file."""

from __future__ import annotations

from pathlib import Path

from wavewright.checkpoints.checkpoint import load_vocoder, read_weights, weights_file
from wavewright.errors import MelMismatch, WavewrightError
from wavewright.interop.espnet import mel_spec_of_config
from wavewright.interop.exporting.graph import waveform_graph
from wavewright.interop.exporting.onnx import ExportMetadata, require_onnx_packages, write_onnx
from wavewright.interop.exporting.parallel_wavegan import mel_differences, write_parallel_wavegan
from wavewright.interop.exporting.sherpa_onnx import sherpa_graph
from wavewright.interop.exporting.snippets import (
    onnxruntime_snippet,
    parallel_wavegan_snippet,
    sherpa_onnx_snippet,
)
from wavewright.mel.transform import require_convertible
from wavewright.models.vocoder import Vocoder


def export_file(
    checkpoint: Path,
    out: Path,
    *,
    form: str = "onnx",
    model: Path | None = None,
    check: bool = True,
) -> str:
    """Export a vocoder; returns a summary with a usage snippet.

    Args:
        checkpoint: a run or step folder, or a .safetensors file.
        out: the file to write, or for ParallelWaveGAN the folder.
        form: `onnx`, for ONNX Runtime, `sherpa-onnx`, or `parallel-wavegan`.
        model: config.yaml of the ESPnet model whose mels it will get (ParallelWaveGAN only).
        check: let the file itself refuse mels in another logarithm (sherpa-onnx only).

    Raises:
        MissingExtra: packages that the form needs are not installed.
        MelMismatch: the vocoder cannot follow the model.
        WavewrightError: the vocoder cannot be exported so.
    """
    if model is not None and form != "parallel-wavegan":
        raise WavewrightError("--espnet-config names the model of files for parallel-wavegan only")
    if not check and form != "sherpa-onnx":
        raise WavewrightError("--no-log-check belongs to --format sherpa-onnx")
    if form == "parallel-wavegan":
        return _for_parallel_wavegan(checkpoint, out, model)
    require_onnx_packages()
    weights = weights_file(checkpoint)
    vocoder = load_vocoder(weights)
    step = read_weights(weights)[0]["step"]
    about, worst = export_vocoder(vocoder, out, form=form, step=step, check=check)
    snippet = onnxruntime_snippet if form == "onnx" else sherpa_onnx_snippet
    return (
        f"{out}: {vocoder.name}, {out.stat().st_size / 1e6:.1f} MB; ONNX Runtime and PyTorch "
        f"differ by {worst:.1g} at most\n\n{snippet(out, about)}"
    )


def export_vocoder(
    vocoder: Vocoder, out: Path, *, form: str = "onnx", step: int = 0, check: bool = True
) -> tuple[ExportMetadata, float]:
    """Export a loaded vocoder; returns the metadata and the largest parity error."""
    if form == "onnx":
        graph = waveform_graph(vocoder)
        about = ExportMetadata.of(vocoder, graph, step)
        return about, write_onnx(graph, out, about)
    graph, fields = sherpa_graph(vocoder)
    about = ExportMetadata.of(vocoder, graph, step)
    guarded = vocoder.mel_spec if check else None
    return about, write_onnx(graph, out, about, fields, guarded=guarded)


def _for_parallel_wavegan(checkpoint: Path, out: Path, model: Path | None) -> str:
    weights = weights_file(checkpoint)
    vocoder = load_vocoder(weights)
    step = read_weights(weights)[0]["step"]
    if model is not None:
        spec = mel_spec_of_config(model)
        try:
            require_convertible(spec, vocoder.mel_spec)
        except MelMismatch as error:
            raise MelMismatch(f"'{vocoder.name}' cannot follow {model}: {error}") from error
        file, *_ = write_parallel_wavegan(vocoder, out, step, spec.log)
        return f"{file}: {vocoder.name}, for mels in {spec.log}\n\n{parallel_wavegan_snippet(file)}"
    file, *_ = write_parallel_wavegan(vocoder, out, step)
    remark = mel_differences(vocoder.mel_spec)
    if remark:
        remark = (
            f"; its mels are not those that ParallelWaveGAN and ESPnet extract ({remark}): "
            "give it mels of Wavewright's, in log10"
        )
    return f"{file}: {vocoder.name}{remark}\n\n{parallel_wavegan_snippet(file)}"
