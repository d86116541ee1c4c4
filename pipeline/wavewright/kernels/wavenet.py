"""WaveNet as a compiled loop.

Every layer keeps its past in a ring. Most of a sample's products are with taps of the past, which
do not wait for the sample before: these are made first, for all layers, and while the first
thread still draws. What the mel adds to the gates is made once a frame. The skips, which nothing
waits for, are one product over all layers at the end.

Threads share out each layer's units and wait for each other once a layer; the way to the next
layer is short, so each of them goes it whole.
"""

from __future__ import annotations

import math
from copy import copy as copy_of
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numba import float32
from torch import Tensor

from wavewright.kernels.compile import compiled, together
from wavewright.kernels.conditioning import Conditions, blend, conditions, unconditional
from wavewright.kernels.loop import NOTHING, Engine, Window
from wavewright.kernels.ops import (
    add_and_scale,
    add_scaled,
    copy,
    gate,
    meet,
    prepare,
    product,
)
from wavewright.kernels.packing import GROUP, Packed, pack, padded, size_of, tall, wide
from wavewright.kernels.sampling import (
    GAUSSIAN,
    LOGISTICS,
    draw_gaussian,
    draw_label,
    draw_logistics,
    ready,
    way,
)
from wavewright.nn.weight_norm import fold_weight_norm

if TYPE_CHECKING:
    from wavewright.vocoders.wavenet import WaveNet


