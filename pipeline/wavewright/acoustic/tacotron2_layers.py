"""The parts of Tacotron 2: encoder, prenet, decoder, postnet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavewright.acoustic.attention import AttentionLoop, LocationSensitiveAttention, Memory
from wavewright.acoustic.rnn import LoopLinear, lstm_cell


class NormedConvolution(nn.Module):
    """A convolution that keeps the length, and batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, gain: str) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm1d(outputs)
        spread(self.conv.weight, gain)

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """(B, inputs, length) -> (B, outputs, length); what `keep` (B, 1, length) lacks is 0."""
        if keep is not None:
            x = x * keep
        result: Tensor = self.norm(self.conv(x))
        return result


def spread(weight: Tensor, gain: str) -> None:
    """Glorot's initialisation for what follows the layer (relu, tanh, sigmoid or linear)."""
    nn.init.xavier_uniform_(weight, gain=nn.init.calculate_gain(gain))  # type: ignore[arg-type]


class Encoder(nn.Module):
    """Convolutions over the symbols' embeddings, then an LSTM in both directions."""

    def __init__(self, width: int, convolutions: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.convolutions = nn.ModuleList(
            NormedConvolution(width, width, kernel, "relu") for _ in range(convolutions)
        )
        self.lstm = nn.LSTM(width, width // 2, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, lengths: Tensor, keep: Tensor | None) -> Tensor:
        """Embedded text (B, width, symbols) -> (B, symbols, width), zero beyond `lengths` (B,)."""
        for layer in self.convolutions:
            x = F.dropout(torch.relu(layer(x, keep)), self.dropout, self.training)
        packed = nn.utils.rnn.pack_padded_sequence(
            x.transpose(1, 2), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        unpacked = nn.utils.rnn.pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=x.shape[2]
        )
        return unpacked[0]


class Prenet(nn.Module):
    """Two narrow layers whose dropout never rests, so that the decoder must look at the text."""

    def __init__(self, inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout, self.width = dropout, width
        self.layers = nn.ModuleList(nn.Linear(size, width, bias=False) for size in (inputs, width))
        for layer in self.layers:
            nn.init.xavier_uniform_(layer.weight)  # type: ignore[arg-type]

    def forward(self, frames: Tensor, masks: Tensor | None) -> Tensor:
        """(..., inputs) -> (..., width).

        Args:
            frames: what was spoken last.
            masks: (..., layers, width), True where a unit lives; None draws them from torch's
                global generator, in eval mode as well.
        """
        for index, layer in enumerate(self.layers):
            frames = torch.relu(layer(frames))
            if masks is None:
                frames = F.dropout(frames, self.dropout, training=True)
            else:
                frames = frames * masks[..., index, :] / (1 - self.dropout)
        return frames

    def draw_masks(self, seeds: Sequence[int], steps: Sequence[int]) -> Tensor:
        """Dropout masks (max steps, B, layers, width), each item's from its own seed."""
        shape = len(self.layers), self.width
        masks = torch.zeros(max(steps), len(seeds), *shape, dtype=torch.bool)
        for item, (seed, count) in enumerate(zip(seeds, steps, strict=True)):
            generator = torch.Generator().manual_seed(seed)
            chance = torch.rand(count, *shape, generator=generator)
            masks[:count, item] = chance >= self.dropout
        return masks.to(next(self.parameters()).device)


class AttentionState(NamedTuple):
    """What the attention LSTM and the attention carry from step to step; all (B, ...)."""

    hidden: Tensor
    cell: Tensor
    context: Tensor
    weights: Tensor
    total: Tensor


class Spoken(NamedTuple):
    """What the decoder makes of a batch.

    Attributes:
        mel: (B, n_mels, steps * frames_per_step), before the postnet.
        gate: (B, steps) logits of "this is the end".
        alignment: (B, steps, symbols).
    """

    mel: Tensor
    gate: Tensor
    alignment: Tensor


class Decoder(nn.Module):
    """Prenet, attention LSTM, attention and decoder LSTM; then one map to frames and gate.

    Nothing of the decoder LSTM is read by the attention, only by the output. So, when the frames
    are known, attention runs over all steps first, the decoder LSTM second, and everything else
    is computed for all steps at once.
    """

    def __init__(
        self,
        n_mels: int,
        frames_per_step: int,
        *,
        memory_width: int,
        prenet: Prenet,
        prenet_width: int,
        attention: LocationSensitiveAttention,
        attention_rnn_width: int,
        attention_rnn_dropout: float,
        decoder_rnn_width: int,
        decoder_rnn_dropout: float,
    ) -> None:
        super().__init__()
        self.n_mels, self.frames_per_step = n_mels, frames_per_step
        self.prenet = prenet
        self.prenet_width = prenet_width
        self.attention_rnn = nn.LSTMCell(prenet_width + memory_width, attention_rnn_width)
        self.attention_layer = attention
        self.decoder_rnn = nn.LSTMCell(attention_rnn_width + memory_width, decoder_rnn_width)
        width = decoder_rnn_width + memory_width
        self.linear_projection = nn.Linear(width, n_mels * frames_per_step)
        self.gate_layer = nn.Linear(width, 1)
        self.attention_rnn_dropout = attention_rnn_dropout
        self.decoder_rnn_dropout = decoder_rnn_dropout
        spread(self.linear_projection.weight, "linear")
        spread(self.gate_layer.weight, "sigmoid")

    def forward(self, memory: Memory, frames: Tensor, masks: Tensor | None) -> Spoken:
        """Follow known frames.

        Args:
            memory: encoded texts.
            frames: (steps, B, n_mels), the frame before each step.
            masks: of the prenet, (steps, B, layers, width), or None.
        """
        hidden, context, weights = self._attend(memory, self._first_gates(frames, masks))
        heard = torch.cat([hidden, context], dim=2)
        gates = F.linear(heard, self.decoder_rnn.weight_ih, _bias(self.decoder_rnn))
        output = self._decode(gates)
        return self._spoken(torch.cat([output, context], dim=2), weights)

    def _first_gates(self, frames: Tensor, masks: Tensor | None) -> Tensor:
        """What the prenet adds to the gates of the attention LSTM: (..., 4 * width)."""
        weight = self.attention_rnn.weight_ih[:, : self.prenet_width]
        return F.linear(self.prenet(frames, masks), weight, _bias(self.attention_rnn))

    def _recurrent(self) -> LoopLinear:
        """The attention LSTM's map of context and hidden state, for one loop."""
        cell = self.attention_rnn
        return LoopLinear(torch.cat([cell.weight_ih[:, self.prenet_width :], cell.weight_hh], 1))

    def _attend(self, memory: Memory, gates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden states, contexts and weights of all steps, each (steps, B, ...)."""
        loop, recurrent = self.attention_layer.over(memory), self._recurrent()
        state = self._start(memory)
        states = []
        drops = self._drops(gates, self.attention_rnn_dropout)
        for step, drop in zip(gates.unbind(0), drops, strict=True):
            state = _attention_step(loop, recurrent, state, step, drop)
            states.append((state.hidden, state.context, state.weights))
        hidden, context, weights = (torch.stack(parts) for parts in zip(*states, strict=True))
        return hidden, context, weights

    def _decode(self, gates: Tensor) -> Tensor:
        """Hidden states (steps, B, width) of the decoder LSTM, given all inputs' gates."""
        recurrent = LoopLinear(self.decoder_rnn.weight_hh)
        hidden = cell = gates.new_zeros(gates.shape[1], self.decoder_rnn.hidden_size)
        states = []
        drops = self._drops(gates, self.decoder_rnn_dropout)
        for step, drop in zip(gates.unbind(0), drops, strict=True):
            hidden, cell = lstm_cell(step + recurrent(hidden), cell)
            hidden = hidden if drop is None else hidden * drop
            states.append(hidden)
        return torch.stack(states)

    def _drops(self, gates: Tensor, dropout: float) -> Sequence[Tensor | None]:
        """Per step, factors (B, width) for a hidden state, drawn all at once."""
        steps, batch, width = gates.shape
        if not self.training or dropout == 0:
            return [None] * steps
        return F.dropout(gates.new_ones(steps, batch, width // 4), dropout).unbind(0)

    def _start(self, memory: Memory) -> AttentionState:
        batch, symbols, width = memory.values.shape
        zero = memory.values.new_zeros
        return AttentionState(
            hidden=zero(batch, self.attention_rnn.hidden_size),
            cell=zero(batch, self.attention_rnn.hidden_size),
            context=zero(batch, width),
            weights=zero(batch, symbols),
            total=zero(batch, symbols),
        )

    def _spoken(self, output: Tensor, weights: Tensor) -> Spoken:
        """(steps, B, ...) -> frames, gates and alignments."""
        steps, batch, _ = output.shape
        frames = self.linear_projection(output).view(steps, batch, -1, self.n_mels)
        mel = frames.permute(1, 3, 0, 2).reshape(batch, self.n_mels, -1)
        return Spoken(mel, self.gate_layer(output).squeeze(2).t(), weights.transpose(0, 1))

    def generate(
        self, memory: Memory, masks: Tensor, limits: Tensor, threshold: float
    ) -> tuple[Spoken, Tensor]:
        """Hear only oneself.

        Args:
            memory: encoded texts.
            masks: of the prenet, (max limit, B, layers, width).
            limits: (B,) most steps of each text.
            threshold: probability of the gate above which a text ends.

        Returns:
            What was spoken until the last text ended, and the steps (B,) of each.
        """
        loop, recurrent = self.attention_layer.over(memory), self._recurrent()
        state = self._start(memory)
        hidden = cell = state.hidden.new_zeros(len(limits), self.decoder_rnn.hidden_size)
        frame = hidden.new_zeros(len(limits), self.n_mels)
        steps, outputs, weights = limits.clone(), [], []
        for index, mask in enumerate(masks.unbind(0)):
            state = _attention_step(loop, recurrent, state, self._first_gates(frame, mask), None)
            heard = torch.cat([state.hidden, state.context], dim=1)
            hidden, cell = self.decoder_rnn(heard, (hidden, cell))
            output = torch.cat([hidden, state.context], dim=1)
            outputs.append(output)
            weights.append(state.weights)
            frame = self.linear_projection(output)[:, -self.n_mels :]
            ended = torch.sigmoid(self.gate_layer(output).squeeze(1)) > threshold
            steps = torch.where(ended & (steps > index + 1), index + 1, steps)
            if bool((steps <= index + 1).all()):
                break
        return self._spoken(torch.stack(outputs), torch.stack(weights)), steps


def _attention_step(
    loop: AttentionLoop,
    recurrent: LoopLinear,
    state: AttentionState,
    gates: Tensor,
    drop: Tensor | None,
) -> AttentionState:
    """One step of attention LSTM and attention; `gates` is the prenet's part, (B, 4 * width)."""
    carried = torch.cat([state.context, state.hidden], dim=1)
    hidden, cell = lstm_cell(gates + recurrent(carried), state.cell)
    hidden = hidden if drop is None else hidden * drop
    context, weights = loop.attend(hidden, state.weights, state.total)
    return AttentionState(hidden, cell, context, weights, state.total + weights)


def _bias(cell: nn.LSTMCell) -> Tensor:
    return cell.bias_ih + cell.bias_hh


class Postnet(nn.Module):
    """Convolutions over all frames that add what the decoder left out."""

    def __init__(
        self, n_mels: int, width: int, convolutions: int, kernel: int, dropout: float
    ) -> None:
        super().__init__()
        self.dropout = dropout
        sizes = [n_mels, *[width] * (convolutions - 1), n_mels]
        gains = ["tanh"] * (convolutions - 1) + ["linear"]
        self.convolutions = nn.ModuleList(
            NormedConvolution(inputs, outputs, kernel, gain)
            for inputs, outputs, gain in zip(sizes[:-1], sizes[1:], gains, strict=True)
        )

    def forward(self, mel: Tensor, keep: Tensor | None) -> Tensor:
        """The residual of a mel, (B, n_mels, frames) -> the same shape."""
        x = mel
        for index, layer in enumerate(self.convolutions):
            x = layer(x, keep)
            if index < len(self.convolutions) - 1:
                x = torch.tanh(x)
            x = F.dropout(x, self.dropout, self.training)
        return x
