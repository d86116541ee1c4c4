"""The paper's WaveRNN, dense or pruned in blocks, as a compiled loop.

The recurrent matrix is multiplied once a sample, before its coarse byte is drawn; the fine half of
the gates waits for that byte. Pruned matrices are stored as their blocks: at 95 % sparsity they
fit into a core's private cache, and one core is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy as shallow_copy
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numba import float32
from torch import Tensor

from wavewright.kernels.compile import compile_inner, compile_loop, run_on_threads
from wavewright.kernels.loop import EMPTY, Engine, LoopPrecision, LoopWindow
from wavewright.kernels.ops import (
    add_and_scale,
    add_scaled,
    barrier,
    copy,
    gru,
    prepare,
    product,
)
from wavewright.kernels.packing import (
    GROUP,
    PackedMatrix,
    pack,
    pack_sparse,
    packed_bytes,
    pad_columns,
    pad_rows,
    round_up,
)
from wavewright.kernels.sampling import distribution_code, draw_label, prepare_uniforms
from wavewright.nn.dual_softmax import SILENT_BYTES


class CompiledDualSoftmax:
    """Loop for one utterance, starting from silence.

    Args:
        state: state dict of the network with two softmaxes, pruned weights set to zero.
        input_weight: (3 * units, 3), from the last sample's bytes and the new coarse byte to the
            gates u, r and e.
        features: (B, n_mels, context + frames + context) -> (B, frames, 3 * units), added to the
            gates; None if unconditional.
        hop_length: samples of a frame.
        block: rows and columns of a pruned block; None if dense.
        engine: precision of dense weights, and threads; pruned ones are float32 on one thread.
    """

    def __init__(
        self,
        state: Mapping[str, Tensor],
        input_weight: Tensor,
        features: Callable[[Tensor], Tensor] | None,
        hop_length: int,
        block: tuple[int, int] | None,
        engine: Engine,
    ) -> None:
        self.features, self.hop_length = features, hop_length
        weights = {key: value.detach().float() for key, value in state.items()}
        self.half_units = weights["recurrent.weight"].shape[1] // 2
        self.half = round_up(self.half_units, GROUP)
        self.precision: LoopPrecision = "float32" if block else engine.precision
        self.threads = 1 if block else min(engine.loop_threads, self.half // GROUP)
        pack_: Any = (
            partial(pack_sparse, block=block)
            if block
            else partial(pack, precision=engine.precision)
        )
        layers = ("coarse1", "coarse2", "fine1", "fine2")
        self.matrices: tuple[PackedMatrix, ...] = (
            pack_(self._pad_halves(self._interleave_gates(weights["recurrent.weight"]))),
            *(
                pack_(_pad_to_groups(pad_columns(weights[f"{layer}.weight"], self.half)))
                for layer in layers
            ),
        )
        biases = [_pad_to_groups(weights[f"{layer}.bias"]) for layer in layers]
        self.biases = tuple(np.ascontiguousarray(bias.numpy()) for bias in biases)
        inputs = self._interleave_gates(input_weight.detach().float())
        self.input_weight = np.ascontiguousarray(inputs.mT.numpy())
        gate_bias = torch.cat([weights[f"bias_{gate}"] for gate in "ure"])
        self.gate_bias = self._interleave_gates(gate_bias[:, None])[:, 0]
        self.state = np.zeros(2 * self.half, dtype=np.float32)
        self.last_bytes = np.array(SILENT_BYTES, dtype=np.int64)

    @property
    def weight_bytes(self) -> int:
        """Bytes of packed weights that are read for every sample."""
        return packed_bytes(*self.matrices)

    def from_silence(self, speaker_embedding: Tensor | None = None) -> CompiledDualSoftmax:
        """Copy of this loop with shared weights and the state of silence."""
        assert speaker_embedding is None
        other = shallow_copy(self)
        other.state = np.zeros_like(self.state)
        other.last_bytes = np.array(SILENT_BYTES, dtype=np.int64)
        return other

    def __call__(self, window: LoopWindow, uniforms: Tensor) -> Tensor:
        per_byte = uniforms.shape[2] // 2
        code = distribution_code("categorical", per_byte)
        noise = prepare_uniforms(uniforms[0], code)
        return torch.from_numpy(self._run(window, noise, per_byte, code))[None]

    def teacher_forced_logits(self, window: LoopWindow, targets: Tensor) -> Tensor:
        """Predict both bytes of each sample (1, T, 2) from those before them: (1, 512, T)."""
        true_bytes = np.ascontiguousarray(targets[0].numpy())
        logits = np.zeros((len(true_bytes), 512), dtype=np.float32)
        noise = np.zeros((len(true_bytes), 2), dtype=np.float32)
        self._run(window, noise, 1, distribution_code("categorical", 1), true_bytes, logits)
        return torch.from_numpy(logits).mT[None]

    def _run(
        self,
        window: LoopWindow,
        noise: np.ndarray,
        per_byte: int,
        code: int,
        targets: np.ndarray = EMPTY.astype(np.int64),  # noqa: B008 (never written to)
        logits: np.ndarray = EMPTY,
    ) -> np.ndarray:
        """Generate a window; with `targets`, feed those back instead and fill `logits`."""
        gates = self.gate_bias[None].expand(window.frames, -1)
        if window.mel is not None:
            assert self.features is not None
            features = self.features(window.mel.float())[0, window.before :]
            gates = gates + self._interleave_gates(features[: window.frames].mT).mT
        frames = np.ascontiguousarray(gates.numpy())
        samples = np.zeros(len(noise), dtype=np.float32)
        shared = (
            np.zeros(1, dtype=np.int64),
            np.zeros(2 * self.half, dtype=np.float32),
            np.zeros((2, max(self.half, 256)), dtype=np.float32),
        )

        def loop(rank: int) -> None:
            _loop(
                *self.matrices,
                *self.biases,
                self.input_weight,
                frames,
                self.hop_length,
                noise,
                per_byte,
                code,
                self.state,
                self.last_bytes,
                *shared,
                samples,
                targets,
                logits,
                rank,
                self.threads,
            )

        run_on_threads(loop, self.threads)
        return samples

    def _interleave_gates(self, rows: Tensor) -> Tensor:
        """Reorder (3 * units, n) rows: 64 units' u, r and e in turn, each half in whole groups."""
        halves = rows.reshape(3, 2, self.half_units, -1)
        padded = F.pad(halves, (0, 0, 0, self.half - self.half_units))
        blocks = padded.reshape(3, 2 * self.half // GROUP, GROUP, -1)
        return blocks.transpose(0, 1).flatten(0, 2)

    def _pad_halves(self, matrix: Tensor) -> Tensor:
        """Zero-pad the columns of both halves to whole groups."""
        halves = matrix.reshape(len(matrix), 2, self.half_units)
        return F.pad(halves, (0, self.half - self.half_units)).flatten(1)


def _pad_to_groups(rows: Tensor) -> Tensor:
    """Append rows of zeros up to whole groups."""
    return pad_rows(rows, round_up(len(rows), GROUP))


@compile_inner
def _layer(
    matrix: Any,
    bias: Any,
    first: int,
    last: int,
    columns: int,
    x: Any,
    quantized: Any,
    out: Any,
    rectified: bool,
) -> None:
    """Compute row groups `first` to `last` of a linear layer, with ReLU if `rectified`."""
    scale = prepare(matrix, x, columns, quantized)
    product(matrix, first, last, columns, x, quantized, scale, out)
    add_and_scale(bias, 64 * first, 1.0, out, 64 * first, 64 * (last - first), rectified)


@compile_loop
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
    input_weight: Any,
    frames: Any,
    hop_length: int,
    noise: Any,
    per_byte: int,
    code: int,
    state: Any,
    last_bytes: Any,
    counter: Any,
    new_state: Any,
    layers: Any,
    samples: Any,
    targets: Any,
    logits_out: Any,
    rank: int,
    threads: int,
) -> None:
    """Run one thread's share of a window; arrays are float32 (see CompiledDualSoftmax)."""
    units = state.shape[0]
    half, blocks, out_groups = units // 2, units // 128, 4
    start, stop = blocks * rank // threads, blocks * (rank + 1) // threads
    out_start, out_stop = out_groups * rank // threads, out_groups * (rank + 1) // threads
    recurrent_products = np.zeros(3 * units, dtype=np.float32)
    gates, no_bias = np.zeros(3 * units, dtype=np.float32), np.zeros(units, dtype=np.float32)
    previous_bytes = np.zeros(2, dtype=np.int64)
    quantized = np.zeros(2 * units, dtype=np.uint8)
    level = float32(2.0 / 255.0)
    hidden, logits = layers[0], layers[1]
    barriers = barrier(counter, threads, 0)
    for t in range(samples.shape[0]):
        frame = t // hop_length * 3 * units
        previous_bytes[0], previous_bytes[1] = last_bytes[0], last_bytes[1]
        scale = prepare(recurrent, state, units, quantized)
        if threads == 1:
            product(recurrent, 0, 6 * blocks, units, state, quantized, scale, recurrent_products)
        else:
            for first_group in (3 * start, 3 * (blocks + start)):
                last_group = first_group + 3 * (stop - start)
                product(
                    recurrent,
                    first_group,
                    last_group,
                    units,
                    state,
                    quantized,
                    scale,
                    recurrent_products,
                )
        for byte in range(2):
            first, count = 192 * (byte * blocks + start), 192 * (stop - start)
            copy(frames, frame + first, gates, first, count)
            for i in range(2):
                x = float32(previous_bytes[i]) * level - float32(1.0)
                add_scaled(input_weight, 3 * units * i + first, x, gates, first, count)
            if byte == 1:
                x = float32(last_bytes[0]) * level - float32(1.0)
                add_scaled(input_weight, 6 * units + first, x, gates, first, count)
            for block in range(byte * blocks + start, byte * blocks + stop):
                row = 192 * block
                gru(gates, row, recurrent_products, row, no_bias, state, new_state, 64 * block)
            barriers = barrier(counter, threads, barriers)
            half_state = new_state[byte * half : (byte + 1) * half]
            if byte == 0:
                _layer(
                    coarse1, coarse1_bias, start, stop, half, half_state, quantized, hidden, True
                )
                barriers = barrier(counter, threads, barriers)
                _layer(
                    coarse2,
                    coarse2_bias,
                    out_start,
                    out_stop,
                    half,
                    hidden,
                    quantized,
                    logits,
                    False,
                )
            else:
                _layer(fine1, fine1_bias, start, stop, half, half_state, quantized, hidden, True)
                barriers = barrier(counter, threads, barriers)
                _layer(
                    fine2, fine2_bias, out_start, out_stop, half, hidden, quantized, logits, False
                )
            barriers = barrier(counter, threads, barriers)
            if rank == 0 and logits_out.shape[0] > 0:
                copy(logits, 0, logits_out, (2 * t + byte) * 256, 256)
                last_bytes[byte] = targets[t, byte]
            elif rank == 0:
                last_bytes[byte] = draw_label(logits, 0, 256, noise[t], byte * per_byte, code)
            barriers = barrier(counter, threads, barriers)
        if rank == 0:
            samples[t] = (
                float32(last_bytes[0] * 256 + last_bytes[1]) - float32(32768.0)
            ) / float32(32768.0)
            copy(new_state, 0, state, 0, units)
        barriers = barrier(counter, threads, barriers)
