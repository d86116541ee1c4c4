"""Parts shared by discriminators: scores, and the features on the way to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def score(x: Tensor, convs: Iterable[nn.Module], last: nn.Module) -> tuple[Tensor, list[Tensor]]:
    """Run convolutions with leaky ReLUs, and a last one without.

    Returns:
        (B, n) scores, and the features of all layers, the last included.
    """
    features = []
    for conv in convs:
        x = F.leaky_relu(conv(x), 0.1)
        features.append(x)
    x = last(x)
    return torch.flatten(x, 1), [*features, x]


class DiscriminatorGroup(nn.Module):
    """Discriminators of one kind that see the same waveform."""

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(parts)

    def forward(self, wav: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
        """(B, samples) -> scores and features, one entry per discriminator."""
        results = [discriminator(wav) for discriminator in self.discriminators]
        return [scores for scores, _ in results], [features for _, features in results]
