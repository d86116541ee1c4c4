"""One training in memory: players, optimizers, and the step that updates() asks for.

Every random generator is seeded anew at each step, and learning rates are functions of the step.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wavewright.checkpoints.checkpoint import latest_checkpoint, load_training, save_checkpoint
from wavewright.errors import WavewrightError
from wavewright.models.base import Model, Update
from wavewright.training.amp import MixedPrecision
from wavewright.training.distributed import World
from wavewright.training.ema import EMA
from wavewright.training.logger import TrainingLogger
from wavewright.training.memory import MemoryEstimate, estimate_memory
from wavewright.training.nan_guard import BadStep, LossGuard
from wavewright.training.optimizers import Restart, build_optimizer, set_learning_rates
from wavewright.training.options import PrecisionName
from wavewright.training.seeding import seed_everything

log = logging.getLogger("wavewright")
Validate = Callable[[int, TrainingLogger], Mapping[str, float]]
_LATE = 10**9  # a step by which every discriminator has started


class TrainState:
    """Players, their optimizers, averaged weights and step of one training.

    Args:
        model: fresh, or holding weights to start from.
        steps_per_epoch: for learning rates.
        device: device of the players.
        seed: seed of every step's noise.
        precision: arithmetic of the networks.
        ema_decay: decay of the average that inference uses; None is the model's own.
        restart: step at which learning rates start anew, and the generator's rate there.
        world: processes that train together.
        guard: what to do about steps that would spoil the training.

    Attributes:
        skipped: the last step, if it was skipped as bad.
    """

    def __init__(
        self,
        model: Model,
        steps_per_epoch: int,
        device: torch.device,
        seed: int,
        precision: PrecisionName = "float32",
        *,
        ema_decay: float | None = None,
        restart: Restart | None = None,
        world: World | None = None,
        guard: LossGuard | None = None,
    ) -> None:
        if not model.in_training:
            model.prepare_for_training()
        self.model, self.device, self.seed = model, device, seed
        self.world, self.guard = world or World(), guard or LossGuard()
        self.skipped: BadStep | None = None
        self.players: dict[str, nn.Module] = {"generator": model, **model.discriminators}
        for player in self.players.values():
            player.to(device).train()
        self.rules = {name: model.optimizer_config(name) for name in self.players}
        if restart and not self.rules["generator"].learning_rate:
            raise WavewrightError(
                f"'{model.name}' has a learning rate of 0, which {restart.learning_rate:g} from "
                f"step {restart.step} on is no multiple of"
            )
        self.optimizers = {
            name: build_optimizer(list(player.parameters()), self.rules[name])
            for name, player in self.players.items()
        }
        self.precision = MixedPrecision(precision, device, self.players)
        decay = ema_decay or self.rules["generator"].ema_decay
        self.ema = EMA(model, decay) if decay else None
        self.steps_per_epoch, self.restart = steps_per_epoch, restart
        self.step = 0

    def advance(self, *shares: Any) -> dict[str, Tensor]:
        """Run one training step on a batch in equal shares; returns all updates' logs.

        An update that would spoil the weights is skipped with those after it, in all processes, if
        the guard says so: the step counts as taken, but no weight, moment or buffer changes.

        Raises:
            BadStep: the guard stops at such steps, or they are too many.
        """
        seed_everything(self.seed, self.step, self.world.rank)
        set_learning_rates(
            self.optimizers, self.rules, self.step, self.steps_per_epoch, self.restart
        )
        logs: dict[str, Tensor] = {}
        self.skipped = None
        buffers = self._buffers() if self.guard.action == "skip" else []
        asked = [self.model.updates(share.to(self.device), self.step) for share in shares]
        while True:
            player, losses = self._learn(asked, shares, logs)
            if not player:
                self.guard.in_a_row = 0
                break
            if reason := self._take_step(player, losses):
                self._skip_step(reason, losses, shares, buffers)
                break
        self.step += 1
        return logs

    def _learn(
        self, asked: Sequence[Iterator[Update]], shares: Sequence[Any], logs: dict[str, Tensor]
    ) -> tuple[str, list[Tensor]]:
        """Compute the next update's gradients; returns its player and each share's loss."""
        player, losses = "", []
        for updates, share in zip(asked, shares, strict=True):
            with self.precision.autocast():
                update = next(updates, None)
            if update is None:
                break
            if not player:
                player = update.player
                self.optimizers[player].zero_grad(set_to_none=True)
            losses.append(update.loss.detach())
            # Only this player's gradients: the others' would be computed and thrown away.
            loss = self.precision.scale_loss(player, update.loss / len(shares))
            loss.backward(inputs=self._parameters(player))  # type: ignore[no-untyped-call]
            for name, value in update.logs.items():
                part = torch.as_tensor(value).detach() / len(shares)
                logs[name] = logs[name] + part if share is not shares[0] else part
            del update, loss
        return player, losses

    def _take_step(self, player: str, losses: Sequence[Tensor]) -> str:
        """Step unless that would spoil the weights; returns what is wrong, "" if nothing is.

        All processes see the same means, so that they agree.
        """
        parameters, optimizer = self._parameters(player), self.optimizers[player]
        self.world.average_gradients(parameters)
        loss = self.world.mean({"loss": torch.stack([*losses]).float().mean()})["loss"]
        norm = self.precision.gradient_norm(player, optimizer, parameters)
        loss_value, norm_value = torch.stack([loss.to(norm.device), norm.float()]).tolist()
        harmless = not math.isfinite(norm_value) and self.precision.may_overflow(player)
        reason = self.guard.check(player, loss_value, 0.0 if harmless else norm_value)
        if reason:
            self.precision.skip(player)
            return reason
        stepped = self.precision.step(
            player, optimizer, parameters, norm, self.rules[player].clip_norm
        )
        if stepped and self.ema and player == "generator":
            self.ema.update(self.step + 1)
        return ""

    def _skip_step(
        self,
        reason: str,
        losses: Sequence[Tensor],
        shares: Sequence[Any],
        buffers: Sequence[tuple[Tensor, Tensor]],
    ) -> None:
        """Undo what this step's batch did to buffers and count it as skipped, or stop."""
        finite = [bool(loss.isfinite()) for loss in losses]
        parts = [(share.ids, fine) for share, fine in zip(shares, finite, strict=True)]
        everyone = [part for theirs in self.world.gather(parts) for part in theirs]
        culprits = [id_ for ids, fine in everyone for id_ in ids if not fine]
        bad = BadStep(
            self.step,
            reason,
            culprits or [id_ for ids, _ in everyone for id_ in ids],
            "lower the learning rate or look at these utterances. on_bad_step: skip skips such "
            "steps.",
        )
        if self.guard.action == "stop":
            raise bad
        self.guard.count_skipped(bad)
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        self.skipped = bad

    def _buffers(self) -> list[tuple[Tensor, Tensor]]:
        """Every player's buffers with copies of their values, which a forward pass may change."""
        return [(b, b.clone()) for player in self.players.values() for b in player.buffers()]

    def _parameters(self, player: str) -> list[nn.Parameter]:
        return [p for p in self.players[player].parameters() if p.requires_grad]

    def inference_weights(self) -> AbstractContextManager[None]:
        """Give the model the weights that inference uses, for the duration of a block."""
        return self.ema.in_place() if self.ema else nullcontext()

    def validate(self, validate: Validate, logger: TrainingLogger) -> Mapping[str, float]:
        """Run the validation in eval mode and write its metrics down."""
        self.model.eval()
        # inference_mode would spoil what a plugin caches for training
        try:
            with torch.no_grad(), self.inference_weights():
                metrics = validate(self.step, logger)
        finally:
            self.model.train()
        logger.validation(self.step, metrics)
        return metrics

    def estimate_memory(self, samples: Mapping[int, Any], share: int) -> MemoryEstimate:
        """Estimate the memory of steps on `share` items at a time.

        Args:
            samples: batches of one item, and of two if possible, by size.
            share: items that go through the networks together.
        """

        def updates(batch: Any) -> Iterator[Any]:
            seed_everything(self.seed, self.step)
            asked = self.model.updates(batch.to(self.device), _LATE)
            while True:
                with self.precision.autocast():
                    update = next(asked, None)
                if update is None:
                    return
                yield update

        return estimate_memory(
            self.players,
            {size: partial(updates, batch) for size, batch in samples.items()},
            crops=share,
            device=self.device,
            averaged=self.ema is not None,
        )

    def learning_rates(self) -> dict[str, float]:
        """Current learning rate of every player."""
        return {name: o.param_groups[0]["lr"] for name, o in self.optimizers.items()}

    def save(self, run: Path) -> None:
        """Write a checkpoint.

        Raises:
            WavewrightError: a weight is not finite; the last checkpoint stays the newest.
        """
        self._require_finite_weights()
        training = {
            "step": self.step,
            "players": {name: player.state_dict() for name, player in self.players.items()},
            "optimisers": {name: o.state_dict() for name, o in self.optimizers.items()},
            "scalers": self.precision.state_dict(),
            "average": dict(self.ema.state_dict()) if self.ema else {},
            "guard": self.guard.state_dict(),
        }
        with self.inference_weights():
            save_checkpoint(run, self.step, self.model, training)

    def resume(self, run: Path) -> None:
        """Continue from the newest whole checkpoint in `run`, if there is one."""
        folder = latest_checkpoint(run)
        if folder is None:
            return
        state = load_training(folder)
        try:
            for name, player in self.players.items():
                player.load_state_dict(state["players"][name])
                self.optimizers[name].load_state_dict(state["optimisers"][name])
            if self.ema:
                if not state.get("average"):
                    log.warning("%s: holds no averaged weights; the average starts here", folder)
                self.ema.load_state_dict(
                    state.get("average") or dict(self.model.named_parameters())
                )
        except (KeyError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise WavewrightError(
                f"{folder}: does not fit '{self.model.name}': {reason}"
            ) from error
        self.precision.load_state_dict(state.get("scalers", {}))
        self.guard.load_state_dict(state.get("guard", {}))
        self.step = int(state["step"])
        log.info("%s: resuming from step %d", self.model.name, self.step)

    def _require_finite_weights(self) -> None:
        for player, module in self.players.items():
            for name, weights in module.named_parameters():
                if not torch.isfinite(weights).all():
                    raise WavewrightError(
                        f"the {player}'s weights in '{name}' are no longer finite at step "
                        f"{self.step}. The last checkpoint is intact; lower the learning rate."
                    )
