"""Python snippets, printed for users, that run an exported file in its client."""

from __future__ import annotations

import json
from pathlib import Path

from wavewright.interop.exporting.graph import TensorPort
from wavewright.interop.exporting.onnx import ExportMetadata

_FRAMES = 100
_VALUES = {
    "mel": "random.normal(-5, 2, {size})",
    "normal": "random.standard_normal({size})",
    "uniform": "random.uniform(-1, 1, {size})",
}


def onnxruntime_snippet(path: Path, about: ExportMetadata) -> str:
    """Snippet for ONNX Runtime with random inputs; runs as is."""
    lines = [
        "import numpy as np",
        "import onnxruntime",
        "",
        f"session = onnxruntime.InferenceSession({json.dumps(str(path))})",
        "random = np.random.default_rng(0)",
    ]
    for port in about.inputs:
        lines.append(f"{port.name} = {_value(port)}  # {', '.join(map(str, port.shape))}")
    feeds = ", ".join(f'"{port.name}": {port.name}' for port in about.inputs)
    wav = about.outputs[0]
    shape = ", ".join(map(str, wav.shape))
    lines.append(f"{wav.name} = session.run(None, {{{feeds}}})[0]  # {shape}: {wav.about}")
    return "\n".join(lines)


def sherpa_onnx_snippet(path: Path, about: ExportMetadata) -> str:
    """Snippet for sherpa-onnx; the acoustic model's files are the user's."""
    return "\n".join(
        [
            "import sherpa_onnx",
            "",
            f"# A Matcha model at {about.sample_rate} Hz whose mel is this vocoder's.",
            "matcha = sherpa_onnx.OfflineTtsMatchaModelConfig(",
            '    acoustic_model="matcha.onnx",',
            f"    vocoder={json.dumps(str(path))},",
            '    lexicon="lexicon.txt",',
            '    tokens="tokens.txt",',
            ")",
            "model = sherpa_onnx.OfflineTtsModelConfig(matcha=matcha)",
            "speaker = sherpa_onnx.OfflineTts(sherpa_onnx.OfflineTtsConfig(model=model))",
            'said = speaker.generate("Good morning.")',
        ]
    )


def parallel_wavegan_snippet(path: Path) -> str:
    """Snippet for ParallelWaveGAN's `load_model` and ESPnet's option."""
    return "\n".join(
        [
            "from parallel_wavegan.utils import load_model",
            "",
            f"# In ESPnet: Text2Speech(..., vocoder_file={json.dumps(str(path))})",
            f"vocoder = load_model({json.dumps(str(path))}).eval()",
            "wav = vocoder.inference(mel, normalize_before=True)  # (frames, n_mels) in log10",
        ]
    )


def _value(port: TensorPort) -> str:
    size = "(" + ", ".join(str(_size(port, axis)) for axis in range(len(port.shape)))
    size += ",)" if len(port.shape) == 1 else ")"
    if port.dtype == "int64":
        return f"np.zeros({size}, np.int64)"
    return _VALUES[port.kind].format(size=size) + ".astype(np.float32)"


def _size(port: TensorPort, axis: int) -> int:
    if (values := port.per_frame(axis)) is not None:
        return values * _FRAMES
    return 1 if port.shape[axis] == "batch" else int(port.shape[axis])
