"""WaveNet (van den Oord et al. 2016, arXiv:1609.03499): every sample from all before it.

Dilated causal convolutions with gates look back over hundreds of samples; a softmax over mu-law
labels, a mixture of logistics or a Gaussian says what the next one may be. Conditioned on mels as
in Tacotron 2 (Shen et al. 2017, arXiv:1712.05884). Facts that the papers leave open are those of
Yamamoto's wavenet_vocoder, whose state dicts load; widths of the 12-layer and of the unconditional
network are our own choice, since no paper states them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from wavewright.errors import WavewrightError
from wavewright.kernels.loop import Engine, FastLoop, Loop, Window
from wavewright.mel.spec import MelSpec
from wavewright.models.autoregressive import SequentialConfig, SequentialVocoder
from wavewright.models.base import Update
from wavewright.models.batch import Batch
from wavewright.models.config import ModelConfig, OptimizerConfig
from wavewright.nn.autocast import in_float32
from wavewright.nn.initialization import for_relu
from wavewright.nn.likelihood import (
    categorical_nll,
    draw_categorical,
    draw_gaussian,
    draw_logistics,
    gaussian_nll,
    logistics_nll,
    uniforms_of,
)
from wavewright.nn.quantization import Rounding, mu_law_decode, mu_law_encode, silence
from wavewright.nn.upsample_network import ContextStretch
from wavewright.nn.upsample_rates import fit_rates, require_rates
from wavewright.nn.weight_norm import add_weight_norm, rename_folded


class WaveNetConfig(SequentialConfig):
    """The configuration that wavenet_vocoder publishes for LJSpeech, 3.70 M parameters.

    Attributes:
        layers, cycles: dilations double from 1 within each of the cycles.
        distribution: of the next sample. A `categorical` network hears mu-law labels, one-hot;
            the others hear samples.
        classes: mu-law labels.
        rounding: how a waveform becomes labels.
        mixtures: logistics that are mixed.
        log_scale_min: below which log scales are cut.
        speakers: names of those it can speak as; empty for one voice.
    """

    mel: MelSpec = MelSpec.preset("r9y9")
    layers: int = Field(default=24, gt=0)
    cycles: int = Field(default=4, gt=0)
    kernel_size: int = Field(default=3, gt=1)
    residual_channels: int = Field(default=128, gt=0)
    gate_channels: int = Field(default=256, gt=0, multiple_of=2)
    skip_channels: int = Field(default=128, gt=0)
    upsample_rates: tuple[int, ...] = (4, 4, 4, 4)
    distribution: Literal["categorical", "logistics", "gaussian"] = "logistics"
    classes: int = Field(default=256, gt=1)
    rounding: Rounding = "truncate"
    mixtures: int = Field(default=10, gt=0)
    log_scale_min: float = Field(default=-16.0, lt=0)
    speakers: tuple[str, ...] = ()
    speaker_channels: int = Field(default=16, gt=0)
    learning_rate: float = 1e-3
    halve_every: int = Field(default=200_000, gt=0)
    clip_norm: float | None = None
    ema_decay: float = Field(default=0.9999, gt=0, lt=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.conditioning == "mel":
            require_rates(self.mel.hop_length, self.upsample_rates)
        if self.layers % self.cycles:
            raise ValueError(f"layers {self.layers} is no multiple of cycles {self.cycles}")
        return self

    @property
    def dilations(self) -> tuple[int, ...]:
        """Of every layer."""
        return tuple(2 ** (i % (self.layers // self.cycles)) for i in range(self.layers))

    @property
    def receptive_field(self) -> int:
        """Samples that the next one is predicted from."""
        return (self.kernel_size - 1) * sum(self.dilations) + 1

    @property
    def in_channels(self) -> int:
        """One-hot labels or a sample."""
        return self.classes if self.distribution == "categorical" else 1

    @property
    def out_channels(self) -> int:
        """Numbers that describe the next sample."""
        sizes = {"categorical": self.classes, "logistics": 3 * self.mixtures, "gaussian": 2}
        return sizes[self.distribution]


class Layer(nn.Module):
    """A dilated causal convolution with a gate, and ways to the next layer and to the output."""

    def __init__(self, config: WaveNetConfig, dilation: int) -> None:
        super().__init__()
        width, gates = config.residual_channels, config.gate_channels
        self.reach = (config.kernel_size - 1) * dilation
        self.dilated = nn.Conv1d(width, gates, config.kernel_size, dilation=dilation)
        if config.conditioning == "mel":
            self.condition = nn.Conv1d(config.mel.n_mels, gates, 1, bias=False)
        if config.speakers:
            self.speaker = nn.Conv1d(config.speaker_channels, gates, 1, bias=False)
        self.residual = nn.Conv1d(gates // 2, width, 1)
        self.skip = nn.Conv1d(gates // 2, config.skip_channels, 1)

    def forward(
        self, x: Tensor, past: Tensor | None, mel: Tensor | None, speaker: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """One layer on T samples.

        Args:
            x: (B, residual_channels, T).
            past: (B, residual_channels, reach), the samples before; None is silence.
            mel: (B, n_mels, T).
            speaker: (B, speaker_channels, 1).

        Returns:
            The next x (B, residual_channels, T) and the skip (B, skip_channels, T).
        """
        before = F.pad(x, (self.reach, 0)) if past is None else torch.cat([past, x], dim=-1)
        gates = self.dilated(before)
        if mel is not None:
            gates = gates + self.condition(mel)
        if speaker is not None:
            gates = gates + self.speaker(speaker)
        content, gate = gates.chunk(2, dim=1)
        y = torch.tanh(content) * torch.sigmoid(gate)
        return (self.residual(y) + x) * math.sqrt(0.5), self.skip(y)


class WaveNet(SequentialVocoder):
    """The network, its likelihood and its schedule."""

    Config: ClassVar[type[ModelConfig]] = WaveNetConfig
    config: WaveNetConfig
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "mol": {},
        "mulaw": {"layers": 30, "cycles": 3, "distribution": "categorical"},
        "gaussian": {"distribution": "gaussian"},
        "tacotron2-mulaw": {
            "mel": MelSpec.preset("tacotron2"),
            "layers": 12,
            "cycles": 2,
            "residual_channels": 64,
            "gate_channels": 128,
            "skip_channels": 256,
            "distribution": "categorical",
        },
        "tacotron2-mol": {
            "mel": MelSpec.preset("tacotron2"),
            "layers": 30,
            "cycles": 3,
            "residual_channels": 512,
            "gate_channels": 512,
            "skip_channels": 256,
        },
        "unconditional": {
            "mel": MelSpec.preset("speecht5"),
            "conditioning": "none",
            "layers": 30,
            "cycles": 3,
            "kernel_size": 2,
            "residual_channels": 64,
            "gate_channels": 128,
            "skip_channels": 256,
            "distribution": "categorical",
        },
    }

    def __init__(self, config: WaveNetConfig, *, name: str = "wavenet") -> None:
        super().__init__(config, name=name)
        self.uniforms = uniforms_of(config.distribution, config.mixtures)
        self._speaker = config.speakers[0] if config.speakers else ""
        self.conv_pre = nn.Conv1d(config.in_channels, config.residual_channels, 1)
        if config.conditioning == "mel":
            self.upsampler = ContextStretch(
                config.mel.n_mels, config.upsample_rates, config.context_frames
            )
        if config.speakers:
            self.voices = nn.Embedding(len(config.speakers), config.speaker_channels)
        self.layers = nn.ModuleList(Layer(config, dilation) for dilation in config.dilations)
        self.conv_skip = nn.Conv1d(config.skip_channels, config.skip_channels, 1)
        self.conv_post = nn.Conv1d(config.skip_channels, config.out_channels, 1)
        self.apply(for_relu)

    @classmethod
    def fitted_to(cls, mel: MelSpec, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Rates whose product is the hop length."""
        if fields["conditioning"] == "none":
            return {}
        return dict(fit_rates(mel.hop_length, fields["upsample_rates"]))

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names of those it can speak as."""
        return self.config.speakers

    @property
    def voice(self) -> Tensor | None:
        """(1, speaker_channels, 1) of the speaker, if there are several."""
        if not self.speakers:
            return None
        number = torch.tensor([self.speakers.index(self.speaker)], device=self.device)
        embedded: Tensor = self.voices(number)[..., None]
        return embedded

    def forward(
        self, heard: Tensor, mel: Tensor | None = None, speaker: Tensor | None = None
    ) -> Tensor:
        """What the sample after each may be, all at once.

        Args:
            heard: (B, in_channels, T), labels one-hot or samples.
            mel: (B, n_mels, T) at the waveform's rate, as `upsampler` gives it.
            speaker: (B), numbers in `config.speakers`.

        Returns:
            (B, out_channels, T); column t describes sample t + 1.
        """
        voice = None if speaker is None else self.voices(speaker)[..., None]
        x = self.conv_pre(heard)
        total = torch.zeros((), device=x.device)
        for layer in self.layers:
            x, skip = layer(x, None, mel, voice)
            total = total + skip
        return self.head(total)

    def head(self, total: Tensor) -> Tensor:
        """The skips' sum (B, skip_channels, T) -> (B, out_channels, T)."""
        total = total * math.sqrt(1 / len(self.layers))
        return in_float32(self.conv_post, F.relu(self.conv_skip(F.relu(total))))

    def encode(self, wav: Tensor) -> Tensor:
        """(B, T) -> what is predicted: labels, or the samples themselves."""
        if self.config.distribution == "categorical":
            return mu_law_encode(wav, self.config.classes, self.config.rounding)
        return wav

    def decode(self, said: Tensor) -> Tensor:
        """What was drawn -> samples in [-1, 1]."""
        if self.config.distribution == "categorical":
            return mu_law_decode(said, self.config.classes)
        return said

    def ears(self, said: Tensor) -> Tensor:
        """(B, T) labels or samples -> (B, in_channels, T) as the network hears them."""
        if self.config.distribution == "categorical":
            return F.one_hot(said, self.config.classes).mT.to(self.conv_pre.weight.dtype)
        return said[:, None]

    @property
    def silent(self) -> float:
        """What a network that has said nothing yet has heard last."""
        if self.config.distribution == "categorical":
            return silence(self.config.classes, self.config.rounding)
        return 0.0

    def nll(self, parameters: Tensor, said: Tensor) -> Tensor:
        """(B, out_channels, T), (B, T) -> (B, T) nats; a Gaussian's are of the density."""
        config = self.config
        if config.distribution == "categorical":
            return categorical_nll(parameters, said)
        if config.distribution == "gaussian":
            return gaussian_nll(parameters, said, config.log_scale_min)
        return logistics_nll(parameters, said, config.log_scale_min)

    def draw(self, parameters: Tensor, uniforms: Tensor) -> Tensor:
        """(B, out_channels) and (B, n) uniform numbers -> (B) labels or samples."""
        config = self.config
        if config.distribution == "categorical":
            return draw_categorical(parameters, uniforms)
        if config.distribution == "gaussian":
            return draw_gaussian(parameters, uniforms, config.log_scale_min)
        return draw_logistics(parameters, uniforms, config.log_scale_min)

    def reference(self, batch: int) -> Loop:
        """The network one sample at a time, in PyTorch."""
        return _ReferenceLoop(self, batch)

    def fast(self, engine: Engine) -> FastLoop:
        """The compiled loop."""
        from wavewright.kernels.wavenet import FastWaveNet

        return FastWaveNet(self, engine)

    def prepare_for_training(self) -> None:
        """Weight-normalise every convolution but those that read and smooth the mel."""
        add_weight_norm(self)
        super().prepare_for_training()

    def optimizer_config(self, player: str) -> OptimizerConfig:
        """Adam, halved every 200,000 steps, its weights averaged."""
        config = self.config
        return OptimizerConfig(
            learning_rate=config.learning_rate,
            decay_every=config.halve_every,
            clip_norm=config.clip_norm,
            ema_decay=config.ema_decay,
        )

    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        """One: the likelihood of every sample after the true ones before it."""
        nats = self._nats(batch).mean()
        yield Update("generator", nats, {"bits_per_sample": self._bits(nats)})

    @torch.no_grad()
    def bits_per_sample(self, batch: Batch) -> Tensor:
        """(B) of the waveforms; a Gaussian's are of 16-bit levels, mu-law's of its labels."""
        return self._bits(self._nats(batch).mean(dim=1))

    def encoded(self, batch: Batch) -> Tensor:
        """Labels or samples."""
        return self.encode(batch.wav)

    def likelihood(self, batch: Batch, expected: Tensor) -> Tensor:
        """Bits per sample of what a loop expected."""
        return self._bits(self.nll(expected, self.encode(batch.wav)).mean(dim=1))

    def _nats(self, batch: Batch) -> Tensor:
        said = self.encode(batch.wav)
        return self.nll(self._heard(said, batch), said[:, 1:])

    def _heard(self, said: Tensor, batch: Batch) -> Tensor:
        condition = None
        if self.config.conditioning == "mel":
            condition = self.upsampler(self.with_context(batch))[..., :-1]
        speaker = None
        if self.config.speakers:
            numbers = [self._number(name) for name in batch.labels]
            speaker = torch.tensor(numbers, device=said.device)
        parameters: Tensor = self(self.ears(said[:, :-1]), condition, speaker)
        return parameters

    def _number(self, speaker: str) -> int:
        if speaker not in self.speakers:
            raise WavewrightError(
                f"the corpus has a speaker '{speaker}', whom '{self.name}' does not know; add the "
                f"name to its speakers ({', '.join(self.speakers)})"
            )
        return self.speakers.index(speaker)

    def _bits(self, nats: Tensor) -> Tensor:
        bits = nats / math.log(2)
        return bits + 15 if self.config.distribution == "gaussian" else bits


