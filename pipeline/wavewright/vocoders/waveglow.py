"""WaveGlow (Prenger, Valle and Catanzaro 2018, arXiv:1811.00002): a flow from speech to noise.

Eight samples in a row are one vector. Twelve times, an invertible matrix mixes its channels and
half of them scale and shift the other half, as a small WaveNet reads them from the first half and
from the mel; two channels leave early, twice. Every step can be undone, so the likelihood of speech
is exact, and speech is made by running the steps backwards on Gaussian noise. Facts that the paper
leaves open are those of NVIDIA's waveglow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from typing import Any, ClassVar, NamedTuple, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from wavewright.mel.spec import MelSpec
from wavewright.models.base import Update
from wavewright.models.batch import Batch
from wavewright.models.capabilities import Exportable, HasLikelihood
from wavewright.models.config import ModelConfig, OptimizerConfig
from wavewright.models.streamable import Streamable
from wavewright.models.streaming import StreamBlock, split_noise
from wavewright.models.vocoder import InferenceHints
from wavewright.nn.autocast import in_float32
from wavewright.nn.inverse_stft import InverseSTFT
from wavewright.nn.noise import NoiseSpec
from wavewright.nn.real_stft import RealSTFT
from wavewright.nn.receptive_field import Span, input_span
from wavewright.nn.weight_cache import WeightCache
from wavewright.nn.weight_norm import add_weight_norm

_OVERLAP = 4  # frames that the upsampling mixes into a sample
_BIAS_FRAMES = 88  # of the mel whose silence the denoiser listens to


class WaveGlowConfig(ModelConfig):
    """The configuration of NVIDIA's repository; `variants` has the paper's.

    Attributes:
        group: samples of a vector.
        flows: steps.
        early_every, early_size: before every so many flows, so many channels leave.
        channels, layers: of each coupling's network, whose dilations double.
        sigma: standard deviation of the noise that speech becomes, in training.
        temperature: standard deviation of the noise that speech is made from.
        denoise: how much of the spectrum that the network says of nothing is taken away.
    """

    mel: MelSpec = MelSpec.preset("tacotron2")
    group: int = Field(default=8, gt=1)
    flows: int = Field(default=12, gt=0)
    early_every: int = Field(default=4, gt=0)
    early_size: int = Field(default=2, gt=0)
    channels: int = Field(default=256, gt=0, multiple_of=2)
    layers: int = Field(default=8, gt=0)
    kernel_size: int = Field(default=3, gt=0)
    sigma: float = Field(default=1.0, gt=0)
    temperature: float = Field(default=0.6, ge=0)
    denoise: float = Field(default=0.0, ge=0)
    learning_rate: float = 1e-4

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.mel.hop_length % self.group:
            raise ValueError(
                f"mel.hop_length {self.mel.hop_length} is no multiple of group {self.group}"
            )
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size {self.kernel_size} must be odd")
        if self.widths[-1] < 2 or any(width % 2 for width in self.widths):
            raise ValueError(
                f"group {self.group}, less early_size {self.early_size} at every "
                f"{self.early_every} of {self.flows} flows, leaves {self.widths} channels; every "
                "number must be even and positive"
            )
        return self

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels in each flow."""
        return tuple(
            self.group - self.early_size * (k // self.early_every) for k in range(self.flows)
        )

    def leaves(self, flow: int) -> bool:
        """Tell whether some channels leave before a flow."""
        return flow > 0 and flow % self.early_every == 0


class Mixing(nn.Module):
    """An invertible matrix over the channels, a rotation at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation, _ = torch.linalg.qr(torch.randn(channels, channels))
        if not rotation.is_meta and torch.linalg.det(rotation) < 0:
            rotation[:, 0] = -rotation[:, 0]
        self.weight = nn.Parameter(rotation.contiguous())
        self.inverted: Tensor | None = None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, channels, T) -> the same shape, and log |det| of the matrix.

        The sign of the determinant has no part in a density. It is positive at first; should
        training turn it, log det alone would be NaN.
        """
        with torch.autocast(x.device.type, enabled=False):
            _, log_det = torch.linalg.slogdet(self.weight.double())
            mixed: Tensor = self.weight @ x.float()
            return mixed, log_det.float()

    def inverse(self, x: Tensor) -> Tensor:
        """Undo `forward`, by an inverse that is made anew each time and so never stale.

        Twelve of them take 0.2 ms, where the couplings take seconds for one of speech.
        """
        with torch.autocast(x.device.type, enabled=False):
            inverted = self.inversion() if self.inverted is None else self.inverted
            mixed: Tensor = inverted @ x.float()
            return mixed

    def inversion(self) -> Tensor:
        """(channels, channels), of the weight as it is now."""
        inverted: Tensor = torch.linalg.inv(self.weight.detach().double()).float()
        return inverted


class Coupling(nn.Module):
    """A WaveNet, not causal, that reads scales and shifts for half the channels from the others."""

    def __init__(self, config: WaveGlowConfig, half: int) -> None:
        super().__init__()
        width, size = config.channels, config.kernel_size
        self.start = nn.Conv1d(half, width, 1)
        self.condition = nn.Conv1d(config.mel.n_mels * config.group, 2 * width * config.layers, 1)
        self.dilated = nn.ModuleList(
            nn.Conv1d(width, 2 * width, size, dilation=2**i, padding=2**i * (size // 2))
            for i in range(config.layers)
        )
        last = config.layers - 1
        self.res_skip = nn.ModuleList(
            nn.Conv1d(width, width if i == last else 2 * width, 1) for i in range(config.layers)
        )
        self.end = nn.Conv1d(width, 2 * half, 1)
        nn.init.zeros_(self.end.weight)  # so that the flow begins as the identity
        assert self.end.bias is not None
        nn.init.zeros_(self.end.bias)

    def forward(self, x: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """(B, half, T), (B, n_mels * group, T) -> log scales and shifts, (B, half, T) each."""
        x = self.start(x)
        width = x.shape[1]
        conditions = self.condition(mel).split(2 * width, dim=1)
        total = torch.zeros((), device=x.device, dtype=x.dtype)
        layers = zip(self.dilated, self.res_skip, conditions, strict=True)
        for i, (dilated, res_skip, condition) in enumerate(layers):
            content, gate = (dilated(x) + condition).chunk(2, dim=1)
            y = res_skip(torch.tanh(content) * torch.sigmoid(gate))
            if i < len(self.dilated) - 1:
                x, y = x + y[:, :width], y[:, width:]
            total = total + y
        shift, log_scale = in_float32(self.end, total).chunk(2, dim=1)
        return log_scale, shift

    def input_span(self, span: Span) -> Span:
        """Input span of the dilated convolutions."""
        return input_span(self.dilated, span)


class Encoded(NamedTuple):
    """Latent variables and log-determinants of speech.

    Attributes:
        z: (B, group, T) float32; channels that left early come first.
        log_scales: (B, half, T) of every flow.
        log_dets: log |det| of every flow's matrix.
    """

    z: Tensor
    log_scales: list[Tensor]
    log_dets: list[Tensor]


class WaveGlow(Streamable, Exportable, HasLikelihood):
    """The flow, its likelihood and its schedule."""

    Config: ClassVar[type[ModelConfig]] = WaveGlowConfig
    config: WaveGlowConfig
    inference = InferenceHints(
        channels_last=True, prefers_chunks=True, float32_modules=("upsampler", "mixing", "end")
    )
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {"256": {}, "512": {"channels": 512}}

    def __init__(self, config: WaveGlowConfig, *, name: str = "waveglow") -> None:
        super().__init__(config, name=name)
        bands, hop = config.mel.n_mels, config.mel.hop_length
        self.upsampler = nn.ConvTranspose1d(bands, bands, _OVERLAP * hop, stride=hop)
        self.mixing = nn.ModuleList(Mixing(width) for width in config.widths)
        self.couplings = nn.ModuleList(Coupling(config, width // 2) for width in config.widths)
        self._bias = WeightCache()
        self._precomputed_bias: Tensor | None = None

    @property
    def frame_multiple(self) -> int:
        """The denoiser's transforms have frames of their own, whose places a piece must keep."""
        return _HOP // math.gcd(_HOP, self.hop_length) if self.config.denoise else 1

    def streaming_blocks(self) -> list[StreamBlock]:
        """The flows one by one, the last first; with the noise goes the condition."""
        group, hop = self.config.group, self.hop_length
        bands = self.mel_spec.n_mels

        def enter(both: Tensor) -> Tensor:
            mel, noise = split_noise(both, bands, list(self.noise_inputs(1).values()))
            return torch.cat([self.config.temperature * noise, self._condition(mel)], dim=1)

        def entry_span(span: Span) -> Span:
            samples = span.to_samples(group)
            return input_span([self.upsampler], samples).union(samples.to_frames(hop))

        def undo(flow: int, both: Tensor) -> Tensor:
            z, condition = torch.split(both, [group, bands * group], dim=1)
            return torch.cat([self._undo(flow, z, condition), condition], dim=1)

        def leave(both: Tensor) -> Tensor:
            return both[:, :group].mT.flatten(1)[:, None]

        stages = [StreamBlock(enter, entry_span, hop // group)]
        for flow in reversed(range(self.config.flows)):
            coupling = self.couplings[flow]
            stages.append(StreamBlock(partial(undo, flow), partial(input_span, [coupling])))
        stages.append(StreamBlock(leave, lambda span: span.to_frames(group), group))
        if self.config.denoise:
            stages.append(StreamBlock(self._denoise, _denoiser_input_span, frame_multiple=_HOP))
        return stages

    def _denoise(self, wav: Tensor) -> Tensor:
        """(B, 1, samples) -> (B, 1, samples)."""
        return denoised(wav[:, 0], self._bias_spectrum(), self.config.denoise)[:, None]

    def forward(self, wav: Tensor, mel: Tensor) -> Encoded:
        """Speech to noise: (B, frames * hop_length), (B, n_mels, frames)."""
        x, condition = self._in_groups(wav), self._condition(mel)
        leaving, log_scales, log_dets = [], [], []
        for k, (mixing, coupling) in enumerate(zip(self.mixing, self.couplings, strict=True)):
            if self.config.leaves(k):
                leaving.append(x[:, : self.config.early_size])
                x = x[:, self.config.early_size :]
            x, log_det = mixing(x)
            kept, changed = x.chunk(2, dim=1)
            log_scale, shift = coupling(kept, condition)
            x = torch.cat([kept, log_scale.exp() * changed + shift], dim=1)
            log_scales.append(log_scale)
            log_dets.append(log_det)
        return Encoded(torch.cat([*leaving, x], dim=1), log_scales, log_dets)

    def inverse(self, z: Tensor, mel: Tensor) -> Tensor:
        """Noise to speech: (B, group, T), (B, n_mels, frames) -> (B, frames * hop_length)."""
        condition = self._condition(mel)
        for flow in reversed(range(self.config.flows)):
            z = self._undo(flow, z, condition)
        return z.mT.flatten(1)

    def _undo(self, flow: int, z: Tensor, condition: Tensor) -> Tensor:
        """One flow backwards: (B, group, T); channels that left before it stay as they are."""
        width = self.config.widths[flow]
        early, x = torch.split(z, [self.config.group - width, width], dim=1)
        kept, changed = x.chunk(2, dim=1)
        log_scale, shift = self.couplings[flow](kept, condition)
        x = torch.cat([kept, (changed - shift) * torch.exp(-log_scale)], dim=1)
        return torch.cat([early, self.mixing[flow].inverse(x)], dim=1)  # type: ignore[operator]

    def noise_inputs(self, frames: int) -> dict[str, NoiseSpec]:
        """A number for every sample, as the flow has them."""
        group = self.config.group
        return {"noise": NoiseSpec((group, frames * (self.hop_length // group)), frames=frames)}

    def synthesize_frames(self, mel: Tensor, *noise: Tensor) -> Tensor:
        """Speech of noise that the temperature then quietens.

        Args:
            mel: (B, n_mels, frames).
            noise: (B, group, frames * hop_length / group), standard normal.

        Returns:
            (B, frames * hop_length).
        """
        (numbers,) = noise
        wav = self.inverse(self.config.temperature * numbers, mel)
        if self.config.denoise:
            wav = denoised(wav, self._bias_spectrum(), self.config.denoise)
        return wav

    @torch.no_grad()
    def precompute(self) -> None:
        """Invert the matrices, and measure the denoiser's bias spectrum."""
        for mixing in self.mixing:
            mixing.inverted = mixing.inversion()  # type: ignore[operator]
        if self.config.denoise:
            self._precomputed_bias = self._bias_spectrum()

    def prepare_for_training(self) -> None:
        """Weight-normalise the couplings, but for their last layers."""
        for coupling in self.couplings:
            for name, part in coupling.named_children():
                if name != "end":
                    add_weight_norm(part)
        super().prepare_for_training()

    def optimizer_config(self, player: str) -> OptimizerConfig:
        """Adam at a constant rate."""
        return OptimizerConfig(learning_rate=self.config.learning_rate)

    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        """One: the likelihood of the speech."""
        nats = self.nats(self(batch.wav, batch.mel)).mean()
        yield Update("generator", nats, {"bits_per_sample": _bits(nats, self.config.sigma)})

    @torch.no_grad()
    def bits_per_sample(self, batch: Batch) -> Tensor:
        """(B) of 16-bit levels, by the density at each."""
        return _bits(self.nats(self(batch.wav, batch.mel)), self.config.sigma)

    def nats(self, encoded: Encoded) -> Tensor:
        """(B) -log of the density per sample, less the Gaussian's constant: the published loss."""
        z, log_scales, log_dets = encoded
        square = z.square().sum(dim=(1, 2)) / (2 * self.config.sigma**2)
        scales = torch.stack([log_scale.sum(dim=(1, 2)) for log_scale in log_scales]).sum(dim=0)
        return (square - scales - z.shape[2] * torch.stack(log_dets).sum()) / z[0].numel()

    def _in_groups(self, wav: Tensor) -> Tensor:
        """(B, samples) -> (B, group, samples / group)."""
        return torch.unflatten(wav, 1, (-1, self.config.group)).mT

    def _condition(self, mel: Tensor) -> Tensor:
        """(B, n_mels, frames) -> (B, n_mels * group, frames * hop_length / group)."""
        samples = mel.shape[-1] * self.hop_length
        stretched = in_float32(self.upsampler, mel)[..., :samples]
        return torch.unflatten(stretched, 2, (-1, self.config.group)).transpose(2, 3).flatten(1, 2)

    def _bias_spectrum(self) -> Tensor:
        """(1, 1, 513), the magnitudes that the flow gives to a mel of zeros without noise."""
        if self._precomputed_bias is not None:
            return self._precomputed_bias
        return self._bias.get(self, "bias", self._measure_bias)

    def _measure_bias(self) -> Tensor:
        nothing = torch.zeros(1, self.mel_spec.n_mels, _BIAS_FRAMES, device=self.device)
        steps = _BIAS_FRAMES * self.hop_length // self.config.group
        z = torch.zeros(1, self.config.group, steps, device=self.device)
        return bias_of(self.inverse(z, nothing))


def _bits(nats: Tensor, sigma: float) -> Tensor:
    return (nats + 0.5 * math.log(2 * math.pi * sigma**2)) / math.log(2) + 15


_FFT, _HOP = 1024, 256


@lru_cache(maxsize=2)
def _transforms(device: torch.device) -> tuple[RealSTFT, InverseSTFT]:
    return RealSTFT(_FFT, _HOP).to(device), InverseSTFT(_FFT, _HOP, "center").to(device)


def _spectrum(wav: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Real and imaginary parts and magnitudes of centred frames, (B, frames, 513) each."""
    transform, _ = _transforms(wav.device)
    real, imaginary = transform(F.pad(wav, (_FFT // 2, _FFT // 2), mode="reflect"))
    return real, imaginary, torch.sqrt(real.square() + imaginary.square())


def _denoiser_input_span(samples: Span) -> Span:
    """Input span of the STFT and its inverse, each with centred frames."""
    frames = _transforms(torch.device("cpu"))[1].input_span(samples)
    return Span(frames.first * _HOP - _FFT // 2, frames.last * _HOP + _FFT // 2 - 1)


def bias_of(wav: Tensor) -> Tensor:
    """(1, 1, 513): magnitudes of the first frame, which the authors take for them all."""
    return _spectrum(wav)[2][:, :1]


def denoised(wav: Tensor, bias: Tensor, strength: float) -> Tensor:
    """(B, samples) with `strength` times the bias taken from its magnitudes; phases are kept."""
    # Reflection needs more samples than it pads with.
    missing = torch.sym_max(0, _FFT // 2 + 1 - wav.shape[1])  # type: ignore[no-untyped-call]
    real, imaginary, magnitude = _spectrum(F.pad(wav, (0, missing)))
    gain = (magnitude - strength * bias).clamp(min=0) / magnitude.clamp(min=1e-12)
    cleaned: Tensor = _transforms(wav.device)[1](gain * real, gain * imaginary)
    return cleaned[:, : wav.shape[1]]
