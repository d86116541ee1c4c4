"""WaveNet as a compiled loop.

Every layer keeps its past in a ring buffer. Most products of a sample are with taps of the past,
which do not depend on the sample before. They are computed first, for all layers, while the first
thread still draws that sample. The mel's contribution to the gates is computed once a frame. The
skip connections are one product over all layers at the end.

Threads share the units of each layer and meet at a barrier once a layer. The residual product
is small, so every thread computes all of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy as shallow_copy
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numba import float32
from torch import Tensor

from wavewright.kernels.compile import compile_loop, run_on_threads
from wavewright.kernels.conditioning import (
    Conditioning,
    constant_conditioning,
    interpolate_conditioning,
    mel_conditioning,
)
from wavewright.kernels.loop import EMPTY, Engine, LoopWindow
from wavewright.kernels.ops import (
    add_and_scale,
    add_scaled,
    barrier,
    copy,
    gate,
    prepare,
    product,
)
from wavewright.kernels.packing import (
    GROUP,
    PackedMatrix,
    pack,
    packed_bytes,
    pad_columns,
    pad_rows,
    round_up,
)
from wavewright.kernels.sampling import (
    GAUSSIAN,
    LOGISTICS,
    distribution_code,
    draw_gaussian,
    draw_label,
    draw_logistics,
    prepare_uniforms,
)
from wavewright.kernels.sizes import WaveNetSizes
from wavewright.nn.quantization import mu_law_decode
from wavewright.nn.upsample_network import ContextStretch


class CompiledWaveNet:
    """Loop for one utterance, starting from silence.

    Args:
        config: WaveNet's configuration.
        state: the network's state dict, weight norm folded.
        upsampler: the network's upsampling module; None if unconditional.
        silence: label or sample that stands for silence.
        engine: precision and threads.
    """

    def __init__(
        self,
        config: WaveNetSizes,
        state: Mapping[str, Tensor],
        upsampler: ContextStretch | None,
        silence: float,
        engine: Engine,
    ) -> None:
        self.config, self.upsampler, self.silence = config, upsampler, silence
        state = {key: value.detach().float().cpu() for key, value in state.items()}
        self.width = round_up(config.residual_channels, GROUP)
        self.hidden = round_up(config.gate_channels // 2, GROUP)
        self.skip = round_up(config.skip_channels, GROUP)
        self.precision = engine.precision
        self.threads = min(engine.loop_threads, self.hidden // GROUP)
        pack_ = partial(pack, precision=engine.precision)
        layers = [f"layers.{i}" for i in range(config.layers)]
        dilated = [self._tap_columns(state[f"{layer}.dilated.weight"]) for layer in layers]
        residual = [self._pad_residual(state[f"{layer}.residual.weight"]) for layer in layers[:-1]]
        skips = [
            F.pad(state[f"{layer}.skip.weight"][..., 0], (0, self._padding)) for layer in layers
        ]
        self.matrices: tuple[PackedMatrix, ...] = (
            pack_(torch.cat([rows[:, : -self.width] for rows in dilated])),
            pack_(torch.cat([rows[:, -self.width :] for rows in dilated])),
            # the last layer's residual output is unused
            pack_(torch.cat([*residual, torch.zeros(GROUP, self.hidden)])),
            pack_(torch.cat(skips, dim=1)),
            pack_(pad_columns(state["conv_skip.weight"][..., 0], self.skip)),
            pack(pad_columns(state["conv_post.weight"][..., 0], self.skip), "float32"),
        )
        self.biases = (
            torch.stack(
                [pad_rows(state[f"{layer}.residual.bias"], self.width) for layer in layers]
            ).numpy(),
            pad_rows(sum(state[f"{layer}.skip.bias"] for layer in layers), self.skip).numpy(),  # type: ignore[arg-type]
            pad_rows(state["conv_skip.bias"], self.skip).numpy(),
            pad_rows(state["conv_post.bias"], round_up(config.out_channels, GROUP)).numpy(),
        )
        conv_pre = state["conv_pre.weight"][..., 0]  # (residual, in)
        self.conv_pre = np.ascontiguousarray(pad_rows(conv_pre, self.width).mT.numpy())
        self.conv_pre_bias = pad_rows(state["conv_pre.bias"], self.width).numpy()
        self.gate_bias = torch.cat(
            [self._interleave_gates(state[f"{i}.dilated.bias"][:, None]) for i in layers]
        )
        if config.conditioning == "mel":
            self.mel_weight = torch.cat(
                [self._interleave_gates(state[f"{i}.condition.weight"][..., 0]) for i in layers]
            )
        self.speaker_weight = [
            self._interleave_gates(state[f"{i}.speaker.weight"][..., 0])
            for i in layers
            if config.speakers
        ]
        self.speaker_bias = self._speaker_bias(None)
        pasts = [(config.kernel_size - 1) * dilation for dilation in config.dilations]
        self.dilations = np.array(config.dilations, dtype=np.int64)
        self.rings = np.concatenate([[0], np.cumsum(pasts)]).astype(np.int64)
        self.past = np.zeros((self.rings[-1], self.width), dtype=np.float32)
        self.clock = np.zeros(1, dtype=np.int64)
        self.last_output = np.array([silence], dtype=np.float32)

    @property
    def weight_bytes(self) -> int:
        """Bytes of packed weights that are read for every sample."""
        return packed_bytes(*self.matrices)

    def from_silence(self, speaker_embedding: Tensor | None = None) -> CompiledWaveNet:
        """Copy of this loop with shared weights and the state of silence."""
        other = shallow_copy(self)
        other.speaker_bias = self._speaker_bias(speaker_embedding)
        other.past, other.clock = np.zeros_like(self.past), np.zeros_like(self.clock)
        other.last_output = np.array([self.silence], dtype=np.float32)
        return other

    def __call__(self, window: LoopWindow, uniforms: Tensor) -> Tensor:
        code = distribution_code(self.config.distribution, uniforms.shape[2])
        noise = prepare_uniforms(uniforms[0], code)
        outputs = torch.from_numpy(self._run(window, noise, code))[None]
        if self.config.distribution == "categorical":
            return mu_law_decode(outputs.long(), self.config.classes)
        return outputs

    def teacher_forced_logits(self, window: LoopWindow, targets: Tensor) -> Tensor:
        """Predict each of (1, T) labels or samples from those before it: (1, out_channels, T)."""
        logits = np.zeros((targets.shape[1], len(self.biases[3])), dtype=np.float32)
        noise = np.zeros((len(logits), 1), dtype=np.float32)
        self._run(window, noise, LOGISTICS, targets[0].float().numpy(), logits)
        return torch.from_numpy(logits[:, : self.config.out_channels]).mT[None]

    def _run(
        self,
        window: LoopWindow,
        noise: np.ndarray,
        code: int,
        targets: np.ndarray = EMPTY[:, 0],
        logits: np.ndarray = EMPTY,
    ) -> np.ndarray:
        """Generate a window; with `targets`, feed those back instead and fill `logits`."""
        config = self.config
        conditioning = self._conditioning(window)
        outputs = np.zeros(len(noise), dtype=np.float32)
        shared = (
            np.zeros(1, dtype=np.int64),
            np.zeros(config.layers * self.hidden, dtype=np.float32),
            np.zeros((2, self.skip), dtype=np.float32),
        )
        choices = config.classes if config.distribution == "categorical" else config.mixtures

        def loop(rank: int) -> None:
            _loop(
                *self.matrices,
                *self.biases,
                self.conv_pre,
                self.conv_pre_bias,
                *conditioning,
                self.dilations,
                self.rings,
                self.past,
                self.clock,
                noise,
                code,
                choices,
                config.log_scale_min,
                self.last_output,
                *shared,
                outputs,
                targets,
                logits,
                rank,
                self.threads,
            )

        run_on_threads(loop, self.threads)
        self.clock += len(outputs)
        return outputs

    def _conditioning(self, window: LoopWindow) -> Conditioning:
        bias = self.gate_bias + self.speaker_bias
        if window.mel is None:
            return constant_conditioning(bias[:, 0], window.frames, self.config.mel.hop_length)
        assert self.upsampler is not None
        frames = self.upsampler.conv_in(window.mel.float())[0]
        per_frame = bias.mT.expand(window.frames, -1)
        interpolated = frames.mT @ self.mel_weight.mT
        return mel_conditioning(
            self.upsampler, interpolated, per_frame, window.before, window.frames
        )

    def _speaker_bias(self, speaker_embedding: Tensor | None) -> Tensor:
        """(rows, 1) that a speaker embedding (1, speaker_channels, 1) adds to the gates."""
        if speaker_embedding is None:
            return torch.zeros_like(self.gate_bias)
        return torch.cat(self.speaker_weight) @ speaker_embedding[0].detach().float().cpu()

    @property
    def _padding(self) -> int:
        """Number of hidden units that only fill up the last group."""
        return self.hidden - self.config.gate_channels // 2

    def _interleave_gates(self, rows: Tensor) -> Tensor:
        """Reorder a layer's rows: 64 of the tanh half, 64 of the sigmoid half, and so on."""
        halves = F.pad(rows.reshape(2, -1, rows.shape[1]), (0, 0, 0, self._padding))
        blocks = halves.reshape(2, self.hidden // GROUP, GROUP, -1)
        return blocks.transpose(0, 1).flatten(0, 2)

    def _tap_columns(self, weight: Tensor) -> Tensor:
        """(gates, residual, kernel) -> interleaved rows, columns tap by tap, the oldest first."""
        padded = F.pad(weight.mT, (0, self.width - weight.shape[1]))
        return self._interleave_gates(padded.flatten(1))

    def _pad_residual(self, weight: Tensor) -> Tensor:
        """(residual, hidden, 1) -> (width, hidden), zero-padded to whole groups."""
        return pad_rows(F.pad(weight[..., 0], (0, self._padding)), self.width)


@compile_loop
def _loop(
    past_taps: Any,
    current_tap: Any,
    residual: Any,
    skips: Any,
    conv_skip: Any,
    conv_post: Any,
    residual_bias: Any,
    skips_bias: Any,
    skip_bias: Any,
    post_bias: Any,
    conv_pre: Any,
    conv_pre_bias: Any,
    interpolated: Any,
    per_frame: Any,
    weights: Any,
    kinds: Any,
    first: int,
    dilations: Any,
    rings: Any,
    past: Any,
    clock: Any,
    noise: Any,
    code: int,
    choices: int,
    log_scale_min: float,
    last_output: Any,
    counter: Any,
    gated: Any,
    sums: Any,
    outputs: Any,
    targets: Any,
    logits_out: Any,
    rank: int,
    threads: int,
) -> None:
    """Run one thread's share of a window; arrays are float32 (see CompiledWaveNet)."""
    layers, width, skip, hop = dilations.shape[0], past.shape[1], sums.shape[1], weights.shape[1]
    hidden = gated.shape[0] // layers
    taps = (rings[1] - rings[0]) // dilations[0]
    blocks, groups, skip_groups = hidden // 64, width // 64, skip // 64
    start, stop = blocks * rank // threads, blocks * (rank + 1) // threads
    skip_start, skip_stop = skip_groups * rank // threads, skip_groups * (rank + 1) // threads
    gate_count = 128 * (stop - start)
    x = np.zeros(width, dtype=np.float32)
    tap_values = np.zeros(taps * width, dtype=np.float32)
    gates = np.zeros(per_frame.shape[1], dtype=np.float32)
    x_products = np.zeros(per_frame.shape[1], dtype=np.float32)
    residual_out = np.zeros(layers * width, dtype=np.float32)
    conditioning = np.zeros(per_frame.shape[1], dtype=np.float32)
    logits = np.zeros(post_bias.shape[0], dtype=np.float32)
    quantized = np.zeros(2 * max(taps * width, width, layers * hidden, skip), dtype=np.uint8)
    residual_scale, skip_scale = float32(math.sqrt(0.5)), float32(math.sqrt(1.0 / layers))
    barriers = barrier(counter, threads, 0)
    for t in range(outputs.shape[0]):
        now = clock[0] + t
        frame = t // hop
        sample_weights = weights[kinds[frame], t - frame * hop]
        for layer in range(layers):
            ring_length = rings[layer + 1] - rings[layer]
            for i in range(taps):
                slot = rings[layer] + (now - (taps - i) * dilations[layer]) % ring_length
                copy(past, slot * width, tap_values, i * width, width)
            first_group, last_group = 2 * (layer * blocks + start), 2 * (layer * blocks + stop)
            row = 64 * first_group
            scale = prepare(past_taps, tap_values, taps * width, quantized)
            product(
                past_taps,
                first_group,
                last_group,
                taps * width,
                tap_values,
                quantized,
                scale,
                gates,
            )
            interpolate_conditioning(
                interpolated,
                per_frame,
                sample_weights,
                first,
                frame,
                row,
                row + gate_count,
                conditioning,
            )
            add_scaled(conditioning, row, 1.0, gates, row, gate_count)
        barriers = barrier(counter, threads, barriers)
        if conv_pre.shape[0] == 1:
            copy(conv_pre_bias, 0, x, 0, width)
            add_scaled(conv_pre, 0, last_output[0], x, 0, width)
        else:
            copy(conv_pre, int(last_output[0]) * width, x, 0, width)
            add_scaled(conv_pre_bias, 0, 1.0, x, 0, width)
        for layer in range(layers):
            first_group, last_group = 2 * (layer * blocks + start), 2 * (layer * blocks + stop)
            row = 64 * first_group
            scale = prepare(current_tap, x, width, quantized)
            product(current_tap, first_group, last_group, width, x, quantized, scale, x_products)
            add_scaled(x_products, row, 1.0, gates, row, gate_count)
            for block in range(start, stop):
                gate(gates, 128 * (layer * blocks + block), gated, layer * hidden + 64 * block)
            if rank == 0:
                slot = rings[layer] + now % (rings[layer + 1] - rings[layer])
                copy(x, 0, past, slot * width, width)
            barriers = barrier(counter, threads, barriers)
            if layer == layers - 1:
                break
            y = gated[layer * hidden : (layer + 1) * hidden]
            scale = prepare(residual, y, hidden, quantized)
            product(
                residual,
                layer * groups,
                (layer + 1) * groups,
                hidden,
                y,
                quantized,
                scale,
                residual_out,
            )
            add_scaled(residual_out, layer * width, 1.0, x, 0, width)
            add_and_scale(residual_bias, layer * width, residual_scale, x, 0, width, False)
        scale = prepare(skips, gated, layers * hidden, quantized)
        product(skips, skip_start, skip_stop, layers * hidden, gated, quantized, scale, sums[0])
        count = 64 * (skip_stop - skip_start)
        add_and_scale(
            skips_bias, 64 * skip_start, skip_scale, sums[0], 64 * skip_start, count, True
        )
        barriers = barrier(counter, threads, barriers)
        scale = prepare(conv_skip, sums[0], skip, quantized)
        product(conv_skip, skip_start, skip_stop, skip, sums[0], quantized, scale, sums[1])
        add_and_scale(skip_bias, 64 * skip_start, 1.0, sums[1], 64 * skip_start, count, True)
        barriers = barrier(counter, threads, barriers)
        if rank == 0:
            product(conv_post, 0, logits.shape[0] // 64, skip, sums[1], quantized, scale, logits)
            add_scaled(post_bias, 0, 1.0, logits, 0, logits.shape[0])
            if logits_out.shape[0] > 0:
                copy(logits, 0, logits_out, t * logits.shape[0], logits.shape[0])
                last_output[0] = targets[t]
            elif code == LOGISTICS:
                last_output[0] = draw_logistics(logits, choices, noise[t], log_scale_min)
            elif code == GAUSSIAN:
                last_output[0] = draw_gaussian(logits, noise[t], log_scale_min)
            else:
                last_output[0] = draw_label(logits, 0, choices, noise[t], 0, code)
            outputs[t] = last_output[0]
