"""ONNX files with complete metadata, compared with PyTorch before they are published.

torch's exporter follows the shapes as symbols, so that one file takes any batch and any number of
frames (the older one, by tracing, is on its way out of torch).
"""

from __future__ import annotations

import importlib
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wavewright._version import __version__
from wavewright.errors import MissingExtra, WavewrightError
from wavewright.interop.exporting.graph import ExportGraph, TensorPort
from wavewright.interop.exporting.onnx_guard import add_log_guard
from wavewright.io.files import atomic_write
from wavewright.mel.spec import MelSpec
from wavewright.models.config import FrozenModel
from wavewright.models.vocoder import Vocoder

_OPSET = 18
_MOST_BYTES = 2**31 - 2**20  # of a protobuf, with room for what is not weights
_EXAMPLE = (2, 7)  # items and frames that the exporter sees; the trials have others
_TRIALS = ((1, 5), (3, 23))


class ExportMetadata(FrozenModel):
    """Metadata of an exported file; each field is a key.

    Attributes:
        wavewright: version that wrote it.
        vocoder, config, step: name, configuration and steps of training.
        mel, mel_fingerprint: the convention that it was trained on.
        sample_rate: Hz of the waveform.
        hop_length: samples per frame.
        inputs, outputs: ports of the graph.
    """

    wavewright: str = __version__
    vocoder: str
    config: dict[str, Any]
    step: int
    mel: MelSpec
    mel_fingerprint: str
    sample_rate: int
    hop_length: int
    inputs: tuple[TensorPort, ...]
    outputs: tuple[TensorPort, ...]

    @classmethod
    def of(cls, vocoder: Vocoder, graph: ExportGraph, step: int) -> ExportMetadata:
        """Metadata of a vocoder's graph."""
        return cls(
            vocoder=vocoder.name,
            config=vocoder.config.model_dump(mode="json"),
            step=step,
            mel=vocoder.mel_spec,
            mel_fingerprint=vocoder.mel_spec.fingerprint,
            sample_rate=vocoder.sample_rate,
            hop_length=vocoder.hop_length,
            inputs=graph.inputs,
            outputs=graph.outputs,
        )


