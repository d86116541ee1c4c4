"""Base of vocoders that generate sample by sample: noise, mel windows, streaming, engine choice.

A vocoder's own file has the network and its `reference` loop in plain PyTorch; `kernels/` has the
compiled loops.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from wavewright.audio.filters import InverseFilters
from wavewright.errors import WavewrightError
from wavewright.io.progress import progress
from wavewright.kernels.loop import CompiledLoop, Engine, Loop, LoopWindow, UniformSampler
from wavewright.kernels.packing import has_vnni
from wavewright.models.batch import Batch
from wavewright.models.capabilities import HasLikelihood, Sampler
from wavewright.models.config import ModelConfig
from wavewright.models.streamable import Streamable
from wavewright.nn.noise import item_seeds
from wavewright.nn.upsample_network import SMOOTHING_FRAMES
from wavewright.nn.weight_cache import WeightCache

_CHUNK_FRAMES = 32  # between two updates of the progress bar
_PROGRESS_CHUNKS = 10  # shorter utterances show no progress bar


class AutoregressiveConfig(ModelConfig):
    """Configuration shared by all sample-by-sample vocoders.

    Attributes:
        conditioning: `mel`, or `none` for an unconditional network.
        context_frames: frames on either side of each that the network reads.
        sample_frames: frames (of the mel's hop length) that `sample` makes.
    """

    conditioning: Literal["mel", "none"] = "mel"
    context_frames: int = Field(default=2, ge=0)
    sample_frames: int = Field(default=64, gt=0)


class AutoregressiveVocoder(Streamable, HasLikelihood, Sampler):
    """Base of vocoders that feed their output back as input.

    Attributes:
        engine: sample loop that `generate`, `stream` and `sample` use.
        uniforms_per_sample: uniform random numbers that one sample uses.
    """

    uniforms_per_sample: int
    config: AutoregressiveConfig

    def __init__(self, config: AutoregressiveConfig, *, name: str = "") -> None:
        super().__init__(config, name=name)
        self.engine = Engine()
        self.conditioning = config.conditioning  # type: ignore[misc]
        context = config.context_frames if config.conditioning == "mel" else 0
        self.crops = replace(self.crops, context_frames=context)
        self._loop_cache = WeightCache()

    @property
    def look_ahead(self) -> int | None:
        """Frames of context and of smoothing; the past is all in the network's state."""
        return self.crops.context_frames + SMOOTHING_FRAMES if self.conditioning == "mel" else None

    def embed_speaker(self, name: str | None) -> Tensor | None:
        """(1, speaker_channels, 1) of a speaker, by default the first; None for one speaker."""
        return None

    @abstractmethod
    def reference_loop(self, batch: int, speaker: str | None = None) -> Loop:
        """Build the PyTorch loop for a batch, starting from silence."""

    @abstractmethod
    def compiled_loop(self, engine: Engine) -> CompiledLoop:
        """Build the compiled loop for one utterance, starting from silence."""

    @abstractmethod
    def targets(self, batch: Batch) -> Tensor:
        """Waveforms encoded as the network predicts them: labels or samples (B, T, ...)."""

    @abstractmethod
    def bits_from_logits(self, batch: Batch, logits: Tensor) -> Tensor:
        """Bits per sample (B) of a batch under the output of `teacher_forced_logits`."""

    @torch.no_grad()
    def bits_per_sample_quantized(self, batch: Batch, engine: Engine) -> Tensor:
        """`bits_per_sample` (1) of one item by a compiled loop, whose weights may be quantized."""
        mel = self.mel_with_context(batch) if self.conditioning == "mel" else None
        window = LoopWindow(mel, 0, batch.wav.shape[1] // self.hop_length)
        loop = self.compiled_loop(engine).from_silence(self.embed_speaker(None))
        return self.bits_from_logits(batch, loop.teacher_forced_logits(window, self.targets(batch)))

    def start_loop(self, batch: int, speaker: str | None = None) -> Loop:
        """Build a loop of the chosen engine for a batch, starting from silence."""
        if self._uses_reference:
            return self.reference_loop(batch, speaker)
        if batch == 1:
            return self._cached_loop(self.engine, speaker)
        workers = self.engine.threads or torch.get_num_threads()
        single = Engine(self.engine.name, self.engine.precision, 1)
        return _ParallelLoops([self._cached_loop(single, speaker) for _ in range(batch)], workers)

    @property
    def engine_description(self) -> str:
        """Readable description of the loop in use and of missing processor features."""
        if self._uses_reference:
            return f"the network's own code, sample by sample, on {self.device.type}"
        loop = self._cached_loop(self.engine)
        precision, threads = loop.precision, loop.threads
        description = f"a compiled loop, {precision} weights"
        if precision == "int8":
            vnni = "by AVX-512 VNNI" if has_vnni() else "widened to float32 (no AVX-512 VNNI here)"
            description += f" {vnni}"
        return f"{description}, on {threads} thread{'s' if threads > 1 else ''}"

    @property
    def _uses_reference(self) -> bool:
        return self.engine.name == "reference" or self.device.type != "cpu"

    def _cached_loop(self, engine: Engine, speaker: str | None = None) -> CompiledLoop:
        """Compiled loop from silence; weights are packed again only after they have changed."""
        loop = self._loop_cache.get(self, engine, lambda: self.compiled_loop(engine))
        return loop.from_silence(self.embed_speaker(speaker))

    def generate_wav(self, mel: Tensor, *, seed: int | None, speaker: str | None) -> Tensor:
        """(B, n_mels, frames) -> (B, frames * hop_length); item i draws from (seed, i)."""
        self._require_conditioning("mel", "sample")
        self.check_speaker(speaker)
        self.check_mel(mel)
        windows = self._split_windows([mel], _CHUNK_FRAMES)
        return self._generate_windows(windows, mel.shape[-1], len(mel), seed, speaker)

    @torch.no_grad()
    def stream(
        self, mel_chunks: Iterable[Tensor], *, seed: int | None = None, speaker: str | None = None
    ) -> Iterator[Tensor]:
        """(B, n_mels, any frames) in, (B, frames * hop_length) out, `look_ahead` frames later."""
        self._require_conditioning("mel", "sample")
        self.check_speaker(speaker)
        undo = InverseFilters(self.mel_spec.target_steps, self.sample_rate)
        for chunk in self._run_loop(self._split_windows(mel_chunks, None), None, seed, speaker):
            yield undo(chunk).clamp(-1.0, 1.0)

    @torch.no_grad()
    def sample(self, n: int, *, seed: int | None = None, speaker: str | None = None) -> Tensor:
        """(n, samples) from an unconditional network; item i draws from (seed, i)."""
        self._require_conditioning("none", "generate")
        self.check_speaker(speaker)
        frames = self.config.sample_frames
        windows = [
            LoopWindow(None, 0, min(_CHUNK_FRAMES, frames - start))
            for start in range(0, frames, _CHUNK_FRAMES)
        ]
        return self._generate_windows(windows, frames, n, seed, speaker)

    def mel_with_context(self, batch: Batch) -> Tensor:
        """Mels of a batch with the frames that the network reads beyond the ends of the crops."""
        missing = self.crops.context_frames - batch.context
        return self.pad_mel(batch.mel, missing, missing)

    def pad_mel(self, mel: Tensor, before: int, after: int) -> Tensor:
        """Extend mels (B, n_mels, frames) by silence or by their end frames (`padding`)."""
        if self.crops.padding == "silence":
            silence = torch.tensor(self.mel_spec.silence, device=mel.device)[None, :, None]
            sides = [silence.expand(len(mel), -1, frames) for frames in (before, after)]
            return torch.cat([sides[0], mel, sides[1]], dim=-1)
        return torch.nn.functional.pad(mel, (before, after), mode="replicate")

    def _require_conditioning(self, conditioning: str, alternative: str) -> None:
        if self.conditioning != conditioning:
            raise WavewrightError(
                f"'{self.name}' is conditioned by {self.conditioning}: use {alternative}()"
            )

    def _generate_windows(
        self,
        windows: Iterable[LoopWindow],
        frames: int,
        batch: int,
        seed: int | None,
        speaker: str | None,
    ) -> Tensor:
        """Concatenate the samples of all windows, with a progress bar for long utterances."""
        long = frames > _PROGRESS_CHUNKS * _CHUNK_FRAMES
        chunks = []
        with progress(self.name, total=frames, unit="frames", enabled=long) as bar:
            for chunk in self._run_loop(windows, batch, seed, speaker):
                chunks.append(chunk)
                bar.advance(chunk.shape[1] // self.hop_length)
        return self.postprocess(torch.cat(chunks, dim=1)) if chunks else torch.zeros(batch, 0)

    def _run_loop(
        self,
        windows: Iterable[LoopWindow],
        batch: int | None,
        seed: int | None,
        speaker: str | None,
    ) -> Iterator[Tensor]:
        """Yield the network's samples window by window; `batch` is read if unconditional."""
        loop: Loop | None = None
        noise: UniformSampler | None = None
        for window in windows:
            if loop is None or noise is None:
                size = batch if window.mel is None else len(window.mel)
                assert size is not None
                loop = self.start_loop(size, speaker)
                noise = UniformSampler(item_seeds(seed, size), self.uniforms_per_sample)
            yield loop(window, noise.draw(window.frames * self.hop_length)).float().cpu()

    def _split_windows(
        self, mel_chunks: Iterable[Tensor], size: int | None
    ) -> Iterator[LoopWindow]:
        """Yield windows of `size` frames; None: all frames whose look-ahead has arrived."""
        context, look_ahead = self.crops.context_frames, self.look_ahead or 0
        buffer, before = None, 0
        for chunk in mel_chunks:
            self.check_mel(chunk)
            if not chunk.shape[-1]:
                continue
            chunk = chunk.to(self.device, torch.float32)
            if buffer is None:
                buffer = self.pad_mel(chunk, context, 0)
            else:
                buffer = torch.cat([buffer, chunk], dim=-1)
            ready = buffer.shape[-1] - context - look_ahead - before
            if ready > 0 and size is None:
                buffer, before = yield from self._next_window(buffer, before, ready)
        if buffer is None:
            return
        buffer = self.pad_mel(buffer, 0, context)
        remaining = buffer.shape[-1] - 2 * context - before
        while remaining > 0:
            frames = min(remaining, size or remaining)
            buffer, before = yield from self._next_window(buffer, before, frames)
            remaining -= frames

    def _next_window(
        self, buffer: Tensor, before: int, frames: int
    ) -> Generator[LoopWindow, None, tuple[Tensor, int]]:
        """Yield the next `frames` of the buffer; return the rest of it and its new `before`."""
        stop = before + frames + SMOOTHING_FRAMES + 2 * self.crops.context_frames
        yield LoopWindow(buffer[..., :stop], before, frames)
        new_before = min(SMOOTHING_FRAMES, before + frames)
        return buffer[..., before + frames - new_before :], new_before


class _ParallelLoops:
    """Loop for a batch: single-utterance loops on a pool of threads."""

    def __init__(self, loops: Sequence[Loop], workers: int) -> None:
        self.loops = loops
        self.workers = min(workers, len(loops))

    def __call__(self, window: LoopWindow, uniforms: Tensor) -> Tensor:
        @torch.no_grad()  # the setting is per thread
        def run_item(item: int) -> Tensor:
            mel = None if window.mel is None else window.mel[item : item + 1]
            return self.loops[item](window._replace(mel=mel), uniforms[item : item + 1])

        with ThreadPoolExecutor(self.workers) as pool:
            return torch.cat(list(pool.map(run_item, range(len(self.loops)))))
