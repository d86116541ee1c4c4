"""Contract of sample-by-sample loops: engine, loop, window of mel frames, uniform noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np
import torch
from torch import Tensor

from wavewright.errors import WavewrightError

EngineName = Literal["fast", "reference"]
LoopPrecision = Literal["float32", "bf16", "int8"]

#: Stand-in for the optional arrays of a compiled loop.
EMPTY = np.zeros((0, 1), dtype=np.float32)


@dataclass(frozen=True)
class Engine:
    """Choice of sample loop.

    Attributes:
        name: `fast` for the compiled loops, `reference` for the network's own PyTorch code.
        precision: storage format of the compiled loop's weights.
        threads: threads of one compiled loop; None takes torch's number, at most two.
    """

    name: EngineName = "fast"
    precision: LoopPrecision = "float32"
    threads: int | None = None

    @classmethod
    def from_options(cls, name: str, precision: str) -> Engine:
        """Check and convert the values of the options `engine` and `precision`.

        Raises:
            WavewrightError: unknown engine or precision, or a pair that does not exist.
        """
        for value, allowed, option in (
            (name, get_args(EngineName), "engine"),
            (precision, get_args(LoopPrecision), "precision"),
        ):
            if value not in allowed:
                raise WavewrightError(f"{option} '{value}': allowed are {', '.join(allowed)}")
        if name == "reference" and precision != "float32":
            raise WavewrightError(f"the reference engine computes in float32, not in {precision}")
        return cls(name, precision)  # type: ignore[arg-type]

    @property
    def loop_threads(self) -> int:
        """Number of threads for one utterance."""
        return self.threads or min(2, torch.get_num_threads())


class LoopWindow(NamedTuple):
    """Consecutive mel frames to generate, with the neighbors that the network reads.

    Attributes:
        mel: (B, n_mels, context + before + frames + after + context); None if unconditional.
        before: frames that only smoothing reads; 0 at the start of the utterance.
        frames: frames to generate.
    """

    mel: Tensor | None
    before: int
    frames: int


class Loop(Protocol):
    """Generator of a batch of waveforms that keeps the network's state between calls."""

    def __call__(self, window: LoopWindow, uniforms: Tensor) -> Tensor:
        """Generate the next frames.

        Args:
            window: the frames.
            uniforms: (B, samples, uniforms_per_sample) in (0, 1).

        Returns:
            (B, samples) float32 in [-1, 1].
        """


class CompiledLoop(Loop, Protocol):
    """Compiled loop for one utterance; its packed weights are shared between utterances.

    Attributes:
        precision: storage format of the large matrices.
        threads: threads that share the work of every sample.
    """

    precision: LoopPrecision
    threads: int

    @property
    def weight_bytes(self) -> int:
        """Bytes of packed weights that are read for every sample."""

    def from_silence(self, speaker_embedding: Tensor | None = None) -> CompiledLoop:
        """Copy of this loop with shared weights and the state of silence.

        Args:
            speaker_embedding: (1, speaker_channels, 1) for multi-speaker networks.
        """

    def teacher_forced_logits(self, window: LoopWindow, targets: Tensor) -> Tensor:
        """Predict each sample of one utterance from the true samples before it.

        Args:
            window: all frames of the utterance.
            targets: (1, samples, ...) labels or samples, as the vocoder's `targets` encodes them.

        Returns:
            (1, channels, samples) parameters of the output distribution.
        """


class UniformSampler:
    """Uniform noise of a batch: one generator per item, independent of how calls split it.

    Args:
        seeds: seed of each item.
        per_sample: numbers that one audio sample uses.
    """

    def __init__(self, seeds: Sequence[int], per_sample: int) -> None:
        self.generators = [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]
        self.per_sample = per_sample

    def draw(self, samples: int) -> Tensor:
        """(B, samples, per_sample) float32 in [1e-5, 1 - 1e-5], the range that r9y9 uses."""
        items = [g.random((samples, self.per_sample), dtype=np.float32) for g in self.generators]
        return torch.from_numpy(np.stack(items)) * (1 - 2e-5) + 1e-5
