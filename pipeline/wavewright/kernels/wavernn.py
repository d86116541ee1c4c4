"""fatchord's WaveRNN as a compiled loop.

The input layer is linear, and so is everything up to the first nonlinearity. The products of the
mel features with the matrices of the GRUs and of the head are therefore computed once a frame, and
those of the sample are a vector times a number. A quarter of all products leaves the loop.

Threads share the units and meet at five barriers per sample: after the sample, after each GRU's
new state, and after both hidden layers of the head. While the first thread draws, the others
already multiply the old states.
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

from wavewright.kernels.compile import compile_loop, run_on_threads
from wavewright.kernels.conditioning import interpolate_conditioning, mel_conditioning
from wavewright.kernels.loop import EMPTY, Engine, LoopWindow
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
    packed_bytes,
    pad_columns,
    pad_rows,
    round_up,
)
from wavewright.kernels.sampling import (
    LOGISTICS,
    distribution_code,
    draw_label,
    draw_logistics,
    prepare_uniforms,
)
from wavewright.kernels.sizes import TwoGRUSizes
from wavewright.nn.quantization import label_value, mu_law_decode
from wavewright.nn.upsample_network import Stretch


class CompiledTwoGRUs:
    """Loop for one utterance, starting from silence.

    Args:
        config: WaveRNN's configuration.
        state: state dict of the network with two GRUs.
        read_mel: the network's residual network over mel frames.
        stretch: the network's upsampling module.
        engine: precision and threads.
    """

    def __init__(
        self,
        config: TwoGRUSizes,
        state: Mapping[str, Tensor],
        read_mel: Callable[[Tensor], Tensor],
        stretch: Stretch,
        engine: Engine,
    ) -> None:
        self.config, self.read_mel, self.stretch = config, read_mel, stretch
        self.precision = engine.precision
        self.units = round_up(config.units, GROUP)
        self.head = round_up(config.head_channels, GROUP)
        self.threads = min(engine.loop_threads, self.units // GROUP, self.head // GROUP)
        pack_ = partial(pack, precision=engine.precision)
        state = {key: value.detach() for key, value in state.items()}
        units, head = config.units, config.head_channels
        recurrent1 = self._interleave_gates(state["rnn1.weight_hh_l0"])
        recurrent2 = self._interleave_gates(state["rnn2.weight_hh_l0"])
        inputs2 = self._interleave_gates(state["rnn2.weight_ih_l0"][:, :units])
        self.matrices: tuple[PackedMatrix, ...] = (
            pack_(pad_columns(recurrent1, self.units)),
            pack_(pad_columns(recurrent2, self.units)),
            pack_(pad_columns(inputs2, self.units)),
            pack_(pad_columns(state["fc1.weight"][:, :units], self.units)),
            pack_(pad_columns(state["fc2.weight"][:, :head], self.head)),
            pack(pad_columns(state["fc3.weight"], self.head), "float32"),
        )
        out_bias, self.out_channels = state["fc3.bias"], config.out_channels
        padded_bias = pad_rows(out_bias[:, None], round_up(self.out_channels, GROUP))
        self.out_bias = padded_bias[:, 0].numpy()
        weight, bands = self._input_weight(state), config.mel.n_mels
        self.sample_weight = np.ascontiguousarray(weight[:, 0].numpy())
        self.smooth_weight, self.read_weight = weight[:, 1 : 1 + bands], weight[:, 1 + bands :]
        new_biases = [
            pad_rows(state[f"{rnn}.bias_hh_l0"][2 * units :, None], self.units)
            for rnn in ("rnn1", "rnn2")
        ]
        self.new_bias = torch.cat(new_biases, dim=1).mT.contiguous().numpy()
        self.states = np.zeros((2, self.units), dtype=np.float32)
        self.last_sample = np.zeros(1, dtype=np.float32)

    @property
    def weight_bytes(self) -> int:
        """Bytes of packed weights that are read for every sample."""
        return packed_bytes(*self.matrices)

    def from_silence(self, speaker_embedding: Tensor | None = None) -> CompiledTwoGRUs:
        """Copy of this loop with shared weights and the state of silence."""
        assert speaker_embedding is None
        other = shallow_copy(self)
        other.states = np.zeros_like(self.states)
        other.last_sample = np.zeros_like(self.last_sample)
        return other

    def __call__(self, window: LoopWindow, uniforms: Tensor) -> Tensor:
        config = self.config
        code = distribution_code(config.distribution, uniforms.shape[2])
        noise = prepare_uniforms(uniforms[0], code)
        wav = torch.from_numpy(self._run(window, noise, code))[None]
        if config.distribution == "categorical":
            wav = mu_law_decode((wav + 1) / 2 * (config.classes - 1), config.classes)
        return wav

    def teacher_forced_logits(self, window: LoopWindow, targets: Tensor) -> Tensor:
        """Predict each of (1, T) labels or samples from those before it: (1, out_channels, T)."""
        logits = np.zeros((targets.shape[1], len(self.out_bias)), dtype=np.float32)
        samples = targets[0]
        if self.config.distribution == "categorical":
            samples = label_value(samples, self.config.classes)
        noise = np.zeros((len(samples), 1), dtype=np.float32)
        self._run(window, noise, LOGISTICS, samples.float().numpy(), logits)
        return torch.from_numpy(logits[:, : self.out_channels]).mT[None]

    def _run(
        self,
        window: LoopWindow,
        noise: np.ndarray,
        code: int,
        targets: np.ndarray = EMPTY[:, 0],
        logits: np.ndarray = EMPTY,
    ) -> np.ndarray:
        """Generate a window; with `targets`, feed those back instead and fill `logits`."""
        assert window.mel is not None
        config = self.config
        mel = window.mel[0].float()
        read = self.read_mel(mel[None])[0, :, window.before :][:, : window.frames]
        ones = torch.ones(1, read.shape[1])
        mel_rows = 6 * self.units + self.head  # the head's second layer has no mel input
        conditioning = mel_conditioning(
            self.stretch,
            mel.mT @ self.smooth_weight[:mel_rows].mT,
            torch.cat([read, ones]).mT @ self.read_weight.mT,
            config.context_frames + window.before,
            window.frames,
        )
        samples = np.zeros(len(noise), dtype=np.float32)
        shared = (
            np.zeros(1, dtype=np.int64),
            np.zeros(self.units, dtype=np.float32),
            np.zeros((2, self.head), dtype=np.float32),
        )
        choices = config.classes if config.distribution == "categorical" else config.mixtures

        def loop(rank: int) -> None:
            _loop(
                *self.matrices,
                self.out_bias,
                self.sample_weight,
                self.new_bias,
                *conditioning,
                noise,
                code,
                choices,
                config.log_scale_min,
                self.states,
                self.last_sample,
                *shared,
                samples,
                targets,
                logits,
                rank,
                self.threads,
            )

        run_on_threads(loop, self.threads)
        return samples

    def _input_weight(self, state: Mapping[str, Tensor]) -> Tensor:
        """Combined linear map from all inputs to the gates and the head's hidden layers.

        Returns:
            (rows, columns) float32. Rows: the gates of both GRUs, the head's first and second
            hidden layer. Columns: the sample, the smoothed mel, the features read from the mel,
            and 1 for the biases.
        """
        config, units, part = self.config, self.config.units, self.config.reader_out // 4
        first = 1 + config.mel.n_mels
        columns = first + 4 * part + 1
        enter = torch.zeros(units, columns, dtype=torch.float64)
        enter[:, : first + part] = state["enter.weight"]
        enter[:, -1] = state["enter.bias"]
        hidden1, hidden2 = (state[f"{rnn}.bias_hh_l0"].clone() for rnn in ("rnn1", "rnn2"))
        for hidden in (hidden1, hidden2):
            hidden[2 * units :] = 0  # multiplied by the reset gate, so the loop adds it
        layers = [
            (state["rnn1.weight_ih_l0"], 0, state["rnn1.bias_ih_l0"] + hidden1),
            (state["rnn2.weight_ih_l0"], 1, state["rnn2.bias_ih_l0"] + hidden2),
            (state["fc1.weight"], 2, state["fc1.bias"]),
        ]
        rows = []
        for weight, index, bias in layers:
            row = weight[:, :units].double() @ enter
            read = slice(first + index * part, first + (index + 1) * part)
            if index:  # the first GRU gets its part of the features through the input layer
                row[:, read] += weight[:, units:]
            row[:, -1] += bias
            rows.append(row)
        last = torch.zeros(config.head_channels, columns, dtype=torch.float64)
        last[:, first + 3 * part : -1] = state["fc2.weight"][:, config.head_channels :]
        last[:, -1] = state["fc2.bias"]
        gates = [self._interleave_gates(row) for row in rows[:2]]
        heads = [pad_rows(row, self.head) for row in (rows[2], last)]
        return torch.cat([*gates, *heads]).float().contiguous()

    def _interleave_gates(self, rows: Tensor) -> Tensor:
        """Reorder a GRU's rows: 64 units' update gates, reset gates and new values in turn."""
        # torch has the reset gate first
        gates = rows.reshape(3, self.config.units, -1)[[1, 0, 2]]
        gates = F.pad(gates, (0, 0, 0, self.units - self.config.units))
        blocks = gates.reshape(3, self.units // GROUP, GROUP, -1)
        return blocks.transpose(0, 1).flatten(0, 2)


@compile_loop
def _loop(
    recurrent1_weight: Any,
    recurrent2_weight: Any,
    input2_weight: Any,
    fc1: Any,
    fc2: Any,
    fc3: Any,
    out_bias: Any,
    sample_weight: Any,
    new_bias: Any,
    interpolated: Any,
    per_frame: Any,
    weights: Any,
    kinds: Any,
    first: int,
    noise: Any,
    code: int,
    choices: int,
    log_scale_min: float,
    states: Any,
    last_sample: Any,
    counter: Any,
    sums: Any,
    layers: Any,
    samples: Any,
    targets: Any,
    logits_out: Any,
    rank: int,
    threads: int,
) -> None:
    """Run one thread's share of a window; arrays are float32 (see CompiledTwoGRUs)."""
    units, head, hop = states.shape[1], layers.shape[1], weights.shape[1]
    start, stop = units // 64 * rank // threads, units // 64 * (rank + 1) // threads
    head_start, head_stop = head // 64 * rank // threads, head // 64 * (rank + 1) // threads
    state1, state2, layer1, layer2 = states[0], states[1], layers[0], layers[1]
    inputs = np.zeros(sample_weight.shape[0], dtype=np.float32)
    products1, products2, input_products = (
        np.zeros(3 * units, dtype=np.float32),
        np.zeros(3 * units, dtype=np.float32),
        np.zeros(3 * units, dtype=np.float32),
    )
    logits = np.zeros(out_bias.shape[0], dtype=np.float32)
    quantized1, quantized2, quantized = (
        np.zeros(2 * units, dtype=np.uint8),
        np.zeros(2 * units, dtype=np.uint8),
        np.zeros(2 * max(units, head), dtype=np.uint8),
    )
    scale1 = prepare(recurrent1_weight, state1, units, quantized1)
    scale2 = prepare(recurrent2_weight, state2, units, quantized2)
    barriers = barrier(counter, threads, 0)
    for t in range(samples.shape[0]):
        frame = t // hop
        sample_weights = weights[kinds[frame], t - frame * hop]
        product(
            recurrent1_weight, 3 * start, 3 * stop, units, state1, quantized1, scale1, products1
        )
        product(
            recurrent2_weight, 3 * start, 3 * stop, units, state2, quantized2, scale2, products2
        )
        for offset, low, high in (
            (0, 192 * start, 192 * stop),
            (3 * units, 192 * start, 192 * stop),
            (6 * units, 64 * head_start, 64 * head_stop),
        ):
            interpolate_conditioning(
                interpolated,
                per_frame,
                sample_weights,
                first,
                frame,
                offset + low,
                offset + high,
                inputs,
            )
        barriers = barrier(counter, threads, barriers)
        x = last_sample[0]
        for row in (192 * start, 3 * units + 192 * start):
            add_scaled(sample_weight, row, x, inputs, row, 192 * (stop - start))
        for block in range(start, stop):
            row = 192 * block
            gru(inputs, row, products1, row, new_bias[0], state1, state1, 64 * block)
        barriers = barrier(counter, threads, barriers)
        scale1 = prepare(recurrent1_weight, state1, units, quantized1)
        product(
            input2_weight, 3 * start, 3 * stop, units, state1, quantized1, scale1, input_products
        )
        offset = 3 * units
        add_scaled(
            input_products, 192 * start, 1.0, inputs, offset + 192 * start, 192 * (stop - start)
        )
        for block in range(start, stop):
            row = 192 * block
            gru(inputs, offset + row, products2, row, new_bias[1], state2, state2, 64 * block)
        copy(state1, 64 * start, sums, 64 * start, 64 * (stop - start))
        add_scaled(state2, 64 * start, 1.0, sums, 64 * start, 64 * (stop - start))
        barriers = barrier(counter, threads, barriers)
        scale2 = prepare(recurrent2_weight, state2, units, quantized2)
        scale = prepare(fc1, sums, units, quantized)
        product(fc1, head_start, head_stop, units, sums, quantized, scale, layer1)
        row, count = 6 * units + 64 * head_start, 64 * (head_stop - head_start)
        add_scaled(sample_weight, row, x, inputs, row, count)
        add_and_scale(inputs, row, 1.0, layer1, 64 * head_start, count, True)
        barriers = barrier(counter, threads, barriers)
        scale = prepare(fc2, layer1, head, quantized)
        product(fc2, head_start, head_stop, head, layer1, quantized, scale, layer2)
        row = frame * per_frame.shape[1] + 6 * units + head + 64 * head_start
        add_and_scale(per_frame, row, 1.0, layer2, 64 * head_start, count, True)
        barriers = barrier(counter, threads, barriers)
        if rank == 0:
            product(fc3, 0, logits.shape[0] // 64, head, layer2, quantized, scale, logits)
            add_scaled(out_bias, 0, 1.0, logits, 0, logits.shape[0])
            if logits_out.shape[0] > 0:
                copy(logits, 0, logits_out, t * logits.shape[0], logits.shape[0])
                x = targets[t]
            elif code == LOGISTICS:
                x = draw_logistics(logits, choices, noise[t], log_scale_min)
            else:
                label = draw_label(logits, 0, choices, noise[t], 0, code)
                x = float32(2.0) * float32(label) / float32(choices - 1) - float32(1.0)
            last_sample[0] = x
            samples[t] = x
