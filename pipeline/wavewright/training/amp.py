"""Mixed precision: which parts of a step run in 16 bits, and gradient scaling for float16.

Weights, gradients and optimisers stay in float32; autocast chooses per operation (Micikevicius et
al. 2018, arXiv:1710.03740). bfloat16 has float32's range and needs no scaling.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from wavewright.errors import WavewrightError
from wavewright.training.options import PrecisionName

_TYPES = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class MixedPrecision:
    """Arithmetic of one training: autocast for the forward pass, a scaler for each player.

    Raises:
        WavewrightError: fp16 on a CPU, where it is slower than float32.
    """

    def __init__(
        self, name: PrecisionName, device: torch.device, players: Iterable[str] = ()
    ) -> None:
        if name == "fp16" and device.type == "cpu":
            raise WavewrightError("precision 'fp16' needs a GPU; use bf16 or float32 on a CPU")
        self.dtype, self.device = _TYPES[name], device
        scaled = players if name == "fp16" else ()
        self.scalers = {player: torch.amp.GradScaler(device.type) for player in scaled}

    def autocast(self) -> AbstractContextManager[Any]:
        """Context of the forward pass; the backward pass uses the same types."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None)

    def scale_loss(self, player: str, loss: Tensor) -> Tensor:
        """Scale a loss for its backward pass."""
        scaler = self.scalers.get(player)
        return scaler.scale(loss) if scaler else loss

    def gradient_norm(
        self, player: str, optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]
    ) -> Tensor:
        """Norm of the unscaled gradients; call it once before `step` or `skip`."""
        scaler = self.scalers.get(player)
        if scaler:
            scaler.unscale_(optimizer)
        return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])

    def may_overflow(self, player: str) -> bool:
        """Tell if gradients that are not finite only mean that the scale is still too large."""
        scaler = self.scalers.get(player)
        return bool(scaler and scaler.get_scale() >= 1)

    def step(
        self,
        player: str,
        optimizer: torch.optim.Optimizer,
        parameters: list[nn.Parameter],
        norm: Tensor,
        clip_norm: float | None,
    ) -> bool:
        """Clip and step; False where float16 overflowed and the scaler skipped the step."""
        scaler = self.scalers.get(player)
        if clip_norm is not None:
            nn.utils.clip_grads_with_norm_(parameters, clip_norm, norm)
        if not scaler:
            optimizer.step()
            return True
        before = scaler.get_scale()
        scaler.step(optimizer)
        scaler.update()
        return bool(scaler.get_scale() >= before)

    def skip(self, player: str) -> None:
        """Take no step after `gradient_norm`."""
        if player in self.scalers:
            self.scalers[player].update()

    def state_dict(self) -> dict[str, Any]:
        """Scales by player, for a checkpoint."""
        return {player: scaler.state_dict() for player, scaler in self.scalers.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a `state_dict`; a training may continue in another precision."""
        for player, scaler in self.scalers.items():
            if state.get(player):
                scaler.load_state_dict(state[player])
