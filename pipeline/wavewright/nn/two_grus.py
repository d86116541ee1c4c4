"""fatchord's WaveRNN network: two GRUs over samples, conditioned on mels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavewright.nn.mel_resnet import MelResidualNetwork
from wavewright.nn.upsample_network import Stretch


class TwoGRUs(nn.Module):
    """Residual GRUs and a head of three linear layers; each layer reads a part of the features.

    Args:
        n_mels: mel bands.
        units: units of each GRU.
        head_channels: channels of the head's hidden layers.
        out_channels: parameters of the output distribution.
        build_reader: builds the residual network that reads mels.
        reader_channels: output channels of that network, a multiple of 4.
        upsample_rates: rates of the mel upsampling; their product is the hop length.
        context_frames: frames on either side that the residual network reads.
    """

    def __init__(
        self,
        *,
        n_mels: int,
        units: int,
        head_channels: int,
        out_channels: int,
        build_reader: Callable[[], MelResidualNetwork],
        reader_channels: int,
        upsample_rates: Sequence[int],
        context_frames: int,
    ) -> None:
        super().__init__()
        part = reader_channels // 4
        self.context_frames = context_frames
        self.reader = build_reader()
        self.stretch = Stretch(upsample_rates)
        self.enter = nn.Linear(1 + n_mels + part, units)
        self.rnn1 = nn.GRU(units, units, batch_first=True)
        self.rnn2 = nn.GRU(units + part, units, batch_first=True)
        self.fc1 = nn.Linear(units + part, head_channels)
        self.fc2 = nn.Linear(head_channels + part, head_channels)
        self.fc3 = nn.Linear(head_channels, out_channels)

    def condition(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Conditioning inputs at the sample rate.

        Args:
            mel: (B, n_mels, context + frames + context).

        Returns:
            The smoothed mel (B, T, n_mels) and the features read from it (B, T, reader_channels);
            T = frames * hop_length.
        """
        smooth, context = self.stretch(mel), self.context_frames
        hop_length = smooth.shape[-1] // mel.shape[-1]
        read = self.reader(mel).repeat_interleave(hop_length, dim=-1)
        smooth = smooth[..., context * hop_length : (mel.shape[-1] - context) * hop_length]
        return smooth.mT, read.mT

    def forward(self, samples: Tensor, mel: Tensor) -> Tensor:
        """Predict the sample after each input sample.

        Args:
            samples: (B, T) in [-1, 1].
            mel: (B, n_mels, context + frames + context).

        Returns:
            (B, out_channels, T); column t describes sample t + 1.
        """
        smooth, read = (value[:, : samples.shape[1]] for value in self.condition(mel))
        logits, _ = self.run(samples, smooth, read, (None, None))
        return logits.mT

    def run(
        self,
        samples: Tensor,
        smooth: Tensor,
        read: Tensor,
        states: tuple[Tensor | None, Tensor | None],
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run T samples from the given states of the GRUs; None is zero.

        Args:
            samples: (B, T) in [-1, 1].
            smooth: (B, T, n_mels).
            read: (B, T, reader_channels).
            states: (1, B, units) each.

        Returns:
            (B, T, out_channels) and the new states.
        """
        first, second, third, fourth = read.chunk(4, dim=-1)
        x = self.enter(torch.cat([samples[..., None], smooth, first], dim=-1))
        out1, state1 = self.rnn1(x, states[0])
        x = x + out1
        out2, state2 = self.rnn2(torch.cat([x, second], dim=-1), states[1])
        x = x + out2
        x = F.relu(self.fc1(torch.cat([x, third], dim=-1)))
        x = F.relu(self.fc2(torch.cat([x, fourth], dim=-1)))
        return self.fc3(x), (state1, state2)
