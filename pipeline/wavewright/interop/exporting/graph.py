"""Exportable graph of a vocoder: a module of tensors with named inputs and outputs.

A graph draws no random numbers: a vocoder's noise is an input, so that the same noise gives the
same sound in every program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from wavewright.audio.filters import Gain
from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel
from wavewright.models.capabilities import Exportable, PredictsSpectrum, require_sampler
from wavewright.models.config import FrozenModel
from wavewright.models.vocoder import Vocoder
from wavewright.nn.noise import NoiseSpec
from wavewright.registry import FIRST_PARTY, find

_FRAMES = "frames"


class TensorPort(FrozenModel):
    """Input or output tensor of a graph.

    Attributes:
        name: name by which clients pass it.
        shape: sizes; "batch"; "frames"; or so many values per frame, such as "frames * 256".
        dtype: type of its values.
        kind: a mel, a kind of `Noise`, or a sound.
        about: description of the values.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: Literal["float32", "int64"] = "float32"
    kind: Literal["mel", "normal", "uniform", "choice", "sound"]
    about: str

    def per_frame(self, axis: int) -> int | None:
        """Values per frame along an axis that grows with the frames; None for others."""
        size = str(self.shape[axis])
        if not size.startswith(_FRAMES):
            return None
        return int(size.removeprefix(_FRAMES).removeprefix(" * ") or 1)


@dataclass(frozen=True)
class ExportGraph:
    """Module to export, with its inputs, outputs and parity test.

    Attributes:
        name: name of the vocoder.
        tolerance: its `rounding`.
        module: takes the inputs in order; its weights stay as they are.
        inputs, outputs: ports of the module.
        trial: inputs of so many items and frames and a seed, and what must come out.
    """

    name: str
    tolerance: float
    module: nn.Module
    inputs: tuple[TensorPort, ...]
    outputs: tuple[TensorPort, ...]
    trial: Callable[[int, int, int], tuple[list[Tensor], list[Tensor]]]


def waveform_graph(vocoder: Vocoder) -> ExportGraph:
    """Graph of `generate` (or `sample` of a latent vocoder) with the noise as inputs.

    Raises:
        WavewrightError: the vocoder is no graph of tensors; with the names of those that are.
    """
    vocoder = _require_exportable(vocoder)
    plain = _copy(vocoder)
    driven = plain.conditioning == "mel"
    longer = plain.noise_inputs(2)
    ports = [
        _noise_port(name, noise, longer[name]) for name, noise in plain.noise_inputs(1).items()
    ]
    if driven:
        samples: int | str = _per_frame(plain.hop_length)
    else:
        samples = require_sampler(plain).sample(1, seed=0).shape[1]
    wav = TensorPort(
        name="wav",
        shape=("batch", samples),
        kind="sound",
        about=f"samples in [-1, 1] at {plain.sample_rate} Hz",
    )

    def trial(batch: int, frames: int, seed: int) -> tuple[list[Tensor], list[Tensor]]:
        noise = plain.draw_noise(batch, frames, seed=seed)
        if not driven:
            return noise, [require_sampler(plain).sample(batch, seed=seed)]
        mel = _example_mel(plain.mel_spec, batch, frames, seed)
        return [mel, *noise], [plain.generate(mel, seed=seed)]

    inputs = ([_mel_port(plain.mel_spec)] if driven else []) + ports
    module = _Waveform(_precomputed_copy(vocoder))
    return ExportGraph(
        vocoder.name, vocoder.inference.export_atol, module, tuple(inputs), (wav,), trial
    )


