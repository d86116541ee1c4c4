"""Neural homomorphic vocoder (Liu, Chen and Yu 2020, Interspeech): a source-filter vocoder.

Two networks at the mel's frame rate say the complex cepstra of two time-varying filters: one for a
train of pulses at F0, one for white noise. Their sum passes a fixed learned filter. F0 and voicing
are read off the mel, as HiFTNet does (Li et al. 2023, arXiv:2309.09493), unless they are given. The
last step brings the mel of the sum to the given one (`wavewright.nn.mel_consistency`), in training
too, which the paper has not. Facts that the paper leaves open follow Kobayashi's implementation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import amplitude_from_log_mel
from wavewright.models.batch import Batch
from wavewright.models.capabilities import PitchDriven
from wavewright.models.config import FrozenModel, ModelConfig, OptimizerConfig
from wavewright.models.gan_training import PLAYER, GANTraining, Loss, TrainingPair
from wavewright.models.vocoder import CropSpec, InferenceHints
from wavewright.nn.discriminator import DiscriminatorGroup
from wavewright.nn.f0_predictor import F0Predictor, fill_unvoiced
from wavewright.nn.gan_losses import clipped_hinge_generator, feature_matching, hinge_discriminator
from wavewright.nn.harmonic_source import pulse_train
from wavewright.nn.mel_consistency import MelConsistency
from wavewright.nn.multi_resolution import MagnitudeDiscriminator
from wavewright.nn.noise import NoiseSpec
from wavewright.nn.spectral import RESOLUTIONS, loss_spec, mel_l1, stft_losses
from wavewright.nn.stft import STFT, overlap_add

_SLOPE = 0.1
_LOUDEST = 6.0  # log gain of a filter
_FIRST_GAIN = -3.0  # log gain before training, at which noise is as loud as quiet speech
_QUIETEST = 1e-5


class DiscriminatorConfig(FrozenModel):
    """The discriminators. `width_divisor` thins them for training on a CPU."""

    resolutions: tuple[tuple[int, int, int], ...] = RESOLUTIONS
    width_divisor: Literal[1, 2, 4, 8] = 1


class NHVConfig(ModelConfig):
    """Sizes of Kobayashi's implementation, with our own for F0 and the final filter.

    Attributes:
        cepstrum: values of a filter's complex cepstrum, half of them before time 0.
        filter_fft: FFT size of the filters.
        final_taps: of the fixed filter at the end.
        consistency: iterations of mel consistency; 0 as published.
        resolutions: (n_fft, hop_length, win_length) of the STFT loss.
        mel_weight: of the log-mel distance, beside the multi-resolution STFT loss.
    """

    mel: MelSpec = MelSpec.preset("hifigan")
    channels: int = Field(default=256, gt=0)
    groups: int = Field(default=8, gt=0)
    layers: int = Field(default=3, gt=0)
    cepstrum: int = Field(default=222, gt=1)
    filter_fft: int = Field(default=1024, gt=0)
    final_taps: int = Field(default=1000, ge=0)
    f0_channels: int = Field(default=192, gt=0)
    f0_layers: int = Field(default=4, gt=0)
    consistency: int = Field(default=2, ge=0)
    adversary: DiscriminatorConfig = DiscriminatorConfig()
    adversary_start: int = Field(default=0, ge=0)
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.8, 0.99)
    weight_decay: float = 0.01
    cosine_steps: int | None = Field(default=None, gt=0)
    resolutions: tuple[tuple[int, int, int], ...] = RESOLUTIONS
    mel_weight: float = Field(default=1.0, ge=0)
    feature_weight: float = Field(default=0.5, ge=0)
    adversarial_weight: float = Field(default=0.1, ge=0)


class CepstrumEstimator(nn.Module):
    """Convolutions from frame features to the complex cepstra of a time-varying filter."""

    decay: Tensor
    cosines: Tensor
    sines: Tensor

    def __init__(self, features: int, config: NHVConfig) -> None:
        super().__init__()
        width, size = config.channels, config.cepstrum
        self.enter = nn.Conv1d(features, width, 3, padding=1)
        self.convs = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=1, groups=config.groups)
            for _ in range(config.layers)
        )
        self.leave = nn.Conv1d(width, size, 3, padding=1)
        before = size // 2
        quefrency = torch.arange(size) - before
        nn.init.constant_(self.leave.bias[before], _FIRST_GAIN)  # type: ignore[index]
        decay = 1 / quefrency.abs().clamp(min=1).float()
        self.register_buffer("decay", decay[:, None], persistent=False)
        n_fft = config.filter_fft
        angle = 2 * math.pi / n_fft * torch.arange(n_fft // 2 + 1)[None] * quefrency[:, None]
        self.register_buffer("cosines", angle.cos().float(), persistent=False)
        self.register_buffer("sines", -angle.sin().float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, frames) -> frequency responses (B, frames, bins), complex."""
        x = self.enter(x)
        for conv in self.convs:
            x = x + conv(F.leaky_relu(x, _SLOPE))
        with torch.autocast(x.device.type, enabled=False):
            cepstrum = (self.leave(F.leaky_relu(x, _SLOPE)).float() * self.decay).mT
            log_gain = (cepstrum @ self.cosines).clamp(max=_LOUDEST)
            return torch.polar(log_gain.exp(), cepstrum @ self.sines)


