"""Capabilities that a vocoder opts into by inheriting from them; `isinstance` tells who has one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from wavewright.errors import WavewrightError
from wavewright.models.batch import Batch
from wavewright.models.vocoder import Vocoder


class Exportable(Vocoder):
    """Vocoder whose `synthesize` consists of tensor operations alone, for any batch and length."""

    def precompute(self) -> None:
        """Store what synthesis derives from the weights, which will not change any more."""


class PredictsSpectrum(Vocoder):
    """Vocoder whose waveform is the inverse STFT of a spectrum that it predicts."""

    @abstractmethod
    def predict_spectrum(self, mel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Magnitudes, cosines and sines of the phases.

        Args:
            mel: (B, n_mels, frames).

        Returns:
            (B, n_fft // 2 + 1, frames) each, in periodic Hann windows framed as the mel's.
        """


class HasLikelihood(Vocoder):
    """Vocoder that gives every waveform a probability."""

    @abstractmethod
    def bits_per_sample(self, batch: Batch) -> Tensor:
        """(B) mean of -log2 of the probability of each true sample, given the true past."""


class NeedsStatistics(Vocoder):
    """Vocoder that measures its corpus before the first training step."""

    @abstractmethod
    def fit_statistics(self, wavs: Iterable[np.ndarray]) -> None:
        """Measure the corpus.

        Args:
            wavs: (samples) float32, a crop of every utterance; may be read once.
        """


class PitchDriven(Vocoder):
    """Vocoder whose pitch can be given; otherwise it reads F0 off the mel."""

    @abstractmethod
    def estimate_f0(self, mel: Tensor) -> Tensor:
        """F0 (B, frames) in Hz of mels (B, n_mels, frames), 0 where unvoiced."""

    def generate(
        self,
        mel: Tensor,
        *,
        seed: int | None = None,
        speaker: str | None = None,
        refine: int = 0,
        f0: Tensor | None = None,
    ) -> Tensor:
        """Synthesize without gradients, as `Vocoder.generate`.

        Args:
            mel: (B, n_mels, frames).
            seed: of all noise.
            speaker: one of a `MultiSpeaker` vocoder's names.
            refine: iterations of `refine`.
            f0: (B, frames) in Hz, 0 where unvoiced; None reads it off the mel. A pitch other than
                the mel's is sung in the mel's timbre, without `refine`.
        """
        if f0 is None:
            return super().generate(mel, seed=seed, speaker=speaker, refine=refine)
        self.check_speaker(speaker)
        self.check_mel(mel)
        if f0.shape != (len(mel), mel.shape[-1]) or not bool((f0 >= 0).all()):
            raise WavewrightError(
                f"'{self.name}' takes F0 of shape {(len(mel), mel.shape[-1])} in Hz, 0 where "
                f"unvoiced; found {tuple(f0.shape)}"
                + ("" if f0.shape != (len(mel), mel.shape[-1]) else " with negative values")
            )
        mel = mel.to(self.device, torch.float32)
        with torch.no_grad():
            noise = self.draw_noise(len(mel), mel.shape[-1], seed=seed)
            wav = self.postprocess(self(mel, *noise, f0.to(mel)))
            return self.refine(wav, mel, refine) if refine else wav


class Sampler(Vocoder):
    """Vocoder that makes waveforms of a latent vector or of nothing."""

    @abstractmethod
    def sample(self, n: int, *, seed: int | None = None, speaker: str | None = None) -> Tensor:
        """Draw n waveforms: (n, samples) float32 in [-1, 1]; item i is that of (seed, i)."""


def require_sampler(vocoder: Vocoder) -> Sampler:
    """Return the vocoder as one that makes waveforms without a mel.

    Raises:
        WavewrightError: it takes mels.
    """
    if not isinstance(vocoder, Sampler) or vocoder.conditioning == "mel":
        raise WavewrightError(f"'{vocoder.name}' is driven by mels: use generate()")
    return vocoder


class MultiSpeaker(Vocoder):
    """Vocoder that may have learned several speakers."""

    @property
    @abstractmethod
    def speakers(self) -> tuple[str, ...]:
        """Names of the speakers; empty for one unnamed speaker."""

    def check_speaker(self, name: str | None) -> None:
        """Raise unless `name` is empty or one of the speakers."""
        if not self.speakers:
            super().check_speaker(name)
        elif name and name not in self.speakers:
            raise WavewrightError(
                f"'{self.name}' cannot speak as '{name}'. Speakers: {', '.join(self.speakers)}."
            )


def speakers_of(vocoder: Vocoder) -> tuple[str, ...]:
    """Names of a vocoder's speakers; empty for one unnamed speaker."""
    return vocoder.speakers if isinstance(vocoder, MultiSpeaker) else ()