def spectrum_graph(vocoder: PredictsSpectrum) -> ExportGraph:
    """Graph of the predicted spectrum, for clients that invert it themselves."""
    plain = _copy(vocoder)
    shape = ("batch", plain.mel_spec.n_fft // 2 + 1, _FRAMES)
    parts = {"mag": "magnitudes", "x": "cosines of phases", "y": "sines of phases"}
    outputs = tuple(
        TensorPort(name=name, shape=shape, kind="sound", about=about)
        for name, about in parts.items()
    )

    @torch.no_grad()
    def trial(batch: int, frames: int, seed: int) -> tuple[list[Tensor], list[Tensor]]:
        mel = _example_mel(plain.mel_spec, batch, frames, seed)
        return [mel], list(plain.predict_spectrum(mel))

    module = _Spectrum(_precomputed_copy(vocoder))
    inputs = (_mel_port(plain.mel_spec),)
    return ExportGraph(vocoder.name, vocoder.inference.export_atol, module, inputs, outputs, trial)


V = TypeVar("V", bound=Vocoder)


class _Waveform(nn.Module):
    def __init__(self, vocoder: Vocoder) -> None:
        super().__init__()
        self.vocoder = vocoder
        self.eval()

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.vocoder.synthesize(*inputs)


class _Spectrum(nn.Module):
    def __init__(self, vocoder: PredictsSpectrum) -> None:
        super().__init__()
        self.vocoder = vocoder
        self.eval()

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.vocoder.predict_spectrum(*inputs)


def _require_exportable(vocoder: Vocoder) -> Exportable:
    if not isinstance(vocoder, Exportable):
        names = FIRST_PARTY["vocoders"]
        able = [name for name in names if issubclass(find("vocoders", name), Exportable)]
        raise WavewrightError(
            f"'{vocoder.name}' cannot be exported: it does not synthesize in one pass through a "
            f"network. Vocoders that can be exported: {', '.join(able)}."
        )
    others = [step.step for step in vocoder.mel_spec.target_steps if not isinstance(step, Gain)]
    if others:
        raise WavewrightError(
            f"'{vocoder.name}' cannot be exported: undoing the target_steps of its mel "
            f"({', '.join(others)}) takes one sample after the other; only gain can be undone"
        )
    return vocoder


def _copy(vocoder: V) -> V:
    """Copy of a vocoder as loaded from a checkpoint: weight norm folded, float32, on the CPU."""
    plain = type(vocoder)(vocoder.config, name=vocoder.name)
    plain.load_inference_state({key: v.cpu() for key, v in vocoder.inference_state().items()})
    return plain.eval().requires_grad_(False)


def _precomputed_copy(vocoder: V) -> V:
    copy = _copy(vocoder)
    if isinstance(copy, Exportable):
        copy.precompute()
    return copy


def _mel_port(spec: MelSpec) -> TensorPort:
    shape = ("batch", spec.n_mels, _FRAMES)
    about = f"log-mel in the convention {spec.fingerprint}"
    return TensorPort(name="mel", shape=shape, kind="mel", about=about)


def _noise_port(name: str, one: NoiseSpec, two: NoiseSpec) -> TensorPort:
    """Port of a noise input; its shapes for one and two frames show what grows with frames."""
    sizes = zip(one.shape, two.shape, strict=True)
    shape = tuple(size if size == twice else _per_frame(size) for size, twice in sizes)
    about = {
        "normal": "standard normal numbers",
        "uniform": "uniform numbers in [-1, 1)",
        "choice": "; ".join(f"{number}: {choice}" for number, choice in enumerate(one.choices)),
    }[one.kind]
    return TensorPort(
        name=name,
        shape=("batch", *shape),
        dtype="int64" if one.kind == "choice" else "float32",
        kind=one.kind,
        about=about,
    )


def _per_frame(values: int) -> str:
    return _FRAMES if values == 1 else f"{_FRAMES} * {values}"


def _example_mel(spec: MelSpec, batch: int, frames: int, seed: int) -> Tensor:
    """Mel of white noise, (batch, n_mels, frames), each item quieter than the one before."""
    random = torch.Generator().manual_seed(seed)
    samples = max(spec.n_fft, (frames + 1) * spec.hop_length)
    level = 0.3 * 0.1 ** torch.arange(float(batch))
    wav = level[:, None] * torch.randn(batch, samples, generator=random).clamp(-3, 3)
    return log_mel(wav, spec)[..., :frames]
