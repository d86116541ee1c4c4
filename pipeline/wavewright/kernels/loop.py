"""Contract of sample-by-sample loops: engines, windows of mels, uniform noise."""

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
NOTHING = np.zeros((0, 1), dtype=np.float32)


@dataclass(frozen=True)
class Engine:
    """How samples are made.

    Attributes:
        name: `fast`: compiled loops; `reference`: the network's own code, sample by sample.
        precision: in which the fast loop keeps the weights.
        threads: of one fast loop; None is torch's number, at most two.
    """

    name: EngineName = "fast"
    precision: LoopPrecision = "float32"
    threads: int | None = None

    @classmethod
    def chosen(cls, name: str, precision: str) -> Engine:
        """By words of a command or a recipe.

        Raises:
            WavewrightError: no such engine or precision.
        """
        for word, allowed, what in (
            (name, get_args(EngineName), "engine"),
            (precision, get_args(LoopPrecision), "precision"),
        ):
            if word not in allowed:
                raise WavewrightError(f"{what} '{word}': allowed are {', '.join(allowed)}")
        if name == "reference" and precision != "float32":
            raise WavewrightError(f"the reference engine computes in float32, not in {precision}")
        return cls(name, precision)  # type: ignore[arg-type]

    @property
    def loop_threads(self) -> int:
        """Threads for one utterance."""
        return self.threads or min(2, torch.get_num_threads())


class Window(NamedTuple):
    """Some frames of an utterance with their neighbours.

    Attributes:
        mel: (B, n_mels, context + before + frames + after + context); None without conditioning.
        before: frames that are there for smoothing alone; 0 where the utterance begins.
        frames: to be spoken.
    """

    mel: Tensor | None
    before: int
    frames: int


class Loop(Protocol):
    """Utterances in the making; keeps the network's state from one call to the next."""

    def __call__(self, window: Window, uniforms: Tensor) -> Tensor:
        """Go on with some frames.

        Args:
            window: of the mel.
            uniforms: (B, samples, n) in (0, 1), as many as each draw takes.

        Returns:
            (B, samples) float32 in [-1, 1].
        """


class FastLoop(Loop, Protocol):
    """A compiled loop, whose packed weights serve many utterances.

    Attributes:
        precision: of the weights that most of the time goes into.
        threads: that share out a sample's products.
    """

    precision: LoopPrecision
    threads: int

    def fresh(self) -> FastLoop:
        """The same from silence."""

    def listen(self, window: Window, said: Tensor) -> Tensor:
        """What each sample was expected to be, after the true ones before it.

        Args:
            window: of the mel.
            said: what is predicted, as the network encodes it, of one utterance.

        Returns:
            (1, channels, samples): what the network's likelihood takes.
        """


class Uniforms:
    """Uniform numbers of every item of a batch, each from its own seed, however they are cut."""

    def __init__(self, seeds: Sequence[int], each: int) -> None:
        self.generators = [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]
        self.each = each

    def draw(self, samples: int) -> Tensor:
        """(B, samples, each) float32, at least 1e-5 from 0 and 1, as r9y9 draws them."""
        drawn = [g.random((samples, self.each), dtype=np.float32) for g in self.generators]
        return torch.from_numpy(np.stack(drawn)) * (1 - 2e-5) + 1e-5