class FastWaveNet:
    """One utterance in the making.

    Args:
        vocoder: whose weights.
        engine: precision and threads.
    """

    def __init__(self, vocoder: WaveNet, engine: Engine) -> None:
        self.vocoder, self.config = vocoder, vocoder.config
        config, state = self.config, fold_weight_norm(vocoder.state_dict())
        state = {key: value.detach().float().cpu() for key, value in state.items()}
        self.width, self.hidden = (
            padded(config.residual_channels, GROUP),
            padded(config.gate_channels // 2, GROUP),
        )
        self.skip = padded(config.skip_channels, GROUP)
        self.precision = engine.precision
        self.threads = min(engine.loop_threads, self.hidden // GROUP)
        pack_ = partial(pack, precision=engine.precision)
        layers = [f"layers.{i}" for i in range(config.layers)]
        dilated = [self._taps(state[f"{layer}.dilated.weight"]) for layer in layers]
        residual = [self._square(state[f"{layer}.residual.weight"]) for layer in layers[:-1]]
        skips = [F.pad(state[f"{layer}.skip.weight"][..., 0], (0, self._idle)) for layer in layers]
        self.matrices: tuple[Packed, ...] = (
            pack_(torch.cat([rows[:, : -self.width] for rows in dilated])),
            pack_(torch.cat([rows[:, -self.width :] for rows in dilated])),
            pack_(torch.cat([*residual, torch.zeros(GROUP, self.hidden)])),  # of the last: unheard
            pack_(torch.cat(skips, dim=1)),
            pack_(wide(state["conv_skip.weight"][..., 0], self.skip)),
            pack(wide(state["conv_post.weight"][..., 0], self.skip), "float32"),
        )
        self.biases = (
            torch.stack(
                [tall(state[f"{layer}.residual.bias"], self.width) for layer in layers]
            ).numpy(),
            tall(sum(state[f"{layer}.skip.bias"] for layer in layers), self.skip).numpy(),  # type: ignore[arg-type]
            tall(state["conv_skip.bias"], self.skip).numpy(),
            tall(state["conv_post.bias"], padded(config.out_channels, GROUP)).numpy(),
        )
        pre = state["conv_pre.weight"][..., 0]  # (residual, in)
        self.enter = np.ascontiguousarray(tall(pre, self.width).mT.numpy())
        self.enter_bias = tall(state["conv_pre.bias"], self.width).numpy()
        self.gate_bias = torch.cat(
            [self._gates(state[f"{i}.dilated.bias"][:, None]) for i in layers]
        )
        if config.conditioning == "mel":
            self.by_mel = torch.cat(
                [self._gates(state[f"{i}.condition.weight"][..., 0]) for i in layers]
            )
        self.speaker_rows = [
            self._gates(state[f"{i}.speaker.weight"][..., 0]) for i in layers if config.speakers
        ]
        self.by_voice = self._by_voice()
        reaches = [(config.kernel_size - 1) * dilation for dilation in config.dilations]
        self.dilations = np.array(config.dilations, dtype=np.int64)
        self.rings = np.concatenate([[0], np.cumsum(reaches)]).astype(np.int64)
        self.past = np.zeros((self.rings[-1], self.width), dtype=np.float32)
        self.clock = np.zeros(1, dtype=np.int64)
        self.said = np.array([vocoder.silent], dtype=np.float32)

    @property
    def weight_bytes(self) -> int:
        """Read for every sample."""
        return size_of(*self.matrices)

    def fresh(self) -> FastWaveNet:
        """The same from silence."""
        other = copy_of(self)
        other.by_voice = self._by_voice()
        other.past, other.clock = np.zeros_like(self.past), np.zeros_like(self.clock)
        other.said = np.array([self.vocoder.silent], dtype=np.float32)
        return other

    def __call__(self, window: Window, uniforms: Tensor) -> Tensor:
        categorical = self.config.distribution == "categorical"
        how = way(self.config.distribution, uniforms.shape[2])
        said = torch.from_numpy(self._run(window, ready(uniforms[0], how), how))[None]
        return self.vocoder.decode(said.long() if categorical else said)

    def listen(self, window: Window, said: Tensor) -> Tensor:
        """What each sample was expected to be, after the given ones before it."""
        kept = np.zeros((said.shape[1], len(self.biases[3])), dtype=np.float32)
        numbers = np.zeros((len(kept), 1), dtype=np.float32)
        self._run(window, numbers, LOGISTICS, said[0].float().numpy(), kept)
        return torch.from_numpy(kept[:, : self.config.out_channels]).mT[None]

    def _run(
        self,
        window: Window,
        numbers: np.ndarray,
        how: int,
        forced: np.ndarray = NOTHING[:, 0],
        kept: np.ndarray = NOTHING,
    ) -> np.ndarray:
        """What the loop says of a window, or, with `forced` samples, `kept` logits instead."""
        config = self.config
        given = self._conditions(window)
        said = np.zeros(len(numbers), dtype=np.float32)
        shared = (
            np.zeros(1, dtype=np.int64),
            np.zeros(config.layers * self.hidden, dtype=np.float32),
            np.zeros((2, self.skip), dtype=np.float32),
        )
        outputs = config.classes if config.distribution == "categorical" else config.mixtures

        def loop(rank: int) -> None:
            _loop(
                *self.matrices,
                *self.biases,
                self.enter,
                self.enter_bias,
                *given,
                self.dilations,
                self.rings,
                self.past,
                self.clock,
                numbers,
                how,
                outputs,
                config.log_scale_min,
                self.said,
                *shared,
                said,
                forced,
                kept,
                rank,
                self.threads,
            )

        together(loop, self.threads)
        self.clock += len(said)
        return said

    def _conditions(self, window: Window) -> Conditions:
        if window.mel is None:
            held = (self.gate_bias + self.by_voice)[:, 0]
            return unconditional(held, window.frames, self.vocoder.hop_length)
        upsampler = self.vocoder.upsampler
        near = upsampler.conv_in(window.mel.float())[0]
        held = (self.gate_bias + self.by_voice).mT.expand(window.frames, -1)
        mixed = near.mT @ self.by_mel.mT
        return conditions(upsampler, mixed, held, window.before, window.frames)

    def _by_voice(self) -> Tensor:
        """(rows, 1), what the speaker adds to the gates."""
        voice = self.vocoder.voice
        if voice is None:
            return torch.zeros_like(self.gate_bias)
        return torch.cat(self.speaker_rows) @ voice[0].detach().float().cpu()

    @property
    def _idle(self) -> int:
        return self.hidden - self.config.gate_channels // 2

    def _gates(self, rows: Tensor) -> Tensor:
        """Rows of a layer's contents and gates, 64 of each in turn."""
        halves = F.pad(rows.reshape(2, -1, rows.shape[1]), (0, 0, 0, self._idle))
        blocks = halves.reshape(2, self.hidden // GROUP, GROUP, -1)
        return blocks.transpose(0, 1).flatten(0, 2)

    def _taps(self, weight: Tensor) -> Tensor:
        """(gates, residual, kernel) -> rows as `_gates`, columns tap by tap, the oldest first."""
        wide = F.pad(weight.mT, (0, self.width - weight.shape[1]))
        return self._gates(wide.flatten(1))

    def _square(self, weight: Tensor) -> Tensor:
        """(residual, hidden, 1) -> (width, hidden) in whole groups."""
        return tall(F.pad(weight[..., 0], (0, self._idle)), self.width)


@compiled
def _loop(
    before: Any,
    current: Any,
    residual: Any,
    skips: Any,
    conv_skip: Any,
    conv_post: Any,
    residual_bias: Any,
    skips_bias: Any,
    skip_bias: Any,
    post_bias: Any,
    enter: Any,
    enter_bias: Any,
    mixed: Any,
    held: Any,
    shares: Any,
    kinds: Any,
    first: int,
    dilations: Any,
    rings: Any,
    past: Any,
    clock: Any,
    numbers: Any,
    how: int,
    outputs: int,
    log_scale_min: float,
    heard: Any,
    counter: Any,
    gated: Any,
    sums: Any,
    said: Any,
    forced: Any,
    kept: Any,
    rank: int,
    threads: int,
) -> None:
    """One thread's part of the samples of a window; arrays are float32 (see FastWaveNet)."""
    layers, width, skip, hop = dilations.shape[0], past.shape[1], sums.shape[1], shares.shape[1]
    hidden = gated.shape[0] // layers
    taps = (rings[1] - rings[0]) // dilations[0]
    blocks, groups, slices = hidden // 64, width // 64, skip // 64
    start, stop = blocks * rank // threads, blocks * (rank + 1) // threads
    top, bottom = slices * rank // threads, slices * (rank + 1) // threads
    mine = 128 * (stop - start)
    x = np.zeros(width, dtype=np.float32)
    tap = np.zeros(taps * width, dtype=np.float32)
    gates, from_x = (
        np.zeros(held.shape[1], dtype=np.float32),
        np.zeros(held.shape[1], dtype=np.float32),
    )
    added = np.zeros(layers * width, dtype=np.float32)
    given = np.zeros(held.shape[1], dtype=np.float32)
    logits = np.zeros(post_bias.shape[0], dtype=np.float32)
    words = np.zeros(2 * max(taps * width, width, layers * hidden, skip), dtype=np.uint8)
    half, third = float32(math.sqrt(0.5)), float32(math.sqrt(1.0 / layers))
    meetings = meet(counter, threads, 0)
    for t in range(said.shape[0]):
        now = clock[0] + t
        frame = t // hop
        share = shares[kinds[frame], t - frame * hop]
        for layer in range(layers):
            reach = rings[layer + 1] - rings[layer]
            for i in range(taps):
                slot = rings[layer] + (now - (taps - i) * dilations[layer]) % reach
                copy(past, slot * width, tap, i * width, width)
            first_group, last_group = 2 * (layer * blocks + start), 2 * (layer * blocks + stop)
            row = 64 * first_group
            scale = prepare(before, tap, taps * width, words)
            product(before, first_group, last_group, taps * width, tap, words, scale, gates)
            blend(mixed, held, share, first, frame, row, row + mine, given)
            add_scaled(given, row, 1.0, gates, row, mine)
        meetings = meet(counter, threads, meetings)
        if enter.shape[0] == 1:
            copy(enter_bias, 0, x, 0, width)
            add_scaled(enter, 0, heard[0], x, 0, width)
        else:
            copy(enter, int(heard[0]) * width, x, 0, width)
            add_scaled(enter_bias, 0, 1.0, x, 0, width)
        for layer in range(layers):
            first_group, last_group = 2 * (layer * blocks + start), 2 * (layer * blocks + stop)
            row = 64 * first_group
            scale = prepare(current, x, width, words)
            product(current, first_group, last_group, width, x, words, scale, from_x)
            add_scaled(from_x, row, 1.0, gates, row, mine)
            for block in range(start, stop):
                gate(gates, 128 * (layer * blocks + block), gated, layer * hidden + 64 * block)
            if rank == 0:
                slot = rings[layer] + now % (rings[layer + 1] - rings[layer])
                copy(x, 0, past, slot * width, width)
            meetings = meet(counter, threads, meetings)
            if layer == layers - 1:
                break
            y = gated[layer * hidden : (layer + 1) * hidden]
            scale = prepare(residual, y, hidden, words)
            product(residual, layer * groups, (layer + 1) * groups, hidden, y, words, scale, added)
            add_scaled(added, layer * width, 1.0, x, 0, width)
            add_and_scale(residual_bias, layer * width, half, x, 0, width, False)
        scale = prepare(skips, gated, layers * hidden, words)
        product(skips, top, bottom, layers * hidden, gated, words, scale, sums[0])
        count = 64 * (bottom - top)
        add_and_scale(skips_bias, 64 * top, third, sums[0], 64 * top, count, True)
        meetings = meet(counter, threads, meetings)
        scale = prepare(conv_skip, sums[0], skip, words)
        product(conv_skip, top, bottom, skip, sums[0], words, scale, sums[1])
        add_and_scale(skip_bias, 64 * top, 1.0, sums[1], 64 * top, count, True)
        meetings = meet(counter, threads, meetings)
        if rank == 0:
            product(conv_post, 0, logits.shape[0] // 64, skip, sums[1], words, scale, logits)
            add_scaled(post_bias, 0, 1.0, logits, 0, logits.shape[0])
            if kept.shape[0] > 0:
                copy(logits, 0, kept, t * logits.shape[0], logits.shape[0])
                heard[0] = forced[t]
            elif how == LOGISTICS:
                heard[0] = draw_logistics(logits, outputs, numbers[t], log_scale_min)
            elif how == GAUSSIAN:
                heard[0] = draw_gaussian(logits, numbers[t], log_scale_min)
            else:
                heard[0] = draw_label(logits, 0, outputs, numbers[t], 0, how)
            said[t] = heard[0]
