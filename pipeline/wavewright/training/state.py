"""One training in memory: players, optimisers, and the step that updates() asks for.

Every random generator is seeded anew at each step, and learning rates are functions of the step.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from wavewright.checkpoints.checkpoint import latest_checkpoint, load_training, save_checkpoint
from wavewright.errors import WavewrightError
from wavewright.models.base import Model, Update
from wavewright.models.config import OptimizerConfig
from wavewright.training.amp import Precision, PrecisionName
from wavewright.training.distributed import Group
from wavewright.training.ema import Average
from wavewright.training.journal import Journal
from wavewright.training.memory import Estimate, estimate
from wavewright.training.nan_guard import BadStep, Guard

log = logging.getLogger("wavewright")
Validate = Callable[[int, Journal], Mapping[str, float]]
_LATE = 10**9  # a step by which every adversary has started


class Restart(NamedTuple):
    """Where the schedule of learning rates starts anew.

    Attributes:
        step: from which on it counts.
        learning_rate: of the generator there; other players' rates keep their ratio to it.
    """

    step: int
    learning_rate: float


class Session:
    """Players, their optimisers, and where training stands.

    Args:
        model: fresh, or holding weights to start from.
        steps_per_epoch: for learning rates.
        device: of the players.
        seed: of every step's noise.
        precision: of the networks' arithmetic.
        ema_decay: of the average that inference uses; None is the model's own.
        restart: where learning rates start anew, from a rate of their own.
        peers: processes that train together.
        guard: what to do about steps that would spoil the training.

    Attributes:
        left_out: what was wrong with the last step, if it was left out.
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
        peers: Group | None = None,
        guard: Guard | None = None,
    ) -> None:
        if not model.in_training:
            model.prepare_for_training()
        self.model, self.device, self.seed = model, device, seed
        self.peers, self.guard = peers or Group(), guard or Guard()
        self.left_out: BadStep | None = None
        self.players: dict[str, nn.Module] = {"generator": model, **model.discriminators}
        for player in self.players.values():
            player.to(device).train()
        self.rules = {name: model.optimizer_config(name) for name in self.players}
        if restart and not self.rules["generator"].learning_rate:
            raise WavewrightError(
                f"'{model.name}' has a learning rate of 0, which {restart.learning_rate:g} from "
                f"step {restart.step} on is no multiple of"
            )
        self.optimisers = {
            name: _optimiser(list(player.parameters()), self.rules[name])
            for name, player in self.players.items()
        }
        self.precision = Precision(precision, device, self.players)
        decay = ema_decay or self.rules["generator"].ema_decay
        self.average = Average(model, decay) if decay else None
        self.steps_per_epoch, self.restart = steps_per_epoch, restart
        self.step = 0

    def advance(self, *shares: Any) -> dict[str, Tensor]:
        """Take one training step on a batch, given in equal shares; returns all updates' logs.

        An update that would spoil the weights is left out with those after it, in all processes,
        if the guard says so: the batch counts as learnt from, nothing else does.

        Raises:
            BadStep: the guard stops at such steps, or they are too many.
        """
        seed_everything(self.seed, self.step, self.peers.rank)
        self._decay()
        logs: dict[str, Tensor] = {}
        self.left_out = None
        buffers = self._buffers() if self.guard.action == "skip" else []
        asked = [self.model.updates(share.to(self.device), self.step) for share in shares]
        while True:
            player, losses = self._learn(asked, shares, logs)
            if not player:
                self.guard.in_a_row = 0
                break
            if reason := self._take_step(player, losses):
                self._leave_out(reason, losses, shares, buffers)
                break
        self.step += 1
        return logs

    def _learn(
        self, asked: Sequence[Iterator[Update]], shares: Sequence[Any], logs: dict[str, Tensor]
    ) -> tuple[str, list[Tensor]]:
        """The player of the next update, which has its gradients now, and each share's loss."""
        player, losses = "", []
        for updates, share in zip(asked, shares, strict=True):
            with self.precision.autocast():
                update = next(updates, None)
            if update is None:
                break
            if not player:
                player = update.player
                self.optimisers[player].zero_grad(set_to_none=True)
            losses.append(update.loss.detach())
            # Only this player's gradients: the others' would be computed and thrown away.
            loss = self.precision.scaled(player, update.loss / len(shares))
            loss.backward(inputs=self._parameters(player))  # type: ignore[no-untyped-call]
            for name, value in update.logs.items():
                part = torch.as_tensor(value).detach() / len(shares)
                logs[name] = logs[name] + part if share is not shares[0] else part
            del update, loss
        return player, losses

    def _take_step(self, player: str, losses: Sequence[Tensor]) -> str:
        """Step unless that would spoil the weights; what is wrong, in words.

        All processes see the same means, so that they agree.
        """
        parameters, optimiser = self._parameters(player), self.optimisers[player]
        self.peers.average(parameters)
        loss = self.peers.mean({"loss": torch.stack([*losses]).float().mean()})["loss"]
        norm = self.precision.norm(player, optimiser, parameters)
        found = torch.stack([loss.to(norm.device), norm.float()]).tolist()
        harmless = not math.isfinite(found[1]) and self.precision.may_overflow(player)
        reason = self.guard.judge(player, found[0], 0.0 if harmless else found[1])
        if reason:
            self.precision.leave_out(player)
            return reason
        stepped = self.precision.step(
            player, optimiser, parameters, norm, self.rules[player].clip_norm
        )
        if stepped and self.average and player == "generator":
            self.average.update(self.step + 1)
        return ""

    def _leave_out(
        self,
        reason: str,
        losses: Sequence[Tensor],
        shares: Sequence[Any],
        buffers: Sequence[tuple[Tensor, Tensor]],
    ) -> None:
        """Make as if this step's batch had not been seen, or stop."""
        finite = [bool(loss.isfinite()) for loss in losses]
        parts = [(share.ids, fine) for share, fine in zip(shares, finite, strict=True)]
        everyone = [part for theirs in self.peers.gather(parts) for part in theirs]
        guilty = [id_ for ids, fine in everyone for id_ in ids if not fine]
        bad = BadStep(
            self.step,
            reason,
            guilty or [id_ for ids, _ in everyone for id_ in ids],
            "lower the learning rate or look at these utterances. on_bad_step: skip leaves such "
            "steps out.",
        )
        if self.guard.action == "stop":
            raise bad
        self.guard.left_out(bad)
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        self.left_out = bad

    def _buffers(self) -> list[tuple[Tensor, Tensor]]:
        """Every player's buffers, and what they hold: a forward pass may change them."""
        return [(b, b.clone()) for player in self.players.values() for b in player.buffers()]

    def _parameters(self, player: str) -> list[nn.Parameter]:
        return [p for p in self.players[player].parameters() if p.requires_grad]

    def averaged(self) -> AbstractContextManager[None]:
        """Meanwhile the model has the weights that inference uses."""
        return self.average.in_place() if self.average else nullcontext()

    def validate(self, validate: Validate, journal: Journal) -> Mapping[str, float]:
        """Run the validation in eval mode and write its metrics down."""
        self.model.eval()
        # inference_mode would spoil what a plugin caches for training
        try:
            with torch.no_grad(), self.averaged():
                metrics = validate(self.step, journal)
        finally:
            self.model.train()
        journal.validation(self.step, metrics)
        return metrics

    def estimate(self, samples: Mapping[int, Any], share: int) -> Estimate:
        """Memory for steps on `share` items at a time, from batches of one or two, by size."""

        def updates(batch: Any) -> Iterator[Any]:
            seed_everything(self.seed, self.step)
            asked = self.model.updates(batch.to(self.device), _LATE)
            while True:
                with self.precision.autocast():
                    update = next(asked, None)
                if update is None:
                    return
                yield update

        return estimate(
            self.players,
            {size: partial(updates, batch) for size, batch in samples.items()},
            crops=share,
            device=self.device,
            averaged=self.average is not None,
        )

    def learning_rates(self) -> dict[str, float]:
        """Current learning rate of every player."""
        return {name: o.param_groups[0]["lr"] for name, o in self.optimisers.items()}

    def save(self, run: Path) -> None:
        """Write a checkpoint.

        Raises:
            WavewrightError: a weight is not finite; the last checkpoint stays the newest.
        """
        self._require_finite_weights()
        training = {
            "step": self.step,
            "players": {name: player.state_dict() for name, player in self.players.items()},
            "optimisers": {name: o.state_dict() for name, o in self.optimisers.items()},
            "scalers": self.precision.state_dict(),
            "average": dict(self.average.state_dict()) if self.average else {},
            "guard": self.guard.state_dict(),
        }
        with self.averaged():
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
                self.optimisers[name].load_state_dict(state["optimisers"][name])
            if self.average:
                if not state.get("average"):
                    log.warning("%s: holds no averaged weights; the average starts here", folder)
                self.average.load_state_dict(
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

    def _decay(self) -> None:
        begun, factor = 0, 1.0
        if self.restart and self.step >= self.restart.step:
            begun = self.restart.step
            factor = self.restart.learning_rate / self.rules["generator"].learning_rate
        for name, optimiser in self.optimisers.items():
            rule = self.rules[name]
            step = max(0, self.step - max(begun, rule.starts_at))
            rate = factor * rule.rate(step, self.steps_per_epoch)
            for settings in optimiser.param_groups:
                settings["lr"] = rate


def _optimiser(parameters: list[nn.Parameter], rule: OptimizerConfig) -> torch.optim.Optimizer:
    kinds: dict[str, type[torch.optim.Optimizer]] = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "radam": torch.optim.RAdam,
    }
    settings: dict[str, Any] = {
        "lr": rule.learning_rate,
        "betas": rule.betas,
        "eps": rule.eps,
        "weight_decay": rule.weight_decay,
    }
    if rule.amsgrad:
        settings["amsgrad"] = True
    return kinds[rule.optimiser](parameters, **settings)


def seed_everything(seed: int, step: int, rank: int = 0) -> None:
    """Seed torch, numpy and random for one step of one process."""
    mixed = int(
        np.random.SeedSequence([seed, step, *([rank] if rank else [])]).generate_state(1)[0]
    )
    torch.manual_seed(mixed)
    np.random.seed(mixed)
    random.seed(mixed)
