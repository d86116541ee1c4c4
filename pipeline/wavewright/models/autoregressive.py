"""Vocoders that make one sample after the other: how they are driven, whatever the network.

Noise, conditioning windows, streaming and the choice of an engine are here; a vocoder's file has
the network and its `reference` loop in plain PyTorch, and `generation/` has the fast loops.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from wavewright.audio.filters import InverseFilters
from wavewright.errors import WavewrightError
from wavewright.io.progress import progress
from wavewright.kernels.loop import Engine, FastLoop, Loop, Uniforms, Window
from wavewright.kernels.packing import has_vnni
from wavewright.models.batch import Batch
from wavewright.models.config import ModelConfig
from wavewright.models.vocoder import Vocoder
from wavewright.nn.noise import item_seeds
from wavewright.nn.upsample_network import REACH
from wavewright.nn.weight_cache import WeightCache

_PIECE = 32  # frames between two looks at what the user wants
_LONG = 10  # pieces that deserve a progress bar


class SequentialConfig(ModelConfig):
    """What such vocoders have in common.

    Attributes:
        conditioning: `mel`, or `none`: it says what it likes.
        context_frames: frames on either side of each that the network reads.
        sample_frames: frames (of the mel's hop length) that `sample` makes.
    """

    conditioning: Literal["mel", "none"] = "mel"
    context_frames: int = Field(default=2, ge=0)
    sample_frames: int = Field(default=64, gt=0)


class SequentialVocoder(Vocoder):
    """Base of vocoders that hear what they said.

    Attributes:
        engine: how `generate`, `stream` and `sample` make samples.
        uniforms: numbers that a draw takes.
        own_context: frames on either side that the network reads, without the smoothing.
    """

    tells_likelihood = True
    undoes_steps = True
    uniforms: int
    config: SequentialConfig

    def __init__(self, config: SequentialConfig, *, name: str = "") -> None:
        super().__init__(config, name=name)
        self.engine = Engine()
        self.conditioning = config.conditioning  # type: ignore[misc]
        self.streams = config.conditioning == "mel"  # type: ignore[misc]
        self.own_context = config.context_frames if config.conditioning == "mel" else 0
        self._kept = WeightCache()

    @property
    def look_ahead(self) -> int | None:
        """What the network reads and what smoothing takes in; the past is all in its state."""
        return self.own_context + REACH if self.streams else None

    @abstractmethod
    def reference(self, batch: int) -> Loop:
        """The network's own loop for a batch, from silence."""

    @abstractmethod
    def fast(self, engine: Engine) -> FastLoop:
        """A compiled loop for one utterance, from silence."""

    @abstractmethod
    def likelihood(self, batch: Batch, expected: Tensor) -> Tensor:
        """(B) bits per sample of what a loop expected, as its `listen` gives it."""

    @abstractmethod
    def encoded(self, batch: Batch) -> Tensor:
        """What is predicted of a batch's waveforms, as `listen` takes it."""

    @torch.no_grad()
    def heard_bits(self, batch: Batch, engine: Engine) -> Tensor:
        """`bits_per_sample` by a compiled loop, whose weights may be rounded: (1), of one item."""
        mel = self.with_context(batch) if self.conditioning == "mel" else None
        frames = batch.wav.shape[1] // self.hop_length
        loop = self.fast(engine)
        return self.likelihood(batch, loop.listen(Window(mel, 0, frames), self.encoded(batch)))

    def start(self, batch: int) -> Loop:
        """A loop for a batch by the chosen engine, from silence."""
        if self.engine.name == "reference" or self.device.type != "cpu":
            return self.reference(batch)
        if batch == 1:
            return self._packed(self.engine)
        workers = self.engine.threads or torch.get_num_threads()
        each = Engine(self.engine.name, self.engine.precision, 1)
        return _Together([self._packed(each) for _ in range(batch)], workers)

    @property
    def engine_in_use(self) -> str:
        """In words, with what the processor lacks."""
        if self.engine.name == "reference" or self.device.type != "cpu":
            return f"the network's own code, sample by sample, on {self.device.type}"
        loop = self._packed(self.engine)
        precision, threads = loop.precision, loop.threads
        how = f"a compiled loop, {precision} weights"
        if precision == "int8":
            vnni = "by AVX-512 VNNI" if has_vnni() else "widened to float32 (no AVX-512 VNNI here)"
            how += f" {vnni}"
        return f"{how}, on {threads} thread{'s' if threads > 1 else ''}"

    def _packed(self, engine: Engine) -> FastLoop:
        """A fast loop, made anew only if the weights have changed since the last."""
        return self._kept.get(self, engine, lambda: self.fast(engine)).fresh()

    @torch.no_grad()
    def generate(self, mel: Tensor, *, seed: int | None = None) -> Tensor:
        """(B, n_mels, frames) -> (B, frames * hop_length); item i draws from (seed, i)."""
        self._require("mel", "sample")
        self.check_mel(mel)
        return self._joined(self._windows([mel], _PIECE), mel.shape[-1], len(mel), seed)

    @torch.no_grad()
    def stream(self, mel_chunks: Iterable[Tensor], *, seed: int | None = None) -> Iterator[Tensor]:
        """(B, n_mels, any frames) in, (B, frames * hop_length) out, a few frames later."""
        self._require("mel", "sample")
        yield from self._speak(self._windows(mel_chunks, None), None, seed)

    @torch.no_grad()
    def sample(self, n: int, *, seed: int | None = None) -> Tensor:
        """(n, samples) of what an unconditional network says by itself."""
        self._require("none", "generate")
        frames, windows = self.config.sample_frames, []
        for start in range(0, frames, _PIECE):
            windows.append(Window(None, 0, min(_PIECE, frames - start)))
        return self._joined(windows, frames, n, seed)

    def with_context(self, batch: Batch) -> Tensor:
        """A batch's mels with the frames that the network reads beyond the crops' ends."""
        missing = self.own_context - batch.context
        return self.padded(batch.mel, missing, missing)

    def padded(self, mel: Tensor, before: int, after: int) -> Tensor:
        """(B, n_mels, frames) with frames beyond its ends."""
        if self.padding == "silence":
            silence = torch.tensor(self.mel.silence, device=mel.device)[None, :, None]
            sides = [silence.expand(len(mel), -1, frames) for frames in (before, after)]
            return torch.cat([sides[0], mel, sides[1]], dim=-1)
        return torch.nn.functional.pad(mel, (before, after), mode="replicate")

    def _require(self, conditioning: str, other: str) -> None:
        if self.conditioning != conditioning:
            raise WavewrightError(
                f"'{self.name}' is conditioned by {self.conditioning}: use {other}()"
            )

    def _joined(
        self, windows: Iterable[Window], frames: int, batch: int, seed: int | None
    ) -> Tensor:
        long = frames > _LONG * _PIECE
        pieces = []
        with progress(self.name, total=frames, unit="frames", shown=long) as bar:
            for piece in self._raw(windows, batch, seed):
                pieces.append(piece)
                bar.advance(piece.shape[1] // self.hop_length)
        return self.postprocess(torch.cat(pieces, dim=1)) if pieces else torch.zeros(batch, 0)

    def _speak(
        self, windows: Iterable[Window], batch: int | None, seed: int | None
    ) -> Iterator[Tensor]:
        undo = InverseFilters(self.mel.target_steps, self.sample_rate)
        for piece in self._raw(windows, batch, seed):
            yield undo(piece).clamp(-1.0, 1.0)

    def _raw(
        self, windows: Iterable[Window], batch: int | None, seed: int | None
    ) -> Iterator[Tensor]:
        loop: Loop | None = None
        noise: Uniforms | None = None
        for window in windows:
            if loop is None or noise is None:
                size = batch if window.mel is None else len(window.mel)
                assert size is not None
                loop = self.start(size)
                noise = Uniforms(item_seeds(seed, size), self.uniforms)
            yield loop(window, noise.draw(window.frames * self.hop_length)).float().cpu()

    def _windows(self, chunks: Iterable[Tensor], piece: int | None) -> Iterator[Window]:
        """Windows of `piece` frames, or of as many as have their neighbours already."""
        context, held, done = self.own_context, None, 0
        for chunk in chunks:
            self.check_mel(chunk)
            if not chunk.shape[-1]:
                continue
            chunk = chunk.to(self.device, torch.float32)
            if held is None:
                held = self.padded(chunk, context, 0)
            else:
                held = torch.cat([held, chunk], dim=-1)
            ready = held.shape[-1] - 2 * context - REACH - done
            if ready > 0 and piece is None:
                held, done = yield from self._cut(held, done, ready)
        if held is None:
            return
        held = self.padded(held, 0, context)
        rest = held.shape[-1] - 2 * context - done
        while rest > 0:
            take = min(rest, piece or rest)
            held, done = yield from self._cut(held, done, take)
            rest -= take

    def _cut(
        self, held: Tensor, before: int, take: int
    ) -> Generator[Window, None, tuple[Tensor, int]]:
        """Yield the next `take` frames held; return what stays, and how much of it is done."""
        context = self.own_context
        stop = before + take + REACH + 2 * context
        yield Window(held[..., :stop], before, take)
        kept = min(REACH, before + take)
        return held[..., before + take - kept :], kept


class _Together:
    """Loops of one utterance each, side by side."""

    def __init__(self, loops: Sequence[Loop], workers: int) -> None:
        self.loops = loops
        self.workers = min(workers, len(loops))

    def __call__(self, window: Window, uniforms: Tensor) -> Tensor:
        @torch.no_grad()  # which is each thread's own
        def one(item: int) -> Tensor:
            mel = None if window.mel is None else window.mel[item : item + 1]
            return self.loops[item](window._replace(mel=mel), uniforms[item : item + 1])

        with ThreadPoolExecutor(self.workers) as pool:
            return torch.cat(list(pool.map(one, range(len(self.loops)))))
