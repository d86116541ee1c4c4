"""Vocoders for sherpa-onnx, which vocodes Matcha's mels with an ONNX model.

The metadata field `model_type` selects one of two kinds: `hifigan` predicts a waveform, `vocos`
spectra, which sherpa-onnx inverts itself by the other fields. A file without `model_type` crashes
its process, so every field is required here and read back from the file.

Source: sherpa-onnx 2.0.1, offline-tts-vocoder-model (its behaviour; Apache-2.0).
"""

from __future__ import annotations

from typing import Literal

from wavewright.errors import WavewrightError
from wavewright.interop.exporting.graph import ExportGraph, spectrum_graph, waveform_graph
from wavewright.models.capabilities import PredictsSpectrum
from wavewright.models.config import FrozenModel
from wavewright.models.vocoder import Vocoder


class WaveformFields(FrozenModel):
    """Metadata of a vocoder that turns a mel into samples."""

    model_type: Literal["hifigan"] = "hifigan"


class SpectrumFields(FrozenModel):
    """Metadata of a vocoder that predicts spectra, with the parameters of their inverse."""

    model_type: Literal["vocos"] = "vocos"
    n_fft: int
    hop_length: int
    win_length: int
    center: Literal[1] = 1
    normalized: Literal[0] = 0
    window_type: Literal["hann"] = "hann"
    pad_mode: Literal["reflect"] = "reflect"


def sherpa_graph(vocoder: Vocoder) -> tuple[ExportGraph, FrozenModel]:
    """Graph of a vocoder that sherpa-onnx can run, and the metadata that it reads.

    Spectra are given only where its transform can undo them: centred frames, and nothing to be
    done to the waveform afterwards. Others that predict spectra invert them in the graph.

    Raises:
        WavewrightError: it needs more than a mel.
    """
    spec = vocoder.mel_spec
    graph = waveform_graph(vocoder)
    more = [port.name for port in graph.inputs if port.name != "mel"]
    if vocoder.conditioning != "mel" or more:
        raise WavewrightError(
            f"'{vocoder.name}' cannot be exported for sherpa-onnx, which gives a vocoder nothing "
            f"but a mel: it is driven by {', '.join(port.name for port in graph.inputs)}. "
            "--format onnx can be used with onnxruntime."
        )
    if isinstance(vocoder, PredictsSpectrum) and spec.framing == "center" and not spec.target_steps:
        fields = SpectrumFields(n_fft=spec.n_fft, hop_length=spec.hop_length, win_length=spec.n_fft)
        return spectrum_graph(vocoder), fields
    return graph, WaveformFields()
