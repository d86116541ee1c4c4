"""WaveNet (van den Oord et al. 2016, arXiv:1609.03499): each sample is predicted from the past.

Gated, dilated causal convolutions read hundreds of past samples; a softmax over mu-law labels, a
mixture of logistics or a Gaussian describes the next sample. Mel conditioning is that of Tacotron 2
(Shen et al. 2017, arXiv:1712.05884). Details that the papers leave open follow Yamamoto's
wavenet_vocoder, whose state dicts can be imported. The widths of the 12-layer and of the
unconditional network are our own choice, since no paper states them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from wavewright.errors import WavewrightError
from wavewright.kernels.loop import CompiledLoop, Engine, Loop, LoopWindow
from wavewright.mel.spec import MelSpec
from wavewright.models.autoregressive import AutoregressiveConfig, AutoregressiveVocoder
from wavewright.models.base import Update
from wavewright.models.batch import Batch
from wavewright.models.capabilities import MultiSpeaker
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
from wavewright.nn.quantization import Rounding, mu_law_decode, mu_law_encode
from wavewright.nn.quantization import silence as silent_label
from wavewright.nn.upsample_network import ContextStretch
from wavewright.nn.upsample_rates import fit_rates, require_rates
from wavewright.nn.weight_norm import add_weight_norm


class WaveNetConfig(AutoregressiveConfig):
    """The configuration that wavenet_vocoder publishes for LJSpeech, 3.70 M parameters.

    Attributes:
        layers, cycles: dilations double from 1 within each of the cycles.
        distribution: distribution of the next sample. The input of a `categorical` network is
            one-hot mu-law labels; that of the others is samples.
        classes: number of mu-law labels.
        rounding: mu-law convention.
        mixtures: number of logistics in the mixture.
        log_scale_min: lower bound of log scales.
        speakers: names of the speakers; empty for single-speaker networks.
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

    @classmethod
    def fit_to_mel(cls, mel: MelSpec, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Upsampling rates whose product is the hop length."""
        if fields["conditioning"] == "none":
            return {}
        return dict(fit_rates(mel.hop_length, fields["upsample_rates"]))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.conditioning == "mel":
            require_rates(self.mel.hop_length, self.upsample_rates)
        if self.layers % self.cycles:
            raise ValueError(f"layers {self.layers} is no multiple of cycles {self.cycles}")
        return self

    @property
    def dilations(self) -> tuple[int, ...]:
        """Dilation of every layer."""
        return tuple(2 ** (i % (self.layers // self.cycles)) for i in range(self.layers))

    @property
    def receptive_field(self) -> int:
        """Number of past samples that a prediction depends on."""
        return (self.kernel_size - 1) * sum(self.dilations) + 1

    @property
    def in_channels(self) -> int:
        """Input channels: one per label, or one for samples."""
        return self.classes if self.distribution == "categorical" else 1

    @property
    def out_channels(self) -> int:
        """Number of parameters of the output distribution."""
        sizes = {"categorical": self.classes, "logistics": 3 * self.mixtures, "gaussian": 2}
        return sizes[self.distribution]


class Layer(nn.Module):
    """Gated, dilated causal convolution with residual and skip outputs."""

    def __init__(self, config: WaveNetConfig, dilation: int) -> None:
        super().__init__()
        width, gates = config.residual_channels, config.gate_channels
        self.past_samples = (config.kernel_size - 1) * dilation
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
        """Run the layer on T samples.

        Args:
            x: (B, residual_channels, T).
            past: (B, residual_channels, past_samples), inputs before x; None for zeros.
            mel: (B, n_mels, T).
            speaker: (B, speaker_channels, 1).

        Returns:
            The next x (B, residual_channels, T) and the skip (B, skip_channels, T).
        """
        padded = F.pad(x, (self.past_samples, 0)) if past is None else torch.cat([past, x], dim=-1)
        gates = self.dilated(padded)
        if mel is not None:
            gates = gates + self.condition(mel)
        if speaker is not None:
            gates = gates + self.speaker(speaker)
        content, gate = gates.chunk(2, dim=1)
        y = torch.tanh(content) * torch.sigmoid(gate)
        return (self.residual(y) + x) * math.sqrt(0.5), self.skip(y)


class WaveNet(MultiSpeaker, AutoregressiveVocoder):
    """WaveNet with its likelihood and its training schedule."""

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
        self.uniforms_per_sample = uniforms_of(config.distribution, config.mixtures)
        self.crops = replace(self.crops, label_column="speaker" if config.speakers else "")
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

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names of the speakers."""
        return self.config.speakers

    def embed_speaker(self, name: str | None) -> Tensor | None:
        """(1, speaker_channels, 1) of a speaker, by default the first; None for one speaker."""
        if not (name := name or next(iter(self.speakers), None)):
            return None
        number = torch.tensor([self._speaker_index(name)], device=self.device)
        return torch.unsqueeze(self.voices(number), -1)

    def forward(
        self, inputs: Tensor, mel: Tensor | None = None, speaker: Tensor | None = None
    ) -> Tensor:
        """Predict the sample after each input sample.

        Args:
            inputs: (B, in_channels, T), one-hot labels or samples.
            mel: (B, n_mels, T) at the waveform's rate, as `upsampler` gives it.
            speaker: (B), indices into `config.speakers`.

        Returns:
            (B, out_channels, T); column t describes sample t + 1.
        """
        embedding = None if speaker is None else self.voices(speaker)[..., None]
        x = self.conv_pre(inputs)
        total = torch.zeros((), device=x.device)
        for layer in self.layers:
            x, skip = layer(x, None, mel, embedding)
            total = total + skip
        return self.output_layers(total)

    def output_layers(self, total: Tensor) -> Tensor:
        """Sum of the skip outputs (B, skip_channels, T) -> (B, out_channels, T)."""
        total = total * math.sqrt(1 / len(self.layers))
        return in_float32(self.conv_post, F.relu(self.conv_skip(F.relu(total))))

    def decode(self, outputs: Tensor) -> Tensor:
        """Labels or samples -> samples in [-1, 1]."""
        if self.config.distribution == "categorical":
            return mu_law_decode(outputs, self.config.classes)
        return outputs

    def input_channels(self, outputs: Tensor) -> Tensor:
        """Labels or samples (B, T) -> input of `forward` (B, in_channels, T)."""
        if self.config.distribution == "categorical":
            return F.one_hot(outputs, self.config.classes).mT.to(self.conv_pre.weight.dtype)
        return outputs[:, None]

    @property
    def silence(self) -> float:
        """Label or sample of silence, the input before the first sample."""
        if self.config.distribution == "categorical":
            return silent_label(self.config.classes, self.config.rounding)
        return 0.0

    def nll(self, parameters: Tensor, targets: Tensor) -> Tensor:
        """(B, out_channels, T), (B, T) -> nats (B, T); those of a Gaussian are of its density."""
        config = self.config
        if config.distribution == "categorical":
            return categorical_nll(parameters, targets)
        if config.distribution == "gaussian":
            return gaussian_nll(parameters, targets, config.log_scale_min)
        return logistics_nll(parameters, targets, config.log_scale_min)

    def draw(self, parameters: Tensor, uniforms: Tensor) -> Tensor:
        """Draw labels or samples (B) from (B, out_channels) by uniform numbers (B, n)."""
        config = self.config
        if config.distribution == "categorical":
            return draw_categorical(parameters, uniforms)
        if config.distribution == "gaussian":
            return draw_gaussian(parameters, uniforms, config.log_scale_min)
        return draw_logistics(parameters, uniforms, config.log_scale_min)

    def reference_loop(self, batch: int, speaker: str | None = None) -> Loop:
        """Build the PyTorch loop for a batch."""
        return _ReferenceLoop(self, batch, self.embed_speaker(speaker))

    def compiled_loop(self, engine: Engine) -> CompiledLoop:
        """Build the compiled loop for one utterance."""
        from wavewright.kernels.wavenet import CompiledWaveNet

        upsampler = self.upsampler if self.conditioning == "mel" else None
        return CompiledWaveNet(self.config, self.inference_state(), upsampler, self.silence, engine)

    def prepare_for_training(self) -> None:
        """Add weight norm to every convolution except those of the mel upsampling."""
        add_weight_norm(self)
        super().prepare_for_training()

    def optimizer_config(self, player: str) -> OptimizerConfig:
        """Adam, halved every 200,000 steps, with an EMA of the weights."""
        config = self.config
        return OptimizerConfig(
            learning_rate=config.learning_rate,
            decay_every=config.halve_every,
            clip_norm=config.clip_norm,
            ema_decay=config.ema_decay,
        )

    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        """Yield the negative log-likelihood under teacher forcing."""
        nats = self._nats(batch).mean()
        yield Update("generator", nats, {"bits_per_sample": self._bits(nats)})

    @torch.no_grad()
    def bits_per_sample(self, batch: Batch) -> Tensor:
        """Bits per sample (B): of 16-bit levels, or of mu-law labels."""
        return self._bits(self._nats(batch).mean(dim=1))

    def targets(self, batch: Batch) -> Tensor:
        """Mu-law labels or samples (B, T)."""
        if self.config.distribution == "categorical":
            return mu_law_encode(batch.wav, self.config.classes, self.config.rounding)
        return batch.wav

    def bits_from_logits(self, batch: Batch, logits: Tensor) -> Tensor:
        """Bits per sample (B) under the logits of a teacher-forced loop."""
        return self._bits(self.nll(logits, self.targets(batch)).mean(dim=1))

    def _nats(self, batch: Batch) -> Tensor:
        targets = self.targets(batch)
        return self.nll(self._predict(targets, batch), targets[:, 1:])

    def _predict(self, targets: Tensor, batch: Batch) -> Tensor:
        """(B, out_channels, T - 1), predictions of all samples but the first."""
        condition = None
        if self.config.conditioning == "mel":
            condition = self.upsampler(self.mel_with_context(batch))[..., :-1]
        speaker = None
        if self.config.speakers:
            numbers = [self._speaker_index(name) for name in batch.labels]
            speaker = torch.tensor(numbers, device=targets.device)
        return self.forward(self.input_channels(targets[:, :-1]), condition, speaker)

    def _speaker_index(self, speaker: str) -> int:
        if speaker not in self.speakers:
            raise WavewrightError(
                f"speaker '{speaker}' of the corpus is unknown to '{self.name}': add the name to "
                f"its speakers ({', '.join(self.speakers)})"
            )
        return self.speakers.index(speaker)

    def _bits(self, nats: Tensor) -> Tensor:
        bits = nats / math.log(2)
        return bits + 15 if self.config.distribution == "gaussian" else bits


class _ReferenceLoop:
    """PyTorch loop that stores the past inputs of every layer."""

    def __init__(self, network: WaveNet, batch: int, speaker_embedding: Tensor | None) -> None:
        self.network, self.speaker_embedding = network, speaker_embedding
        config, device = network.config, network.device
        self.last_output = torch.full((batch,), network.silence, device=device)
        if config.distribution == "categorical":
            self.last_output = self.last_output.long()
        width = config.residual_channels
        self.pasts = [
            torch.zeros(batch, width, (config.kernel_size - 1) * dilation, device=device)
            for dilation in config.dilations
        ]

    def __call__(self, window: LoopWindow, uniforms: Tensor) -> Tensor:
        network, mel = self.network, None
        hop = network.hop_length
        if window.mel is not None:
            mel = network.upsampler(window.mel)[..., window.before * hop :]
        outputs = []
        for t, step_uniforms in enumerate(uniforms.to(network.device).unbind(dim=1)):
            parameters = self.step(None if mel is None else mel[..., t : t + 1])
            self.last_output = network.draw(parameters, step_uniforms)
            outputs.append(self.last_output)
        return network.decode(torch.stack(outputs, dim=1))

    def step(self, mel: Tensor | None) -> Tensor:
        """Predict the sample after `last_output`: mel (B, n_mels, 1) -> (B, out_channels)."""
        network = self.network
        x = network.conv_pre(network.input_channels(self.last_output[:, None]))
        total = torch.zeros((), device=x.device)
        for i, layer in enumerate(network.layers):
            past = self.pasts[i]
            self.pasts[i] = torch.cat([past[..., 1:], x], dim=-1)
            x, skip = layer(x, past, mel, self.speaker_embedding)
            total = total + skip
        return network.output_layers(total).squeeze(-1)