def write_onnx(
    graph: ExportGraph, path: Path, *tables: FrozenModel, guarded: MelSpec | None = None
) -> float:
    """Convert a graph to ONNX, test it against PyTorch and write it atomically.

    Args:
        graph: graph to write.
        path: the .onnx file.
        tables: models whose fields all become metadata of the file.
        guarded: the convention whose logarithm the file itself is to insist on
            (`onnx_guard.add_log_guard`).

    Returns:
        The largest difference between ONNX Runtime and PyTorch, over two trials.

    Raises:
        MissingExtra: the extra `onnx` is not installed.
        WavewrightError: the graph cannot be converted, or the two differ.
    """
    require_onnx_packages()
    import onnx

    if path.is_dir():
        raise WavewrightError(f"{path}: a folder; give the name of a file to write")
    model = _convert(graph)
    facts = _metadata(tables)
    onnx.helper.set_model_props(model, facts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as scratch:
        scratch.write_bytes(model.SerializeToString())
        worst = max(require_parity(graph, open_session(scratch), *size, seed=3) for size in _TRIALS)
        if guarded is not None:  # which the trials' noise, being no speech, would not pass
            add_log_guard(model, guarded)
            onnx.checker.check_model(model)
            scratch.write_bytes(model.SerializeToString())
            require_parity(graph, open_session(scratch), *_TRIALS[0], seed=3)
        _require_metadata(open_session(scratch), facts, path)
        return worst


def require_onnx_packages() -> None:
    """Raise a MissingExtra unless ONNX files can be written and run."""
    try:
        for package in ("onnx", "onnxruntime", "onnxscript"):
            importlib.import_module(package)
    except ImportError as error:
        raise MissingExtra(
            f"ONNX files need onnx, onnxscript and onnxruntime ({error}): "
            "pip install 'wavewright[onnx]'"
        ) from error


def _metadata(tables: tuple[FrozenModel, ...]) -> dict[str, str]:
    """Metadata as strings: texts as they are, everything else as JSON."""
    fields = {key: v for table in tables for key, v in table.model_dump(mode="json").items()}
    return {key: v if isinstance(v, str) else json.dumps(v) for key, v in fields.items()}


def _convert(graph: ExportGraph) -> Any:
    """Convert the graph to an onnx.ModelProto, with names for all dynamic sizes."""
    weights = sum(v.numel() * v.element_size() for v in graph.module.state_dict().values())
    if weights > _MOST_BYTES:
        raise WavewrightError(
            f"'{graph.name}' cannot be exported: its weights take {weights / 2**30:.2f} GiB, and "
            "an ONNX file holds 2 GiB"
        )
    inputs, _ = graph.trial(*_EXAMPLE, 0)
    sizes = {"batch": torch.export.Dim("batch"), "frames": torch.export.Dim("frames")}
    try:
        with _quiet():
            program = torch.onnx.export(
                graph.module,
                tuple(inputs),
                dynamo=True,
                verbose=False,
                opset_version=_OPSET,
                input_names=[port.name for port in graph.inputs],
                output_names=[port.name for port in graph.outputs],
                dynamic_shapes=(tuple(_dynamic_axes(port, sizes) for port in graph.inputs),),
            )
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise WavewrightError(
            f"'{graph.name}' cannot be exported by torch {torch.__version__}: {reason[0]}"
        ) from error
    assert program is not None
    model = program.model_proto
    _tidy(model, graph)
    return model


def _dynamic_axes(port: TensorPort, sizes: dict[str, Any]) -> dict[int, Any]:
    """Dynamic axes of a tensor."""
    varying = {axis: sizes["batch"] for axis, size in enumerate(port.shape) if size == "batch"}
    for axis in range(len(port.shape)):
        if (values := port.per_frame(axis)) is not None:
            varying[axis] = values * sizes["frames"] if values > 1 else sizes["frames"]
    return varying


def _tidy(model: Any, graph: ExportGraph) -> None:
    """Name the dynamic sizes, and drop traces of the exporting machine."""
    model.producer_name, model.producer_version = "wavewright", __version__
    for values, ports in ((model.graph.input, graph.inputs), (model.graph.output, graph.outputs)):
        for value, port in zip(values, ports, strict=True):
            for size, ours in zip(value.type.tensor_type.shape.dim, port.shape, strict=True):
                if isinstance(ours, str):
                    size.dim_param = ours
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]


def open_session(path: Path) -> Any:
    """Open an onnxruntime.InferenceSession on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def require_parity(
    graph: ExportGraph, session: Any, batch: int, frames: int, *, seed: int = 0
) -> float:
    """Largest difference between ONNX Runtime and PyTorch in a trial.

    In units of the largest value that must come out, where that is above 1.

    Raises:
        WavewrightError: it is above the graph's tolerance.
    """
    inputs, expected = graph.trial(batch, frames, seed)
    names = [port.name for port in graph.inputs]
    outputs = session.run(None, {n: v.numpy() for n, v in zip(names, inputs, strict=True)})
    pairs = zip(outputs, expected, strict=True)
    worst = max(_difference(torch.from_numpy(answer), reference) for answer, reference in pairs)
    if not worst <= graph.tolerance:
        raise WavewrightError(
            f"'{graph.name}' was not exported: for {batch} items of {frames} frames ONNX Runtime "
            f"and PyTorch differ by {worst:.3g}, allowed is {graph.tolerance:g}"
        )
    return worst


def _require_metadata(session: Any, facts: dict[str, str], path: Path) -> None:
    metadata = session.get_modelmeta().custom_metadata_map
    lost = sorted(key for key, value in facts.items() if metadata.get(key) != value)
    if lost:
        raise WavewrightError(f"{path}: metadata was lost in writing: {', '.join(lost)}")


def _difference(output: Tensor, reference: Tensor) -> float:
    """Largest relative difference; infinite if shapes or types differ."""
    if output.shape != reference.shape or output.dtype != reference.dtype:
        return float("inf")
    return float((output - reference).abs().max()) / max(1.0, float(reference.abs().max()))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's warnings and logs."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