#: Scores and features of the discriminators.
Outputs = tuple[list[Tensor], list[list[Tensor]]]


class NHV(GANTraining, PitchDriven):
    """The generator, its losses and its schedule."""

    Config: ClassVar[type[ModelConfig]] = NHVConfig
    config: NHVConfig
    inference = InferenceHints(
        float32_modules=(  # all: it is quick
            *("f0_predictor", "harmonic_filter", "noise_filter"),
            *("stft", "consistency"),
        ),
    )
    crops = CropSpec(f0=True)
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "consistent": {},
        "published": {"consistency": 0, "mel_weight": 0.0},
    }

    def __init__(self, config: NHVConfig, *, name: str = "nhv") -> None:
        super().__init__(config, name=name)
        mel = config.mel
        self.f0_predictor = F0Predictor(mel.n_mels, config.f0_channels, config.f0_layers)
        self.harmonic_filter = CepstrumEstimator(mel.n_mels + 2, config)
        self.noise_filter = CepstrumEstimator(mel.n_mels + 2, config)
        self.final = nn.Parameter(torch.zeros(config.final_taps)) if config.final_taps else None
        self.stft = STFT(
            mel.model_copy(update={"n_fft": config.filter_fft, "win_length": 2 * mel.hop_length})
        )
        self.consistency = MelConsistency(mel)
        self.loss_spec = loss_spec(mel)
        # Of a Hann window's spectrum, so that either source has magnitudes about 1 in every bin.
        self.pulse_scale = mel.hop_length / 2
        self.noise_scale = math.sqrt(0.75 * mel.hop_length)

    def noise_inputs(self, frames: int) -> dict[str, NoiseSpec]:
        """White noise."""
        return {"noise": NoiseSpec((frames * self.hop_length,), frames=frames)}

    def estimate_f0(self, mel: Tensor) -> Tensor:
        """F0 (B, frames) in Hz that `generate` takes where none is given; 0 where unvoiced."""
        estimate = self.f0_predictor.estimate(self._normalize(mel))
        return estimate.f0 * (estimate.voicing > 0.5)

    def forward(self, mel: Tensor, noise: Tensor, f0: Tensor | None = None) -> Tensor:
        """Synthesize.

        Args:
            mel: (B, n_mels, frames).
            noise: (B, frames * hop_length), standard normal.
            f0: (B, frames) in Hz, 0 where unvoiced; None reads it off the mel.

        Returns:
            (B, frames * hop_length), not limited to [-1, 1].
        """
        scaled = self._normalize(mel)
        if f0 is None:
            with torch.no_grad():
                filled, voicing = self.f0_predictor.estimate(scaled)
        else:
            voiced = f0 > 0
            filled, voicing = fill_unvoiced(f0, voiced), voiced.to(mel.dtype)
        pitch = torch.stack([3 * (filled.log() - 5.0), 2 * voicing - 1], dim=1)
        features = torch.cat([scaled, pitch], dim=1)
        with torch.autocast(mel.device.type, enabled=False):
            pulses = pulse_train(filled, self.hop_length, self.sample_rate, self.mel_spec.framing)
            spectrum = self._analyze(pulses / self.pulse_scale) * self.harmonic_filter(features)
            noises = self._analyze(noise / self.noise_scale) * self.noise_filter(features)
            spectrum = spectrum + noises
            wav = self._synthesize_spectrum(spectrum)
            if self.final is not None:
                wav = _filter(wav, torch.cat([torch.ones_like(self.final[:1]), self.final]))
            refined: Tensor = self.consistency(wav, mel, self.config.consistency)
            return refined

    def _normalize(self, mel: Tensor) -> Tensor:
        """About zero mean and unit variance, whatever the mel's logarithm and normalisation."""
        amplitude = amplitude_from_log_mel(mel, self.mel_spec).clamp(min=_QUIETEST)
        return (amplitude.log() / self.mel_spec.power + 5.0) / 2.0

    def _analyze(self, source: Tensor) -> Tensor:
        spectrum: Tensor = self.stft(self.stft.pad(source))
        return spectrum

    def _synthesize_spectrum(self, spectrum: Tensor) -> Tensor:
        frames = torch.fft.irfft(spectrum, self.stft.n_fft)
        return self.stft.crop(overlap_add(frames, self.hop_length))

    def training_pair(self, batch: Batch) -> TrainingPair:
        """Generate waveforms of a batch's mels and F0."""
        if batch.f0 is None:
            raise WavewrightError(f"'{self.name}' learns from F0 tracks: run the stage 'pitch'")
        noise = batch.noise((batch.wav.shape[1],))
        return TrainingPair(self(batch.mel, noise, batch.f0), batch.wav)

    def reconstruction_loss(self, pair: TrainingPair) -> Loss:
        """Multi-resolution STFT loss, and L1 of log-mels up to half the sample rate."""
        convergence, magnitude = stft_losses(pair.fake, pair.real, self.config.resolutions)
        distance = mel_l1(pair.fake, pair.real, self.loss_spec)
        terms = [0.5 * convergence + magnitude, self.config.mel_weight * distance]
        return Loss(terms, {"stft": magnitude, "mel_l1": distance})

    def auxiliary_loss(self, batch: Batch) -> Loss:
        """Loss of the F0 predictor."""
        if batch.f0 is None:
            return Loss([])
        loss = self.f0_predictor.loss(self._normalize(batch.mel), batch.f0)
        return Loss([loss], {"f0": loss})

    def build_discriminators(self) -> dict[str, nn.Module]:
        """One player: discriminators of magnitudes at several resolutions."""
        adversary = self.config.adversary
        discriminators = [
            MagnitudeDiscriminator(*sizes, adversary.width_divisor)
            for sizes in adversary.resolutions
        ]
        return {PLAYER: DiscriminatorGroup(discriminators)}

    def optimizer_config(self, player: str) -> OptimizerConfig:
        """AdamW for both players."""
        config = self.config
        return OptimizerConfig(
            optimizer="adamw",
            learning_rate=config.learning_rate,
            betas=config.betas,
            weight_decay=config.weight_decay,
            warmup_steps=50,
            cosine_steps=config.cosine_steps,
            clip_norm=5.0,
        )

    def discriminator_loss(self, real: Outputs, fake: Outputs) -> Tensor:
        """Hinge loss, a mean over the resolutions."""
        return hinge_discriminator(real[0], fake[0]) / len(real[0])

    def adversarial_loss(self, real: Outputs, fake: Outputs) -> Loss:
        """Hinge loss of the scores and L1 of the features, each a mean over the resolutions."""
        adversarial = clipped_hinge_generator(fake[0]) / len(fake[0])
        features = feature_matching(real[1], fake[1]) / len(fake[1])
        config = self.config
        terms = [config.adversarial_weight * adversarial, config.feature_weight * features]
        return Loss(terms, {"adversarial": adversarial, "features": features})


def _filter(wav: Tensor, taps: Tensor) -> Tensor:
    """Filter (B, samples) causally by (n) taps, through the frequency domain."""
    samples = wav.shape[1]
    size = samples + len(taps) - 1
    spectrum = torch.fft.rfft(wav, size) * torch.fft.rfft(taps, size)
    filtered: Tensor = torch.fft.irfft(spectrum, size)[:, :samples]
    return filtered
