"""Vocoder: the one interface behind which every vocoder is swapped, compared and plugged in.

What a system can do besides, it inherits: see `capabilities`, `streamable` and `gan_training`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from wavewright.audio.filters import apply_filters, undo_filters
from wavewright.errors import WavewrightError
from wavewright.models.base import Model
from wavewright.models.batch import Padding
from wavewright.nn.mel_consistency import MelConsistency
from wavewright.nn.noise import NoiseSpec, item_seeds


@dataclass(frozen=True)
class InferenceHints:
    """Hints for `optimize_for_inference` and the exporter.

    Attributes:
        channels_last: whether convolutions in that memory order are faster on a CPU.
        prefers_chunks: whether a CPU is faster with chunks of a mel than with a long one.
        float32_modules: modules that stay in float32 when the others are in bfloat16.
        export_atol: largest difference of a sample between PyTorch and the exported file.
    """

    channels_last: bool = False
    prefers_chunks: bool = False
    float32_modules: tuple[str, ...] = ("conv_post",)
    export_atol: float = 1e-4


@dataclass(frozen=True)
class CropSpec:
    """Crops of the corpus that a vocoder is trained on.

    Attributes:
        context_frames: frames of the mel beyond a crop's ends, on either side.
        fixed_samples: length of a crop, for a vocoder that makes only one length.
        padding: of the mel beyond an utterance's ends.
        label_column: column of the manifest whose values come with the crops; empty for none.
        f0: whether F0 tracks come with the crops.
    """

    context_frames: int = 0
    fixed_samples: int | None = None
    padding: Padding = "replicate"
    label_column: str = ""
    f0: bool = False


def model_kind(model: Model) -> Literal["vocoder", "acoustic"]:
    """Kind of a model, which names its files."""
    return "vocoder" if isinstance(model, Vocoder) else "acoustic"


class Vocoder(Model):
    """Mel (or noise) to waveform.

    Attributes:
        conditioning: input: a "mel", a "latent" vector, or "none".
        inference: hints for speed and precision.
        crops: crops for training.
    """

    conditioning: ClassVar[Literal["mel", "latent", "none"]] = "mel"
    inference: ClassVar[InferenceHints] = InferenceHints()
    crops: CropSpec = CropSpec()

    @property
    def sample_rate(self) -> int:
        """Sample rate of the waveforms in Hz."""
        return self.mel_spec.sample_rate

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return self.mel_spec.hop_length

    def noise_inputs(self, frames: int) -> dict[str, NoiseSpec]:
        """Noise that `forward` takes with a mel of so many frames, by name, in its order."""
        return {}

    def draw_noise(self, batch: int, frames: int, *, seed: int | None = None) -> list[Tensor]:
        """(batch, *shape) of each of `noise_inputs`; item i draws from (seed, i)."""
        noises = self.noise_inputs(frames).values()
        seeds = item_seeds(seed, batch) if noises else []
        return [noise.draw(seeds, self.device) for noise in noises]

    def synthesize_frames(self, mel: Tensor, *noise: Tensor) -> Tensor:
        """Output of the network for some frames; by default `forward`.

        Args:
            mel: (B, n_mels, frames).
            noise: each of `noise_inputs`, of the same frames.

        Returns:
            (B, frames * hop_length), the `target_steps` of the mel not yet undone.
        """
        wav: Tensor = self(mel, *noise)
        return wav

    def synthesize_chunked(self, mel: Tensor, *noise: Tensor) -> Tensor:
        """`synthesize_frames` of a long mel; `Streamable` vocoders may do it in chunks."""
        return self.synthesize_frames(mel, *noise)

    def pad_end(self, mel: Tensor) -> Tensor:
        """Append frames that the network needs after a mel; `synthesize` cuts their samples."""
        return mel

    def synthesize(self, *inputs: Any, **named: Any) -> Tensor:
        """Turn a mel and its `noise_inputs` into a waveform; the part of `generate` that is pure.

        Args:
            inputs: (B, n_mels, frames), then each of `noise_inputs`; a latent vocoder takes its
                noise alone.
            named: the same by name.

        Returns:
            (B, frames * hop_length) float32 in [-1, 1].
        """
        mel, *noise = (*inputs, *named.values())
        padded = self.pad_end(mel)
        wav = self.synthesize_chunked(padded, *noise)
        if padded is not mel:
            wav = wav[:, : mel.shape[-1] * self.hop_length]
        return self.postprocess(wav)

    def postprocess(self, wav: Tensor) -> Tensor:
        """Undo the spec's `target_steps` on (B, samples) of a network trained on them; clamp."""
        wav = wav.clamp(-1.0, 1.0)
        if not self.mel_spec.target_steps:
            return wav
        return undo_filters(wav, self.mel_spec.target_steps, self.sample_rate).clamp(-1.0, 1.0)

    def generate(
        self,
        mel: Tensor,
        *,
        seed: int | None = None,
        speaker: str | None = None,
        refine: int = 0,
    ) -> Tensor:
        """Synthesize without gradients.

        Args:
            mel: (B, n_mels, frames) in the convention `mel_spec`.
            seed: of all noise; item i of a batch draws from (seed, i), so that a batch equals
                its items. None draws afresh.
            speaker: one of a `MultiSpeaker` vocoder's names; None is its first.
            refine: iterations of `refine`, for mels of recordings.

        Returns:
            (B, frames * hop_length) float32 in [-1, 1].
        """
        with torch.no_grad():
            wav = self.generate_wav(mel, seed=seed, speaker=speaker)
            return self.refine(wav, mel, refine) if refine else wav

    def generate_wav(self, mel: Tensor, *, seed: int | None, speaker: str | None) -> Tensor:
        """Do what `generate` does before it refines; for vocoders that are no `synthesize`."""
        if self.conditioning != "mel":
            raise WavewrightError(f"'{self.name}' is not driven by mels")
        self.check_speaker(speaker)
        self.check_mel(mel)
        mel = mel.to(self.device, torch.float32)
        return self.synthesize(mel, *self.draw_noise(len(mel), mel.shape[-1], seed=seed))

    @torch.no_grad()
    def refine(self, wav: Tensor, mel: Tensor, iterations: int) -> Tensor:
        """Make waveforms have the mels that they were made of (`wavewright.nn.MelConsistency`).

        It mends what a vocoder gets wrong, and so does good where the mel is that of a recording.
        A mel that an acoustic model predicts is blurred, and a waveform that agrees with it sounds
        worse.

        Args:
            wav: (B, frames * hop_length) in [-1, 1].
            mel: (B, n_mels, frames).
            iterations: 30 give most of the gain.

        Returns:
            As `wav`.

        Raises:
            WavewrightError: the mel is taken after a high-pass, which cannot be undone.
        """
        spec = self.mel_spec
        if any(step.step == "highpass" for step in spec.wav_steps):
            raise WavewrightError(
                f"'{self.name}' cannot be refined: its mels are taken after a high-pass "
                "(mel.wav_steps), which cannot be undone"
            )
        consistency = MelConsistency(spec).to(wav.device)
        filtered = apply_filters(wav.float(), spec.wav_steps, self.sample_rate)
        refined = consistency(filtered, mel.to(wav.device, torch.float32), iterations)
        return undo_filters(refined, spec.wav_steps, self.sample_rate).clamp(-1.0, 1.0)

    def check_mel(self, mel: Tensor) -> None:
        """Raise unless `mel` is (B, n_mels, frames) with the right number of bands."""
        if mel.ndim != 3 or mel.shape[1] != self.mel_spec.n_mels:
            raise WavewrightError(
                f"'{self.name}' takes mels of shape (batch, {self.mel_spec.n_mels}, frames), "
                f"found {tuple(mel.shape)}"
            )

    def check_speaker(self, name: str | None) -> None:
        """Raise unless `name` is empty or one of the speakers of a `MultiSpeaker` vocoder."""
        if name:
            raise WavewrightError(f"'{self.name}' cannot speak as '{name}'. It has one voice.")
