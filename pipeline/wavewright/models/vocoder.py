"""Vocoder: the one interface behind which every vocoder is swapped, compared and plugged in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from wavewright.audio.filters import InverseFilters, undo_filters
from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.models.base import Model
from wavewright.models.batch import Batch, Padding
from wavewright.models.config import ModelConfig
from wavewright.models.streaming import (
    BlockPipeline,
    StreamBlock,
    concat_noise,
    split_noise,
    windows,
)
from wavewright.nn.noise import NoiseSampler, NoiseSpec, item_seeds
from wavewright.nn.receptive_field import ReceptiveField, Span
from wavewright.vocoder_info import VariantInfo


class Vocoder(Model):
    """Turns mels (or noise) into waveforms.

    Attributes:
        conditioning: what it is driven by: "mel", a "latent" vector, or "none".
        trains: whether it has parameters to train.
        streams: whether `stream` works; one whose `receptive_field` is known inherits it.
        exports: whether `synthesize` is tensors' arithmetic alone, which other programs can run.
        rounding: largest difference of a sample between programs that round differently.
        predicts_spectra: whether `predict_spectrum` works.
        tells_likelihood: whether `bits_per_sample` works.
        undoes_steps: whether `generate` undoes the spec's `target_steps` (by `postprocess`); one
            that does not cannot be built with a spec that has some.
        learning_alone: changes to a configuration that let it learn before its adversaries start,
            for one that is published without a reconstruction loss.
        channels_last: whether convolutions in that order are quicker on a processor.
        float32_parts: modules that stay in float32 when the others are in bfloat16.
        own_context: frames beyond a crop's ends that training gives it.
        crop_samples: that it learns from and makes, if it knows but one length.
        padding: of what lies beyond an utterance's ends.
        prefers_chunks: whether a processor is quicker with pieces of a mel than with a long one.
        chunk_frames: frames that `synthesize_chunked` makes at once; None makes all. Set by
            `optimize_for_inference`.
    """

    kind: ClassVar[Literal["vocoder", "acoustic"]] = "vocoder"
    conditioning: ClassVar[Literal["mel", "latent", "none"]] = "mel"
    trains: ClassVar[bool] = True
    streams: ClassVar[bool] = False
    exports: ClassVar[bool] = False
    rounding: ClassVar[float] = 1e-4
    predicts_spectra: ClassVar[bool] = False
    tells_likelihood: ClassVar[bool] = False
    undoes_steps: ClassVar[bool] = False
    learning_alone: ClassVar[Mapping[str, Any]] = {}
    channels_last: ClassVar[bool] = False
    float32_parts: ClassVar[tuple[str, ...]] = ("conv_post",)
    own_context: int = 0
    crop_samples: int | None = None
    padding: ClassVar[Padding] = "replicate"
    prefers_chunks: ClassVar[bool] = False
    chunk_frames: int | None = None

    def __init__(self, config: ModelConfig, *, name: str = "") -> None:
        if config.mel.target_steps and self.trains and not self.undoes_steps:
            steps = ", ".join(step.step for step in config.mel.target_steps)
            raise WavewrightError(
                f"'{name or type(self).__name__}' cannot learn a waveform after the target_steps "
                f"of its mel ({steps}); set mel.target_steps to []"
            )
        super().__init__(config, name=name)
        self._speaker = ""

    @classmethod
    def describe_variants(cls, name: str) -> tuple[VariantInfo, ...]:
        """Facts about the default configuration and every variant.

        Networks are built on torch's meta device, which takes no memory.
        """
        described = []
        for variant in (None, *cls.variants):
            with torch.device("meta"):
                vocoder = cls.create(name, variant)
            described.append(
                VariantInfo(
                    name=variant or "",
                    parameters=vocoder.parameter_count(),
                    conditioning=vocoder.conditioning,
                    sample_rate=vocoder.sample_rate,
                    streams=vocoder.streams,
                    exports=vocoder.exports,
                )
            )
        return tuple(described)

    @classmethod
    def fitted_to(cls, mel: MelSpec, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Changes to a configuration that make it fit a mel, such as rates for its hop length.

        Args:
            mel: the convention.
            fields: the configuration's fields so far, without `mel`.

        Raises:
            ValueError: nothing makes it fit.
        """
        return {}

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names of those it can speak as, if it learnt to tell them apart."""
        return ()

    @property
    def labelled_by(self) -> str:
        """The manifest's column whose values a training's crops bring along; empty for none."""
        return "speaker" if self.speakers else ""

    @property
    def speaker(self) -> str:
        """Whom it speaks as."""
        return self._speaker

    @speaker.setter
    def speaker(self, name: str) -> None:
        if name not in self.speakers:
            raise WavewrightError(
                f"'{self.name}' cannot speak as '{name}'. "
                + (f"Speakers: {', '.join(self.speakers)}." if self.speakers else "It has one.")
            )
        self._speaker = name

    @property
    def sample_rate(self) -> int:
        """Of the waveforms, in Hz."""
        return self.mel_spec.sample_rate

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return self.mel_spec.hop_length

    def streaming_blocks(self) -> Sequence[StreamBlock]:
        """Parts whose composition is `synthesize_frames`; none if not known.

        The last one's output is (B, 1, samples). A stream is the quicker the less each part hears.
        """
        return ()

    def input_span(self, samples: Span) -> Span | None:
        """Frames that samples depend on, the true first and last of an utterance not regarded.

        By default through the `streaming_blocks`. See
        `wavewright.nn.receptive_field.input_span`.

        Args:
            samples: sample 0 is the first of frame 0.

        Returns:
            None: on all of them, or it is not known.
        """
        stages = self.streaming_blocks()
        if not stages:
            return None
        return reduce(lambda span, stage: stage.input_span(span), reversed(stages), samples)

    @property
    def receptive_field(self) -> ReceptiveField | None:
        """Frames before and after its own that a sample depends on; None: all, or not known."""
        span = self.input_span(Span(0, self.hop_length - 1))
        return None if span is None else ReceptiveField(max(0, -span.first), max(0, span.last))

    @property
    def look_ahead(self) -> int | None:
        """Frames that a stream waits for before it speaks one; None: all, or not known."""
        return None if self.receptive_field is None else self.receptive_field.after

    @property
    def frame_multiple(self) -> int:
        """Pieces of a mel begin at frames that are multiples of it."""
        return 1

    def synthesize_chunked(self, mel: Tensor, *noise: Tensor) -> Tensor:
        """Compute `synthesize_frames` in chunks, which gives the same result with less memory.

        Args:
            mel: (B, n_mels, frames).
            noise: each of `noise_inputs`.

        Returns:
            (B, frames * hop_length).
        """
        frames, size, reach = mel.shape[-1], self.chunk_frames, self.receptive_field
        if size is None or reach is None or frames <= size + max(reach):
            return self.synthesize_frames(mel, *noise)
        pieces, kinds = [], self.noise_inputs(1).values()
        for window in windows(frames, size, reach, self.frame_multiple):
            given = [mel[..., window.first : window.last]]
            for numbers, kind in zip(noise, kinds, strict=True):
                each = kind.shape[-1] if kind.frames else 0
                part = slice(window.first * each, window.last * each) if each else slice(None)
                given.append(numbers[..., part])
            pieces.append(window.spoken(self.synthesize_frames(*given), self.hop_length))
        return torch.cat(pieces, dim=1)

    def noise_inputs(self, frames: int) -> dict[str, NoiseSpec]:
        """What `synthesize` needs beside a mel of so many frames, by name, in its order."""
        return {}

    def draw_noise(self, batch: int, frames: int, *, seed: int | None = None) -> list[Tensor]:
        """(batch, *shape) of each of `noise_inputs`; item i draws from (seed, i)."""
        noises = self.noise_inputs(frames).values()
        seeds = item_seeds(seed, batch) if noises else []
        return [noise.draw(seeds, self.device) for noise in noises]

    def synthesize_frames(self, mel: Tensor, *noise: Tensor) -> Tensor:
        """What the network says of some frames: by default what `forward` makes of all this.

        Args:
            mel: (B, n_mels, frames).
            noise: each of `noise_inputs`, of the same frames.

        Returns:
            (B, frames * hop_length), with the `target_steps` of the mel still in it.
        """
        wav: Tensor = self(mel, *noise)
        return wav

    def pad_end(self, mel: Tensor) -> Tensor:
        """A mel to its end, with frames after it that are cut off again once they are spoken."""
        return mel

    def synthesize(self, *given: Any, **named: Any) -> Tensor:
        """Turn a mel and its `noise_inputs` into a waveform; the part of `generate` that is pure.

        By default `synthesize_frames` and `postprocess`. Where `exports` is True it consists of
        operations on tensors alone, for any batch and any number of frames.

        Args:
            given: (B, n_mels, frames), or nothing for a latent vector; then each of `noise_inputs`.
            named: the same by name.

        Returns:
            (B, frames * hop_length) float32 in [-1, 1].
        """
        mel, *noise = (*given, *named.values())
        return self.postprocess(self.synthesize_chunked(mel, *noise).clamp(-1.0, 1.0))

    def precompute(self) -> None:
        """Make what speaking derives from the weights, once, as these will not change any more."""

    def predict_spectrum(self, mel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Magnitudes, cosines and sines of phases, whose inverse STFT is what `forward` says.

        Args:
            mel: (B, n_mels, frames).

        Returns:
            (B, n_fft // 2 + 1, frames) each, in periodic Hann windows framed as the mel's.
        """
        raise WavewrightError(f"'{self.name}' predicts no spectra")

    @torch.no_grad()
    def generate(self, mel: Tensor, *, seed: int | None = None) -> Tensor:
        """Synthesise, without gradients.

        Args:
            mel: (B, n_mels, frames) in the convention `self.mel_spec`.
            seed: of all noise; item i of a batch draws from (seed, i), so that a batch equals
                its items. None draws afresh.

        Returns:
            (B, frames * hop_length) float32 in [-1, 1].
        """
        if self.conditioning != "mel":
            raise WavewrightError(f"'{self.name}' is not driven by mels")
        self.check_mel(mel)
        mel = mel.to(self.device, torch.float32)
        return self.synthesize(mel, *self.draw_noise(len(mel), mel.shape[-1], seed=seed))

    def stream(self, mel_chunks: Iterable[Tensor], *, seed: int | None = None) -> Iterator[Tensor]:
        """Synthesise as mels arrive; the pieces joined equal `generate` of the whole.

        A frame is spoken as soon as `look_ahead` more have arrived, and what lies around a chunk is
        spoken again with it: see `streaming.rechunk` for chunks that are too short.

        Args:
            mel_chunks: (B, n_mels, any number of frames) each; the next is asked for after all
                that can be said of those before has been.
            seed: as in `generate`.

        Returns:
            (B, any number of samples) each, none of them empty.
        """
        if not self.streams or self.receptive_field is None:
            raise WavewrightError(f"'{self.name}' does not stream")
        return self._streamed(mel_chunks, seed)

    @torch.no_grad()
    def _streamed(self, mel_chunks: Iterable[Tensor], seed: int | None) -> Iterator[Tensor]:
        kinds = list(self.noise_inputs(1).values())
        chain = BlockPipeline(self.streaming_blocks() or [self._whole_stage(kinds)])
        undo, missing = InverseFilters(self.mel_spec.target_steps, self.sample_rate), 0
        noises: list[NoiseSampler] | None = None

        def finished(said: Tensor | None) -> Iterator[Tensor]:
            nonlocal missing
            if said is not None and missing:
                wav = said[:, 0, :missing].float().clamp(-1.0, 1.0)
                missing -= wav.shape[1]
                yield undo(wav).clamp(-1.0, 1.0)

        for chunk in mel_chunks:
            self.check_mel(chunk)
            frames = chunk.shape[-1]
            if not frames:
                continue
            if noises is None:
                noises = [NoiseSampler(kind, item_seeds(seed, len(chunk))) for kind in kinds]
            missing += frames * self.hop_length
            mel = chunk.to(self.device, torch.float32)
            drawn = [noise.draw(frames).to(self.device, non_blocking=True) for noise in noises]
            yield from finished(chain(concat_noise(mel, drawn, kinds)))
        if chain.held is not None:
            followed = self.pad_end(chain.held[:, : self.mel_spec.n_mels])
            yield from finished(chain(followed[..., chain.held.shape[-1] :], ended=True))

    def _whole_stage(self, kinds: Sequence[NoiseSpec]) -> StreamBlock:
        """All of `synthesize_frames` as one block, for a network with an input span alone."""

        def run(both: Tensor) -> Tensor:
            return self.synthesize_frames(*split_noise(both, self.mel_spec.n_mels, kinds))[:, None]

        def hears(samples: Span) -> Span:
            span = self.input_span(samples)
            if span is None:
                reach = self.receptive_field or ReceptiveField(0, 0)
                span = samples.to_frames(self.hop_length).expand(reach.before, reach.after)
            return span

        return StreamBlock(run, hears, self.hop_length, self.frame_multiple)

    def sample(self, n: int, *, seed: int | None = None) -> Tensor:
        """(n, samples) drawn from a latent or unconditional model."""
        raise WavewrightError(f"'{self.name}' is driven by mels: use generate()")

    def fit_statistics(self, wavs: Iterable[np.ndarray]) -> None:
        """Learn what must be known of a corpus before the first step, such as its statistics.

        Args:
            wavs: (samples) float32, a crop of every utterance; may be read once.
        """

    def bits_per_sample(self, batch: Batch) -> Tensor:
        """(B) mean of -log2 of what the network gives each true sample, after the true past."""
        raise WavewrightError(f"'{self.name}' tells no likelihood")

    def postprocess(self, wav: Tensor) -> Tensor:
        """Undo the spec's `target_steps` on what a network trained on them says: (B, samples)."""
        if not self.mel_spec.target_steps:
            return wav
        return undo_filters(wav, self.mel_spec.target_steps, self.sample_rate).clamp(-1.0, 1.0)

    def check_mel(self, mel: Tensor) -> None:
        """Raise unless `mel` is (B, n_mels, frames) with the right number of bands."""
        if mel.ndim != 3 or mel.shape[1] != self.mel_spec.n_mels:
            raise WavewrightError(
                f"'{self.name}' takes mels of shape (batch, {self.mel_spec.n_mels}, frames), "
                f"found {tuple(mel.shape)}"
            )
