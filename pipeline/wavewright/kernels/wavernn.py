"""fatchord's WaveRNN as a compiled loop.

The sample enters by a linear layer, and everything until the first nonlinearity is linear in it.
So the products of what the mel says with the GRUs' and the head's matrices are made once a frame,
the sample's own are vectors times a number, and a quarter of all products leaves the loop.

Threads share out the units. Five times a sample they wait for each other: for the sample, for
either GRU's new state, and for both hidden layers of the head. While the first thread draws, the
others multiply the old states already.
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

from wavewright.kernels.compile import compiled, together
from wavewright.kernels.conditioning import blend, conditions
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
from wavewright.kernels.packing import GROUP, Packed, pack, padded, size_of, tall, wide
from wavewright.kernels.sampling import LOGISTICS, draw_label, draw_logistics, ready, way
from wavewright.nn.quantization import label_value, mu_law_decode

if TYPE_CHECKING:
    from wavewright.vocoders.wavernn import WaveRNN


class FastWaveRNN:
    """One utterance in the making.

    Args:
        vocoder: with network `fatchord`.
        engine: precision and threads.
    """

    def __init__(self, vocoder: WaveRNN, engine: Engine) -> None:
        self.config, self.precision = vocoder.config, engine.precision
        network: Any = vocoder.network
        self.network = network
        self.units = padded(self.config.units, GROUP)
        self.head = padded(self.config.head_channels, GROUP)
        self.threads = min(engine.loop_threads, self.units // GROUP, self.head // GROUP)
        pack_ = partial(pack, precision=engine.precision)
        units = self.config.units
        self.matrices: tuple[Packed, ...] = (
            pack_(wide(self._gates(network.rnn1.weight_hh_l0), self.units)),
            pack_(wide(self._gates(network.rnn2.weight_hh_l0), self.units)),
            pack_(wide(self._gates(network.rnn2.weight_ih_l0[:, :units]), self.units)),
            pack_(wide(network.fc1.weight[:, :units], self.units)),
            pack_(wide(network.fc2.weight[:, : self.config.head_channels], self.head)),
            pack(wide(network.fc3.weight, self.head), "float32"),
        )
        outputs = len(network.fc3.bias)
        self.out_bias = tall(network.fc3.bias[:, None], padded(outputs, GROUP))[:, 0].numpy()
        heard, bands = self._heard(), self.config.mel.n_mels
        self.by_sample = np.ascontiguousarray(heard[:, 0].numpy())
        self.by_smooth, self.by_read = heard[:, 1 : 1 + bands], heard[:, 1 + bands :]
        new = [tall(rnn.bias_hh_l0[2 * units :, None], self.units) for rnn in self._rnns()]
        self.new_bias = torch.cat(new, dim=1).mT.contiguous().numpy()
        self.states = np.zeros((2, self.units), dtype=np.float32)
        self.sample = np.zeros(1, dtype=np.float32)

    @property
    def weight_bytes(self) -> int:
        """Read for every sample."""
        return size_of(*self.matrices)

    def fresh(self) -> FastWaveRNN:
        """The same from silence."""
        other = copy_of(self)
        other.states, other.sample = np.zeros_like(self.states), np.zeros_like(self.sample)
        return other

    def __call__(self, window: Window, uniforms: Tensor) -> Tensor:
        config = self.config
        how = way(config.distribution, uniforms.shape[2])
        wav = torch.from_numpy(self._run(window, ready(uniforms[0], how), how))[None]
        if config.distribution == "categorical":
            wav = mu_law_decode((wav + 1) / 2 * (config.classes - 1), config.classes)
        return wav

    def listen(self, window: Window, said: Tensor) -> Tensor:
        """What each sample was expected to be, after the given ones before it."""
        kept = np.zeros((said.shape[1], len(self.out_bias)), dtype=np.float32)
        heard = said[0]
        if self.config.distribution == "categorical":
            heard = label_value(heard, self.config.classes)
        numbers = np.zeros((len(heard), 1), dtype=np.float32)
        self._run(window, numbers, LOGISTICS, heard.float().numpy(), kept)
        return torch.from_numpy(kept[:, : len(self.network.fc3.bias)]).mT[None]

    def _run(
        self,
        window: Window,
        numbers: np.ndarray,
        how: int,
        forced: np.ndarray = NOTHING[:, 0],
        kept: np.ndarray = NOTHING,
    ) -> np.ndarray:
        """What the loop says of a window, or, with `forced` samples, `kept` logits instead."""
        assert window.mel is not None
        config, context = self.config, self.config.context_frames
        mel = window.mel[0].float()
        read = self.network.reader(mel[None])[0, :, window.before :][:, : window.frames]
        ones = torch.ones(1, read.shape[1])
        mel_rows = 6 * self.units + self.head  # the head's second layer hears no mel
        given = conditions(
            self.network.stretch,
            mel.mT @ self.by_smooth[:mel_rows].mT,
            torch.cat([read, ones]).mT @ self.by_read.mT,
            context + window.before,
            window.frames,
        )
        said = np.zeros(len(numbers), dtype=np.float32)
        shared = (
            np.zeros(1, dtype=np.int64),
            np.zeros(self.units, dtype=np.float32),
            np.zeros((2, self.head), dtype=np.float32),
        )
        outputs = config.classes if config.distribution == "categorical" else config.mixtures

        def loop(rank: int) -> None:
            _loop(
                *self.matrices,
                self.out_bias,
                self.by_sample,
                self.new_bias,
                *given,
                numbers,
                how,
                outputs,
                config.log_scale_min,
                self.states,
                self.sample,
                *shared,
                said,
                forced,
                kept,
                rank,
                self.threads,
            )

        together(loop, self.threads)
        return said

    def _rnns(self) -> tuple[Any, Any]:
        return self.network.rnn1, self.network.rnn2

    def _heard(self) -> Tensor:
        """Every row's linear function of the sample, the smoothed mel, what was read of it, and 1.

        Rows: both GRUs' gates, the head's first and its second layer.
        """
        network, config, part = self.network, self.config, self.network.part
        rnn1, rnn2 = self._rnns()
        first = 1 + config.mel.n_mels
        columns = first + 4 * part + 1
        enter = torch.zeros(config.units, columns, dtype=torch.float64)
        enter[:, : first + part] = network.enter.weight
        enter[:, -1] = network.enter.bias
        hidden1, hidden2 = (rnn.bias_hh_l0.clone() for rnn in (rnn1, rnn2))
        for hidden in (hidden1, hidden2):
            hidden[2 * config.units :] = 0  # is multiplied by the reset gate
        layers = [
            (rnn1.weight_ih_l0, 0, rnn1.bias_ih_l0 + hidden1),
            (rnn2.weight_ih_l0, 1, rnn2.bias_ih_l0 + hidden2),
            (network.fc1.weight, 2, network.fc1.bias),
        ]
        rows = []
        for weight, place, bias in layers:
            row = weight[:, : config.units].double() @ enter
            read = slice(first + place * part, first + (place + 1) * part)
            if place:  # the first GRU hears what was read through the layer before it
                row[:, read] += weight[:, config.units :]
            row[:, -1] += bias
            rows.append(row)
        last = torch.zeros(config.head_channels, columns, dtype=torch.float64)
        last[:, first + 3 * part : -1] = network.fc2.weight[:, config.head_channels :]
        last[:, -1] = network.fc2.bias
        gates = [self._gates(row) for row in rows[:2]]
        heads = [tall(row, self.head) for row in (rows[2], last)]
        return torch.cat([*gates, *heads]).float().contiguous()

    def _gates(self, rows: Tensor) -> Tensor:
        """Rows of a GRU's gates, 64 units' update, reset and new ones in turn."""
        three = rows.detach().reshape(3, self.config.units, -1)[[1, 0, 2]]  # torch resets first
        three = F.pad(three, (0, 0, 0, self.units - self.config.units))
        blocks = three.reshape(3, self.units // GROUP, GROUP, -1)
        return blocks.transpose(0, 1).flatten(0, 2)


@compiled
def _loop(
    hidden1: Any,
    hidden2: Any,
    inputs2: Any,
    fc1: Any,
    fc2: Any,
    fc3: Any,
    out_bias: Any,
    by_sample: Any,
    new_bias: Any,
    mixed: Any,
    held: Any,
    shares: Any,
    kinds: Any,
    first: int,
    numbers: Any,
    how: int,
    outputs: int,
    log_scale_min: float,
    states: Any,
    sample: Any,
    counter: Any,
    sums: Any,
    layers: Any,
    said: Any,
    forced: Any,
    kept: Any,
    rank: int,
    threads: int,
) -> None:
    """One thread's part of the samples of a window; arrays are float32 (see FastWaveRNN)."""
    units, head, hop = states.shape[1], layers.shape[1], shares.shape[1]
    start, stop = units // 64 * rank // threads, units // 64 * (rank + 1) // threads
    top, bottom = head // 64 * rank // threads, head // 64 * (rank + 1) // threads
    state1, state2, layer1, layer2 = states[0], states[1], layers[0], layers[1]
    given = np.zeros(by_sample.shape[0], dtype=np.float32)
    recalled1, recalled2, inputs = (
        np.zeros(3 * units, dtype=np.float32),
        np.zeros(3 * units, dtype=np.float32),
        np.zeros(3 * units, dtype=np.float32),
    )
    logits = np.zeros(out_bias.shape[0], dtype=np.float32)
    words1, words2, words = (
        np.zeros(2 * units, dtype=np.uint8),
        np.zeros(2 * units, dtype=np.uint8),
        np.zeros(2 * max(units, head), dtype=np.uint8),
    )
    scale1 = prepare(hidden1, state1, units, words1)
    scale2 = prepare(hidden2, state2, units, words2)
    meetings = meet(counter, threads, 0)
    for t in range(said.shape[0]):
        frame = t // hop
        share = shares[kinds[frame], t - frame * hop]
        product(hidden1, 3 * start, 3 * stop, units, state1, words1, scale1, recalled1)
        product(hidden2, 3 * start, 3 * stop, units, state2, words2, scale2, recalled2)
        for at, low, high in (
            (0, 192 * start, 192 * stop),
            (3 * units, 192 * start, 192 * stop),
            (6 * units, 64 * top, 64 * bottom),
        ):
            blend(mixed, held, share, first, frame, at + low, at + high, given)
        meetings = meet(counter, threads, meetings)
        x = sample[0]
        for row in (192 * start, 3 * units + 192 * start):
            add_scaled(by_sample, row, x, given, row, 192 * (stop - start))
        for block in range(start, stop):
            row = 192 * block
            gru(given, row, recalled1, row, new_bias[0], state1, state1, 64 * block)
        meetings = meet(counter, threads, meetings)
        scale1 = prepare(hidden1, state1, units, words1)
        product(inputs2, 3 * start, 3 * stop, units, state1, words1, scale1, inputs)
        at = 3 * units
        add_scaled(inputs, 192 * start, 1.0, given, at + 192 * start, 192 * (stop - start))
        for block in range(start, stop):
            row = 192 * block
            gru(given, at + row, recalled2, row, new_bias[1], state2, state2, 64 * block)
        copy(state1, 64 * start, sums, 64 * start, 64 * (stop - start))
        add_scaled(state2, 64 * start, 1.0, sums, 64 * start, 64 * (stop - start))
        meetings = meet(counter, threads, meetings)
        scale2 = prepare(hidden2, state2, units, words2)
        scale = prepare(fc1, sums, units, words)
        product(fc1, top, bottom, units, sums, words, scale, layer1)
        row, count = 6 * units + 64 * top, 64 * (bottom - top)
        add_scaled(by_sample, row, x, given, row, count)
        add_and_scale(given, row, 1.0, layer1, 64 * top, count, True)
        meetings = meet(counter, threads, meetings)
        scale = prepare(fc2, layer1, head, words)
        product(fc2, top, bottom, head, layer1, words, scale, layer2)
        row = frame * held.shape[1] + 6 * units + head + 64 * top
        add_and_scale(held, row, 1.0, layer2, 64 * top, count, True)
        meetings = meet(counter, threads, meetings)
        if rank == 0:
            product(fc3, 0, logits.shape[0] // 64, head, layer2, words, scale, logits)
            add_scaled(out_bias, 0, 1.0, logits, 0, logits.shape[0])
            if kept.shape[0] > 0:
                copy(logits, 0, kept, t * logits.shape[0], logits.shape[0])
                x = forced[t]
            elif how == LOGISTICS:
                x = draw_logistics(logits, outputs, numbers[t], log_scale_min)
            else:
                label = draw_label(logits, 0, outputs, numbers[t], 0, how)
                x = float32(2.0) * float32(label) / float32(outputs - 1) - float32(1.0)
            sample[0] = x
            said[t] = x
