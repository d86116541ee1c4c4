"""The paper's WaveRNN, dense or pruned in blocks, as a compiled loop.

The recurrent matrix is multiplied once a sample, before its coarse byte is drawn; the fine half of
the gates waits for that byte. Pruned matrices are stored as their blocks: at 95 % they fit into a
core's own cache, and one core is enough.
"""

from __future__ import annotations

from copy import copy as copy_of
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numba import float32
from torch import Tensor

from wavewright.kernels.compile import compiled, part, together
from wavewright.kernels.loop import NOTHING, Engine, Window
from wavewright.kernels.ops import (
    add_and_scale,
    add_scaled,
    copy,
    gru,
    meet,
    prepare,
    product,
)
from wavewright.kernels.packing import (
    GROUP,
    Packed,
    pack,
    pack_sparse,
    padded,
    size_of,
    tall,
    wide,
)
from wavewright.kernels.sampling import draw_label, ready, way

if TYPE_CHECKING:
    from wavewright.vocoders.wavernn import WaveRNN


class FastDualSoftmax:
    """One utterance in the making.

    Args:
        vocoder: with network `dual-softmax`.
        engine: precision of dense weights, and threads; pruned ones are float32 on one thread.
    """

    def __init__(self, vocoder: WaveRNN, engine: Engine) -> None:
        network: Any = vocoder.network
        self.network, self.hop = network, vocoder.hop_length
        pruning = vocoder.config.pruning
        self.real, self.half = network.half_units, padded(network.half_units, GROUP)
        self.precision = "float32" if pruning else engine.precision
        self.threads = 1 if pruning else min(engine.loop_threads, self.half // GROUP)
        pack_: Any = (
            partial(pack_sparse, block=pruning.shape)
            if pruning
            else partial(pack, precision=engine.precision)
        )
        state = vocoder.inference_state()
        weights = {key.removeprefix("network."): value.float() for key, value in state.items()}
        names = ("coarse1", "coarse2", "fine1", "fine2")
        self.matrices: tuple[Packed, ...] = (
            pack_(self._halves(self._gates(weights["recurrent.weight"]))),
            *(pack_(_whole(wide(weights[f"{name}.weight"], self.half))) for name in names),
        )
        biases = [_whole(weights[f"{name}.bias"]) for name in names]
        self.biases = tuple(np.ascontiguousarray(bias.numpy()) for bias in biases)
        inputs = self._gates(network.input_weight().detach().float())
        self.inputs = np.ascontiguousarray(inputs.mT.numpy())
        gate_bias = torch.cat([weights[f"bias_{gate}"] for gate in "ure"])
        self.gate_bias = self._gates(gate_bias[:, None])[:, 0]
        self.state = np.zeros(2 * self.half, dtype=np.float32)
        self.bytes = np.array([128, 0], dtype=np.int64)

    @property
    def weight_bytes(self) -> int:
        """Read for every sample."""
        return size_of(*self.matrices)

    def fresh(self) -> FastDualSoftmax:
        """The same from silence."""
        other = copy_of(self)
        other.state, other.bytes = np.zeros_like(self.state), np.array([128, 0], dtype=np.int64)
        return other

    def __call__(self, window: Window, uniforms: Tensor) -> Tensor:
        numbers = uniforms.shape[2] // 2
        how = way("categorical", numbers)
        return torch.from_numpy(self._run(window, ready(uniforms[0], how), numbers, how))[None]

    def listen(self, window: Window, said: Tensor) -> Tensor:
        """What both bytes of each sample (1, T, 2) were expected to be: (1, 512, T)."""
        forced = np.ascontiguousarray(said[0].numpy())
        kept = np.zeros((len(forced), 512), dtype=np.float32)
        numbers = np.zeros((len(forced), 2), dtype=np.float32)
        self._run(window, numbers, 1, way("categorical", 1), forced, kept)
        return torch.from_numpy(kept).mT[None]

    def _run(
        self,
        window: Window,
        numbers: np.ndarray,
        each: int,
        how: int,
        forced: np.ndarray = NOTHING.astype(np.int64),  # noqa: B008 (never written to)
        kept: np.ndarray = NOTHING,
    ) -> np.ndarray:
        """What the loop says of a window, or, with `forced` bytes, `kept` logits instead."""
        held = self.gate_bias[None].expand(window.frames, -1)
        if window.mel is not None:
            features = self.network.features(window.mel.float())[0, window.before :]
            held = held + self._gates(features[: window.frames].mT).mT
        frames = np.ascontiguousarray(held.numpy())
        said = np.zeros(len(numbers), dtype=np.float32)
        shared = (
            np.zeros(1, dtype=np.int64),
            np.zeros(2 * self.half, dtype=np.float32),
            np.zeros((2, max(self.half, 256)), dtype=np.float32),
        )

        def loop(rank: int) -> None:
            _loop(
                *self.matrices,
                *self.biases,
                self.inputs,
                frames,
                self.hop,
                numbers,
                each,
                how,
                self.state,
                self.bytes,
                *shared,
                said,
                forced,
                kept,
                rank,
                self.threads,
            )

        together(loop, self.threads)
        return said

    def _gates(self, rows: Tensor) -> Tensor:
        """(3 * units, n) of u, r, e -> 64 units' of each in turn, halves in whole groups."""
        halves = rows.reshape(3, 2, self.real, -1)
        whole = F.pad(halves, (0, 0, 0, self.half - self.real))
        blocks = whole.reshape(3, 2 * self.half // GROUP, GROUP, -1)
        return blocks.transpose(0, 1).flatten(0, 2)

    def _halves(self, matrix: Tensor) -> Tensor:
        """Columns of both halves, each in whole groups."""
        halves = matrix.reshape(len(matrix), 2, self.real)
        return F.pad(halves, (0, self.half - self.real)).flatten(1)


def _whole(rows: Tensor) -> Tensor:
    """Rows in whole groups."""
    return tall(rows, padded(len(rows), GROUP))


@part
def _layer(
    matrix: Any,
    bias: Any,
    first: int,
    last: int,
    columns: int,
    x: Any,
    words: Any,
    out: Any,
    rectified: bool,
) -> None:
    """Groups of rows of a linear layer, and rectification."""
    scale = prepare(matrix, x, columns, words)
    product(matrix, first, last, columns, x, words, scale, out)
    add_and_scale(bias, 64 * first, 1.0, out, 64 * first, 64 * (last - first), rectified)


@compiled
def _loop(
    recurrent: Any,
    coarse1: Any,
    coarse2: Any,
    fine1: Any,
    fine2: Any,
    coarse1_bias: Any,
    coarse2_bias: Any,
    fine1_bias: Any,
    fine2_bias: Any,
    inputs: Any,
    frames: Any,
    hop: int,
    uniforms: Any,
    each: int,
    how: int,
    state: Any,
    last: Any,
    counter: Any,
    after: Any,
    layers: Any,
    said: Any,
    forced: Any,
    kept: Any,
    rank: int,
    threads: int,
) -> None:
    """One thread's part of the samples of a window; arrays are float32 (see FastDualSoftmax)."""
    units = state.shape[0]
    half, blocks, outputs = units // 2, units // 128, 4
    start, stop = blocks * rank // threads, blocks * (rank + 1) // threads
    top, bottom = outputs * rank // threads, outputs * (rank + 1) // threads
    recalled = np.zeros(3 * units, dtype=np.float32)
    given, no_bias = np.zeros(3 * units, dtype=np.float32), np.zeros(units, dtype=np.float32)
    before = np.zeros(2, dtype=np.int64)
    words = np.zeros(2 * units, dtype=np.uint8)
    level = float32(2.0 / 255.0)
    hidden, logits = layers[0], layers[1]
    meetings = meet(counter, threads, 0)
    for t in range(said.shape[0]):
        frame = t // hop * 3 * units
        before[0], before[1] = last[0], last[1]
        scale = prepare(recurrent, state, units, words)
        if threads == 1:
            product(recurrent, 0, 6 * blocks, units, state, words, scale, recalled)
        else:
            for half_at in (3 * start, 3 * (blocks + start)):
                to = half_at + 3 * (stop - start)
                product(recurrent, half_at, to, units, state, words, scale, recalled)
        for byte in range(2):
            first, count = 192 * (byte * blocks + start), 192 * (stop - start)
            copy(frames, frame + first, given, first, count)
            for i in range(2):
                x = float32(before[i]) * level - float32(1.0)
                add_scaled(inputs, 3 * units * i + first, x, given, first, count)
            if byte == 1:
                x = float32(last[0]) * level - float32(1.0)
                add_scaled(inputs, 6 * units + first, x, given, first, count)
            for block in range(byte * blocks + start, byte * blocks + stop):
                row = 192 * block
                gru(given, row, recalled, row, no_bias, state, after, 64 * block)
            meetings = meet(counter, threads, meetings)
            mine = after[byte * half : (byte + 1) * half]
            if byte == 0:
                _layer(coarse1, coarse1_bias, start, stop, half, mine, words, hidden, True)
                meetings = meet(counter, threads, meetings)
                _layer(coarse2, coarse2_bias, top, bottom, half, hidden, words, logits, False)
            else:
                _layer(fine1, fine1_bias, start, stop, half, mine, words, hidden, True)
                meetings = meet(counter, threads, meetings)
                _layer(fine2, fine2_bias, top, bottom, half, hidden, words, logits, False)
            meetings = meet(counter, threads, meetings)
            if rank == 0 and kept.shape[0] > 0:
                copy(logits, 0, kept, (2 * t + byte) * 256, 256)
                last[byte] = forced[t, byte]
            elif rank == 0:
                last[byte] = draw_label(logits, 0, 256, uniforms[t], byte * each, how)
            meetings = meet(counter, threads, meetings)
        if rank == 0:
            said[t] = (float32(last[0] * 256 + last[1]) - float32(32768.0)) / float32(32768.0)
            copy(after, 0, state, 0, units)
        meetings = meet(counter, threads, meetings)
