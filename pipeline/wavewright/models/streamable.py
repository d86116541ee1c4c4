"""Capability of streaming: a vocoder whose samples depend on a known span of frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce

import torch
from torch import Tensor

from wavewright.audio.filters import InverseFilters
from wavewright.errors import WavewrightError
from wavewright.models.streaming import (
    BlockPipeline,
    StreamBlock,
    StreamPipeline,
    concat_noise,
    split_noise,
    windows,
)
from wavewright.models.vocoder import Vocoder
from wavewright.nn.noise import NoiseSampler, NoiseSpec, item_seeds
from wavewright.nn.receptive_field import ReceptiveField, Span


class Streamable(Vocoder):
    """Vocoder that makes a waveform while its mel arrives.

    One of `streaming_blocks`, `input_span` and `receptive_field` must be given; the others follow.

    Attributes:
        chunk_frames: frames that `synthesize_chunked` makes at once; None makes all. Set by
            `optimize_for_inference`.
    """

    chunk_frames: int | None = None

    def streaming_blocks(self) -> Sequence[StreamBlock]:
        """Parts whose composition is `synthesize_frames` of `concat_noise(mel, noise)`.

        The last one's output is (B, 1, samples). The narrower each part's input span, the less a
        stream computes twice. Empty if not known.
        """
        return ()

    def input_span(self, samples: Span) -> Span | None:
        """Frames that samples depend on, ends of the utterance disregarded.

        By default through the `streaming_blocks`. See `wavewright.nn.input_span` for layers.

        Args:
            samples: sample 0 is the first of frame 0.

        Returns:
            None: all frames, or it is not known.
        """
        blocks = self.streaming_blocks()
        if not blocks:
            return None
        return reduce(lambda span, block: block.input_span(span), reversed(blocks), samples)

    @property
    def receptive_field(self) -> ReceptiveField | None:
        """Frames before and after its own that a sample depends on; None: all, or not known."""
        span = self.input_span(Span(0, self.hop_length - 1))
        return None if span is None else ReceptiveField(max(0, -span.first), max(0, span.last))

    @property
    def look_ahead(self) -> int | None:
        """Frames that a stream awaits before it makes one; None: it cannot stream."""
        return None if self.receptive_field is None else self.receptive_field.after

    @property
    def frame_multiple(self) -> int:
        """Multiple of frames at which chunks of a mel begin."""
        return 1

    def synthesize_chunked(self, mel: Tensor, *noise: Tensor) -> Tensor:
        """Compute `synthesize_frames` in chunks, which gives the same result with less memory."""
        frames, size, field = mel.shape[-1], self.chunk_frames, self.receptive_field
        if size is None or field is None or frames <= size + max(field):
            return self.synthesize_frames(mel, *noise)
        chunks, specs = [], self.noise_inputs(1).values()
        for window in windows(frames, size, field, self.frame_multiple):
            inputs = [mel[..., window.first : window.last]]
            for numbers, spec in zip(noise, specs, strict=True):
                each = spec.shape[-1] if spec.frames else 0
                part = slice(window.first * each, window.last * each) if each else slice(None)
                inputs.append(numbers[..., part])
            chunks.append(window.cut(self.synthesize_frames(*inputs), self.hop_length))
        return torch.cat(chunks, dim=1)

    def stream(
        self, mel_chunks: Iterable[Tensor], *, seed: int | None = None, speaker: str | None = None
    ) -> Iterator[Tensor]:
        """Synthesize as mels arrive; the chunks joined equal `generate` of the whole mel.

        A frame is made as soon as `look_ahead` more have arrived; frames around a chunk are
        computed again with it. See `streaming.rechunk` for chunks that are too short.

        Args:
            mel_chunks: (B, n_mels, any number of frames) each; the next is asked for after all
                samples that the earlier ones allow have been yielded.
            seed: as in `generate`.
            speaker: as in `generate`.

        Returns:
            (B, any number of samples) each, none of them empty.
        """
        require_streamable(self)
        self.check_speaker(speaker)
        return self._stream(mel_chunks, seed)

    def stream_pipeline(self) -> StreamPipeline:
        """Start a stream; by default the `streaming_blocks`, or all frames in reach as one block.

        It takes `concat_noise(mel, noise)`. Override it for a vocoder that has a state.
        """
        specs = list(self.noise_inputs(1).values())
        return BlockPipeline(self.streaming_blocks() or [self._single_block(specs)])

    @torch.no_grad()
    def _stream(self, mel_chunks: Iterable[Tensor], seed: int | None) -> Iterator[Tensor]:
        specs = list(self.noise_inputs(1).values())
        pipeline = self.stream_pipeline()
        undo, missing = InverseFilters(self.mel_spec.target_steps, self.sample_rate), 0
        samplers: list[NoiseSampler] | None = None

        def finished(output: Tensor | None) -> Iterator[Tensor]:
            nonlocal missing
            if output is not None and missing:
                wav = output[:, 0, :missing].float().clamp(-1.0, 1.0)
                missing -= wav.shape[1]
                yield undo(wav).clamp(-1.0, 1.0)

        for chunk in mel_chunks:
            self.check_mel(chunk)
            frames = chunk.shape[-1]
            if not frames:
                continue
            if samplers is None:
                samplers = [NoiseSampler(spec, item_seeds(seed, len(chunk))) for spec in specs]
            missing += frames * self.hop_length
            mel = chunk.to(self.device, torch.float32)
            noise = [one.draw(frames).to(self.device, non_blocking=True) for one in samplers]
            yield from finished(pipeline(concat_noise(mel, noise, specs)))
        if pipeline.held is not None:
            padded = self.pad_end(pipeline.held[:, : self.mel_spec.n_mels])
            yield from finished(pipeline(padded[..., pipeline.held.shape[-1] :], ended=True))

    def _single_block(self, specs: Sequence[NoiseSpec]) -> StreamBlock:
        """All of `synthesize_frames` as one block, for a network with an input span alone.

        It waits for `look_ahead` frames, as declared.
        """

        def run(both: Tensor) -> Tensor:
            return self.synthesize_frames(*split_noise(both, self.mel_spec.n_mels, specs))[:, None]

        def input_span(samples: Span) -> Span:
            span = self.input_span(samples)
            if span is None:
                field = self.receptive_field or ReceptiveField(0, 0)
                span = samples.to_frames(self.hop_length).expand(field.before, field.after)
            return span

        return StreamBlock(run, input_span, self.hop_length, self.frame_multiple)


def can_stream(vocoder: Vocoder) -> bool:
    """Tell whether `stream` works: the class is `Streamable`, and the look-ahead is known."""
    return isinstance(vocoder, Streamable) and vocoder.look_ahead is not None


def require_streamable(vocoder: Vocoder) -> Streamable:
    """Return the vocoder as one that streams.

    Raises:
        WavewrightError: it does not.
    """
    if not isinstance(vocoder, Streamable) or vocoder.look_ahead is None:
        raise WavewrightError(f"'{vocoder.name}' does not stream")
    return vocoder