class _ReferenceLoop:
    """Keeps every layer's past and runs the layers on one sample at a time."""

    def __init__(self, network: WaveNet, batch: int) -> None:
        self.network, self.voice = network, network.voice
        config, device = network.config, network.device
        self.said = torch.full((batch,), network.silent, device=device)
        if config.distribution == "categorical":
            self.said = self.said.long()
        width = config.residual_channels
        self.pasts = [
            torch.zeros(batch, width, (config.kernel_size - 1) * dilation, device=device)
            for dilation in config.dilations
        ]

    def __call__(self, window: Window, uniforms: Tensor) -> Tensor:
        network, mel = self.network, None
        hop = network.hop_length
        if window.mel is not None:
            mel = network.upsampler(window.mel)[..., window.before * hop :]
        drawn = []
        for t, numbers in enumerate(uniforms.to(network.device).unbind(dim=1)):
            parameters = self.step(None if mel is None else mel[..., t : t + 1])
            self.said = network.draw(parameters, numbers)
            drawn.append(self.said)
        return network.decode(torch.stack(drawn, dim=1))

    def step(self, mel: Tensor | None) -> Tensor:
        """(B, n_mels, 1) -> (B, out_channels), what comes after `said`."""
        network = self.network
        x = network.conv_pre(network.ears(self.said[:, None]))
        total = torch.zeros((), device=x.device)
        for i, layer in enumerate(network.layers):
            past = self.pasts[i]
            self.pasts[i] = torch.cat([past[..., 1:], x], dim=-1)
            x, skip = layer(x, past, mel, self.voice)
            total = total + skip
        return network.head(total).squeeze(-1)


_NAMES = {
    "first_conv": "conv_pre",
    "embed_speakers": "voices",
    "upsample_net.conv_in": "upsampler.conv_in",
    "last_conv_layers.1": "conv_skip",
    "last_conv_layers.3": "conv_post",
}
_LAYER = {
    "conv": "dilated",
    "conv1x1c": "condition",
    "conv1x1g": "speaker",
    "conv1x1_out": "residual",
    "conv1x1_skip": "skip",
}


def rename_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of wavenet_vocoder in our names."""

    def name_of(path: str) -> str | None:
        if path.startswith("conv_layers."):
            _, number, part = path.split(".", 2)
            return f"layers.{number}.{_LAYER[part]}"
        if path.startswith("upsample_net.upsample.up_layers."):
            number = path.rpartition(".")[2]
            return f"upsampler.smooth.{int(number) // 2}"
        return _NAMES.get(path)

    return rename_folded(state, name_of)
