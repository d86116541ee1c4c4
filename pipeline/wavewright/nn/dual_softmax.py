"""WaveRNN's cell with two softmaxes: one half of the state per byte of a 16-bit sample.

Source: Kalchbrenner et al. 2018, arXiv:1802.08435, section 2.2. The paper conditions on linguistic
features; here mels may be read instead, by fatchord's residual network, and every frame's features
are added to the gates for as long as the frame lasts.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavewright.nn.likelihood import draw_categorical
from wavewright.nn.mel_resnet import MelResidualNetwork
from wavewright.nn.pruning import PrunedLinear
from wavewright.nn.quantization import HALF, label_value

#: Coarse and fine byte of 0; starting at (0, 0) would be a click of -32768.
SILENT_BYTES = (HALF // 2, 0)


class DualSoftmax(nn.Module):
    """GRU cell whose coarse and fine halves share one recurrent matrix.

    It differs from a GRU only in its masked input: all units read both bytes of the last sample,
    and the fine half also reads the coarse byte of the current one.

    Args:
        units: state size, both halves.
        block: rows and columns of a pruned block; None for dense layers.
        build_reader: builds the network that reads mels; None if unconditional.
        reader_channels: output channels of that network.
        hop_length: samples of a frame.
    """

    def __init__(
        self,
        units: int,
        block: tuple[int, int] | None,
        build_reader: Callable[[], MelResidualNetwork] | None,
        reader_channels: int,
        hop_length: int,
    ) -> None:
        super().__init__()
        half = units // 2
        self.units, self.half_units, self.hop_length = units, half, hop_length

        def linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
            if block is not None:
                return PrunedLinear(inputs, outputs, block, bias=bias)
            return nn.Linear(inputs, outputs, bias=bias)

        self.recurrent = linear(units, 3 * units, bias=False)
        self.bias_u, self.bias_r, self.bias_e = (nn.Parameter(torch.zeros(units)) for _ in range(3))
        self.input_coarse = nn.Linear(2, 3 * half, bias=False)
        self.input_fine = nn.Linear(3, 3 * half, bias=False)
        self.coarse1, self.coarse2 = linear(half, half), linear(half, HALF)
        self.fine1, self.fine2 = linear(half, half), linear(half, HALF)
        if build_reader is not None:
            self.reader = build_reader()
            self.condition = nn.Linear(reader_channels, 3 * units, bias=False)

    def features(self, mel: Tensor) -> Tensor:
        """(B, n_mels, context + frames + context) -> (B, frames, 3 * units), added to the gates."""
        features: Tensor = self.condition(self.reader(mel).mT)
        return features

    def forward(self, coarse: Tensor, fine: Tensor, mel: Tensor | None) -> tuple[Tensor, Tensor]:
        """Predict each sample but the first from the true samples before it.

        Args:
            coarse: (B, T + 1) bytes, starting with the sample before the first predicted one.
            fine: (B, T + 1) bytes.
            mel: (B, n_mels, context + frames + context) of the last T samples.

        Returns:
            logits (B, 256, T) of the coarse and of the fine bytes.
        """
        return self.heads(self.states(coarse, fine, mel))

    def states(self, coarse: Tensor, fine: Tensor, mel: Tensor | None) -> Tensor:
        """(B, T, units) after each sample but the first; arguments as in `forward`."""
        inputs = [coarse[:, :-1], fine[:, :-1], coarse[:, 1:]]
        x = torch.stack([label_value(byte, HALF) for byte in inputs], dim=-1)
        weight = self.input_weight()
        if mel is not None:
            read = self.reader(mel).mT.repeat_interleave(self.hop_length, dim=1)
            x = torch.cat([x, read[:, : x.shape[1]]], dim=-1)
            weight = torch.cat([weight, self.condition.weight], dim=1)
        return self._gru(x, weight)

    def input_weight(self) -> Tensor:
        """(3 * units, 3): gates u, r, e in turn; the third column is zero for their coarse half."""
        coarse = F.pad(self.input_coarse.weight, (0, 1)).reshape(3, self.half_units, 3)
        fine = self.input_fine.weight.reshape(3, self.half_units, 3)
        return torch.cat([coarse, fine], dim=1).flatten(0, 1)

    def recurrent_weight(self) -> Tensor:
        """(3 * units, units), zero where pruned."""
        layer = self.recurrent
        return layer.kept if isinstance(layer, PrunedLinear) else layer.weight

    def _gru(self, x: Tensor, input_weight: Tensor) -> Tensor:
        """Run torch's GRU, which is the same cell with the gates in the order r, u, e."""

        def reorder(rows: Tensor) -> Tensor:
            u, r, e = rows.chunk(3)
            return torch.cat([r, u, e])

        bias = torch.cat([self.bias_r, self.bias_u, self.bias_e])
        weights = [
            reorder(input_weight),
            reorder(self.recurrent_weight()),
            bias,
            torch.zeros_like(bias),
        ]
        start = x.new_zeros(1, len(x), self.units)
        states: Tensor
        states, _ = torch._VF.gru(x, start, weights, True, 1, 0.0, False, False, True)
        return states

    def heads(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """States (B, T, units) -> logits (B, 256, T) of the coarse and of the fine bytes."""
        coarse, fine = state.chunk(2, dim=-1)
        coarse_logits = self.coarse2(F.relu(self.coarse1(coarse)))
        fine_logits = self.fine2(F.relu(self.fine1(fine)))
        return coarse_logits.mT, fine_logits.mT


class DualSoftmaxSampler:
    """State of a batch that is generated sample by sample: the coarse byte first, then the fine.

    Args:
        network: the cell.
        batch: number of items, all starting from silence.
    """

    def __init__(self, network: DualSoftmax, batch: int) -> None:
        self.network = network
        self.recurrent_weight = network.recurrent_weight()
        device = self.recurrent_weight.device
        self.state = torch.zeros(batch, network.units, device=device)
        self.coarse, self.fine = (
            torch.full((batch,), byte, device=device) for byte in SILENT_BYTES
        )

    def step(self, features: Tensor | float, uniforms: Tensor) -> None:
        """Draw the next sample into `coarse` and `fine`.

        Args:
            features: (B, 3 * units), added to the gates.
            uniforms: (B, n) uniform numbers, half of them for either byte.
        """
        network, half = self.network, self.network.half_units
        per_byte = uniforms.shape[1] // 2
        biases = torch.cat([network.bias_u, network.bias_r, network.bias_e])
        bytes_ = torch.stack([label_value(self.coarse, HALF), label_value(self.fine, HALF)], dim=1)
        weight = network.input_weight()
        inputs = bytes_ @ weight[:, :2].mT + biases + features
        recurrent = self.state @ self.recurrent_weight.mT
        coarse = self._half(inputs, recurrent, slice(None, half))
        logits = network.coarse2(F.relu(network.coarse1(coarse)))
        self.coarse = draw_categorical(logits, uniforms[:, :per_byte])
        inputs = inputs + label_value(self.coarse, HALF)[:, None] * weight[:, 2]
        fine = self._half(inputs, recurrent, slice(half, None))
        logits = network.fine2(F.relu(network.fine1(fine)))
        self.fine = draw_categorical(logits, uniforms[:, per_byte:])
        self.state = torch.cat([coarse, fine], dim=1)

    def _half(self, inputs: Tensor, recurrent: Tensor, part: slice) -> Tensor:
        """One half of the new state."""
        u_in, r_in, e_in = (gate[:, part] for gate in inputs.chunk(3, dim=1))
        u_past, r_past, e_past = (gate[:, part] for gate in recurrent.chunk(3, dim=1))
        update = torch.sigmoid(u_in + u_past)
        reset = torch.sigmoid(r_in + r_past)
        new = torch.tanh(e_in + reset * e_past)
        state: Tensor = update * self.state[:, part] + (1 - update) * new
        return state
