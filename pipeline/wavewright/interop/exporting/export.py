"""A checkpoint in, another program's file out: what the command `export` does."""

from __future__ import annotations

from pathlib import Path

from wavewright.checkpoints.checkpoint import load_vocoder, read_weights, weights_file
from wavewright.errors import MelMismatch, WavewrightError
from wavewright.interop.espnet import mel_of_config
from wavewright.interop.exporting.graph import waveform_graph
from wavewright.interop.exporting.onnx import About, import_packages, write_onnx
from wavewright.interop.exporting.parallel_wavegan import unlike_theirs, write_parallel_wavegan
from wavewright.interop.exporting.sherpa_onnx import sherpa_graph
from wavewright.interop.exporting.snippets import (
    for_onnxruntime,
    for_parallel_wavegan,
    for_sherpa_onnx,
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
    """Export a vocoder; returns what it did and how the file is used.

    Args:
        checkpoint: a run or step folder, or a .safetensors file.
        out: the file to write, or for ParallelWaveGAN the folder.
        form: `onnx`, for ONNX Runtime, `sherpa-onnx`, or `parallel-wavegan`.
        model: for ParallelWaveGAN, config.yaml of the ESPnet model whose mels it will be given.
        check: for sherpa-onnx, let the file itself refuse mels in another logarithm.

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
    import_packages()
    weights = weights_file(checkpoint)
    vocoder = load_vocoder(weights)
    step = read_weights(weights)[0]["step"]
    about, worst = export_vocoder(vocoder, out, form=form, step=step, check=check)
    snippet = for_onnxruntime if form == "onnx" else for_sherpa_onnx
    return (
        f"{out}: {vocoder.name}, {out.stat().st_size / 1e6:.1f} MB; ONNX Runtime and PyTorch "
        f"differ by {worst:.1g} at most\n\n{snippet(out, about)}"
    )


def export_vocoder(
    vocoder: Vocoder, out: Path, *, form: str = "onnx", step: int = 0, check: bool = True
) -> tuple[About, float]:
    """Export a loaded vocoder; what the file says of itself, and the largest difference."""
    if form == "onnx":
        graph = waveform_graph(vocoder)
        about = About.of(vocoder, graph, step)
        return about, write_onnx(graph, out, about)
    graph, fields = sherpa_graph(vocoder)
    about = About.of(vocoder, graph, step)
    guarded = vocoder.mel if check else None
    return about, write_onnx(graph, out, about, fields, guarded=guarded)


def _for_parallel_wavegan(checkpoint: Path, out: Path, model: Path | None) -> str:
    weights = weights_file(checkpoint)
    vocoder = load_vocoder(weights)
    step = read_weights(weights)[0]["step"]
    if model is not None:
        spec = mel_of_config(model)
        try:
            require_convertible(spec, vocoder.mel)
        except MelMismatch as error:
            raise MelMismatch(f"'{vocoder.name}' cannot follow {model}: {error}") from error
        file, *_ = write_parallel_wavegan(vocoder, out, step, spec.log)
        return f"{file}: {vocoder.name}, for mels in {spec.log}\n\n{for_parallel_wavegan(file)}"
    file, *_ = write_parallel_wavegan(vocoder, out, step)
    remark = unlike_theirs(vocoder.mel)
    if remark:
        remark = (
            f"; its mels are not those that ParallelWaveGAN and ESPnet extract ({remark}): "
            "give it mels of Wavewright's, in log10"
        )
    return f"{file}: {vocoder.name}{remark}\n\n{for_parallel_wavegan(file)}"
