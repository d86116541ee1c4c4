"""Layers of Tacotron 2: encoder, prenet, decoder, postnet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavewright.acoustic.attention import AttentionLoop, LocationSensitiveAttention, Memory
from wavewright.acoustic.rnn import LoopLinear, lstm_cell


class ConvNorm(nn.Module):
    """Length-preserving convolution, then batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, gain: str) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm1d(outputs)
        init_xavier(self.conv.weight, gain)

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """(B, inputs, length) -> (B, outputs, length); `valid` (B, 1, length) masks the input."""
        if valid is not None:
            x = x * valid
        result: Tensor = self.norm(self.conv(x))
        return result


def init_xavier(weight: Tensor, gain: str) -> None:
    """Xavier-initialize a weight for the nonlinearity after it (relu, tanh, sigmoid, linear)."""
    nn.init.xavier_uniform_(weight, gain=nn.init.calculate_gain(gain))  # type: ignore[arg-type]


class Encoder(nn.Module):
    """Convolutions over symbol embeddings, then a bidirectional LSTM."""

    def __init__(self, width: int, convolutions: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.convolutions = nn.ModuleList(
            ConvNorm(width, width, kernel, "relu") for _ in range(convolutions)
        )
        self.lstm = nn.LSTM(width, width // 2, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, lengths: Tensor, valid: Tensor | None) -> Tensor:
        """Embedded text (B, width, symbols) -> (B, symbols, width), zero beyond `lengths` (B,)."""
        for layer in self.convolutions:
            x = F.dropout(torch.relu(layer(x, valid)), self.dropout, self.training)
        packed = nn.utils.rnn.pack_padded_sequence(
            x.transpose(1, 2), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        unpacked = nn.utils.rnn.pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=x.shape[2]
        )
        return unpacked[0]


class Prenet(nn.Module):
    """Two narrow layers with dropout in eval mode too, which forces the decoder to use the text."""

    def __init__(self, inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout, self.width = dropout, width
        self.layers = nn.ModuleList(nn.Linear(size, width, bias=False) for size in (inputs, width))
        for layer in self.layers:
            nn.init.xavier_uniform_(layer.weight)  # type: ignore[arg-type]

    def forward(self, frames: Tensor, masks: Tensor | None) -> Tensor:
        """(..., inputs) -> (..., width).

        Args:
            frames: last frames of the previous step.
            masks: (..., layers, width), True for units to keep; None draws them from torch's
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
        """Draw dropout masks (max steps, B, layers, width), each item's from its own seed."""
        shape = len(self.layers), self.width
        masks = torch.zeros(max(steps), len(seeds), *shape, dtype=torch.bool)
        for item, (seed, count) in enumerate(zip(seeds, steps, strict=True)):
            generator = torch.Generator().manual_seed(seed)
            chance = torch.rand(count, *shape, generator=generator)
            masks[:count, item] = chance >= self.dropout
        return masks.to(next(self.parameters()).device)


class AttentionState(NamedTuple):
    """Recurrent state of attention LSTM and attention; all (B, ...)."""

    hidden: Tensor
    cell: Tensor
    context: Tensor
    weights: Tensor
    total: Tensor


class DecoderOutput(NamedTuple):
    """Output of the decoder for a batch.

    Attributes:
        mel: (B, n_mels, steps * frames_per_step), before the postnet.
        gate: (B, steps) logits of the end of the utterance.
        alignment: (B, steps, symbols).
    """

    mel: Tensor
    gate: Tensor
    alignment: Tensor


class Decoder(nn.Module):
    """Prenet, attention LSTM, attention and decoder LSTM; then one map to frames and gate.

    The attention does not depend on the decoder LSTM. With teacher forcing, attention therefore
    runs over all steps first, the decoder LSTM second, and all other layers run on all steps at
    once.
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
        init_xavier(self.linear_projection.weight, "linear")
        init_xavier(self.gate_layer.weight, "sigmoid")

    def forward(self, memory: Memory, frames: Tensor, masks: Tensor | None) -> DecoderOutput:
        """Decode with teacher forcing.

        Args:
            memory: encoded texts.
            frames: (steps, B, n_mels), the frame before each step.
            masks: prenet masks, (steps, B, layers, width), or None.
        """
        hidden, context, weights = self._run_attention(memory, self._prenet_gates(frames, masks))
        inputs = torch.cat([hidden, context], dim=2)
        gates = F.linear(inputs, self.decoder_rnn.weight_ih, _bias(self.decoder_rnn))
        output = self._run_decoder_lstm(gates)
        return self._project(torch.cat([output, context], dim=2), weights)

    def _prenet_gates(self, frames: Tensor, masks: Tensor | None) -> Tensor:
        """Contribution of the prenet to the gates of the attention LSTM, (..., 4 * width)."""
        weight = self.attention_rnn.weight_ih[:, : self.prenet_width]
        return F.linear(self.prenet(frames, masks), weight, _bias(self.attention_rnn))

    def _recurrent(self) -> LoopLinear:
        """Attention LSTM's map of context and hidden state, for one loop."""
        cell = self.attention_rnn
        return LoopLinear(torch.cat([cell.weight_ih[:, self.prenet_width :], cell.weight_hh], 1))

    def _run_attention(self, memory: Memory, gates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the attention; return hidden states, contexts, weights, each (steps, B, ...)."""
        loop, recurrent = self.attention_layer.start(memory), self._recurrent()
        state = self._initial_state(memory)
        states = []
        drops = self._dropout_factors(gates, self.attention_rnn_dropout)
        for step, drop in zip(gates.unbind(0), drops, strict=True):
            state = _attention_step(loop, recurrent, state, step, drop)
            states.append((state.hidden, state.context, state.weights))
        hidden, context, weights = (torch.stack(parts) for parts in zip(*states, strict=True))
        return hidden, context, weights

    def _run_decoder_lstm(self, gates: Tensor) -> Tensor:
        """Run the decoder LSTM on its inputs' gates; return hidden states (steps, B, width)."""
        recurrent = LoopLinear(self.decoder_rnn.weight_hh)
        hidden = cell = gates.new_zeros(gates.shape[1], self.decoder_rnn.hidden_size)
        states = []
        drops = self._dropout_factors(gates, self.decoder_rnn_dropout)
        for step, drop in zip(gates.unbind(0), drops, strict=True):
            hidden, cell = lstm_cell(step + recurrent(hidden), cell)
            hidden = hidden if drop is None else hidden * drop
            states.append(hidden)
        return torch.stack(states)

    def _dropout_factors(self, gates: Tensor, dropout: float) -> Sequence[Tensor | None]:
        """Dropout factors (B, width) of the hidden state for each step, drawn at once."""
        steps, batch, width = gates.shape
        if not self.training or dropout == 0:
            return [None] * steps
        return F.dropout(gates.new_ones(steps, batch, width // 4), dropout).unbind(0)

    def _initial_state(self, memory: Memory) -> AttentionState:
        batch, symbols, width = memory.values.shape
        zero = memory.values.new_zeros
        return AttentionState(
            hidden=zero(batch, self.attention_rnn.hidden_size),
            cell=zero(batch, self.attention_rnn.hidden_size),
            context=zero(batch, width),
            weights=zero(batch, symbols),
            total=zero(batch, symbols),
        )

    def _project(self, output: Tensor, weights: Tensor) -> DecoderOutput:
        """Project LSTM output (steps, B, ...) to frames and gates."""
        steps, batch, _ = output.shape
        frames = self.linear_projection(output).view(steps, batch, -1, self.n_mels)
        mel = frames.permute(1, 3, 0, 2).reshape(batch, self.n_mels, -1)
        return DecoderOutput(mel, self.gate_layer(output).squeeze(2).t(), weights.transpose(0, 1))

    def generate(
        self, memory: Memory, masks: Tensor, limits: Tensor, threshold: float
    ) -> tuple[DecoderOutput, Tensor]:
        """Decode free-running, from the decoder's own frames.

        Args:
            memory: encoded texts.
            masks: prenet masks, (max limit, B, layers, width).
            limits: (B,) maximum of steps of each text.
            threshold: gate probability above which a text ends.

        Returns:
            Output until the last text ended, and the steps (B,) of each.
        """
        loop, recurrent = self.attention_layer.start(memory), self._recurrent()
        state = self._initial_state(memory)
        hidden = cell = state.hidden.new_zeros(len(limits), self.decoder_rnn.hidden_size)
        frame = hidden.new_zeros(len(limits), self.n_mels)
        steps, outputs, weights = limits.clone(), [], []
        for index, mask in enumerate(masks.unbind(0)):
            state = _attention_step(loop, recurrent, state, self._prenet_gates(frame, mask), None)
            inputs = torch.cat([state.hidden, state.context], dim=1)
            hidden, cell = self.decoder_rnn(inputs, (hidden, cell))
            output = torch.cat([hidden, state.context], dim=1)
            outputs.append(output)
            weights.append(state.weights)
            frame = self.linear_projection(output)[:, -self.n_mels :]
            ended = torch.sigmoid(self.gate_layer(output).squeeze(1)) > threshold
            steps = torch.where(ended & (steps > index + 1), index + 1, steps)
            if bool((steps <= index + 1).all()):
                break
        return self._project(torch.stack(outputs), torch.stack(weights)), steps


def _attention_step(
    loop: AttentionLoop,
    recurrent: LoopLinear,
    state: AttentionState,
    gates: Tensor,
    drop: Tensor | None,
) -> AttentionState:
    """Run one step of attention LSTM and attention; `gates` (B, 4 * width) is the prenet's."""
    carried = torch.cat([state.context, state.hidden], dim=1)
    hidden, cell = lstm_cell(gates + recurrent(carried), state.cell)
    hidden = hidden if drop is None else hidden * drop
    context, weights = loop.step(hidden, state.weights, state.total)
    return AttentionState(hidden, cell, context, weights, state.total + weights)


def _bias(cell: nn.LSTMCell) -> Tensor:
    return cell.bias_ih + cell.bias_hh


class Postnet(nn.Module):
    """Convolutions over all frames that predict the residual of the decoder's mel."""

    def __init__(
        self, n_mels: int, width: int, convolutions: int, kernel: int, dropout: float
    ) -> None:
        super().__init__()
        self.dropout = dropout
        sizes = [n_mels, *[width] * (convolutions - 1), n_mels]
        gains = ["tanh"] * (convolutions - 1) + ["linear"]
        self.convolutions = nn.ModuleList(
            ConvNorm(inputs, outputs, kernel, gain)
            for inputs, outputs, gain in zip(sizes[:-1], sizes[1:], gains, strict=True)
        )

    def forward(self, mel: Tensor, valid: Tensor | None) -> Tensor:
        """Residual of a mel, (B, n_mels, frames) -> same shape."""
        x = mel
        for index, layer in enumerate(self.convolutions):
            x = layer(x, valid)
            if index < len(self.convolutions) - 1:
                x = torch.tanh(x)
            x = F.dropout(x, self.dropout, self.training)
        return x
