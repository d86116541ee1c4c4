"""Multi-scale discriminator of HiFi-GAN (arXiv:2010.05646, section 2.3), after MelGAN's.

The same stack of grouped convolutions looks at the waveform as it is and averaged down two and
four times. The first is spectrally normalised, the others weight-normalised.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from wavewright.nn.discriminator import score
from wavewright.nn.weight_norm import add_weight_norm

# width, kernel, groups of each layer
_LAYERS = (
    (128, 15, 1),
    (128, 41, 4),
    (256, 41, 16),
    (512, 41, 16),
    (1024, 41, 16),
    (1024, 41, 16),
    (1024, 5, 1),
)
STRIDES = (2, 2, 4, 4, 1)  # of the five layers between the first and the last


class HiFiGANScaleDiscriminator(nn.Module):
    """One scale."""

    def __init__(
        self, *, spectral: bool, width_divisor: int = 1, strides: tuple[int, ...] = STRIDES
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList()
        before = 1
        for (width, kernel, groups), stride in zip(_LAYERS, (1, *strides, 1), strict=True):
            after = width // width_divisor
            self.convs.append(
                nn.Conv1d(before, after, kernel, stride, padding=kernel // 2, groups=groups)
            )
            before = after
        self.conv_post = nn.Conv1d(before, 1, 3, padding=1)
        if spectral:
            for conv in [*self.convs, self.conv_post]:
                parametrizations.spectral_norm(conv)
        else:
            add_weight_norm(self)

    def forward(self, wav: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, 1, samples) -> (B, n) scores and the features of all eight layers."""
        return score(wav, self.convs, self.conv_post)


class MultiScaleDiscriminator(nn.Module):
    """Scale discriminators over ever more averaged audio; published with three.

    Of Hayashi's, the first may be weight-normalised too, and strides differ.
    """

    def __init__(
        self,
        scales: int = 3,
        width_divisor: int = 1,
        strides: tuple[int, ...] = STRIDES,
        *,
        spectral_first: bool = True,
    ) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            HiFiGANScaleDiscriminator(
                spectral=spectral_first and i == 0, width_divisor=width_divisor, strides=strides
            )
            for i in range(scales)
        )

    def forward(self, wav: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
        """(B, samples) -> scores and features, one entry per scale."""
        scores, features = [], []
        x = wav[:, None]
        for i, discriminator in enumerate(self.discriminators):
            if i > 0:
                x = F.avg_pool1d(x, 4, 2, padding=2)
            score, layers = discriminator(x)
            scores.append(score)
            features.append(layers)
        return scores, features
