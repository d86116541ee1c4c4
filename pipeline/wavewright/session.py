"""One training in memory: players, optimisers, and the step that updates() asks for.

Every random generator is seeded anew at each step, and learning rates are functions of the step.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from wavewright.averaging import Average
from wavewright.checkpoint import latest_checkpoint, load_training, save_checkpoint
from wavewright.distributed import Group
from wavewright.errors import WavewrightError
from wavewright.journal import Journal
from wavewright.memory import Estimate, estimate
from wavewright.model import Model, Optimisation
from wavewright.precision import Precision, PrecisionName

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
    ) -> None:
        if not model.in_training:
            model.start_training()
        self.model, self.device, self.seed = model, device, seed
        self.peers = peers or Group()
        self.players: dict[str, nn.Module] = {"generator": model, **model.adversaries}
        for player in self.players.values():
            player.to(device).train()
        self.rules = {name: model.optimisation(name) for name in self.players}
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
        """Take one training step on a batch, given in equal shares; returns all updates' logs."""
        seed_everything(self.seed, self.step, self.peers.rank)
        self._decay()
        logs: dict[str, Tensor] = {}
        asked = [self.model.updates(share.to(self.device), self.step) for share in shares]
        while True:
            player = ""
            for updates, share in zip(asked, shares, strict=True):
                with self.precision.autocast():
                    update = next(updates, None)
                if update is None:
                    break
                if not player:
                    player = update.player
                    self.optimisers[player].zero_grad(set_to_none=True)
                self._require_finite(update.player, update.loss, share)
                # Only this player's gradients: the others' would be computed and thrown away.
                loss = self.precision.scaled(player, update.loss / len(shares))
                loss.backward(inputs=self._parameters(player))  # type: ignore[no-untyped-call]
                for name, value in update.logs.items():
                    part = torch.as_tensor(value).detach() / len(shares)
                    logs[name] = logs[name] + part if share is not shares[0] else part
                del update, loss
            if not player:
                break
            self._take_step(player)
        self.step += 1
        return logs

    def _take_step(self, player: str) -> None:
        parameters = self._parameters(player)
        self.peers.average(parameters)
        stepped = self.precision.step(
            player, self.optimisers[player], parameters, self.rules[player].clip_norm
        )
        if stepped and self.average and player == "generator":
            self.average.update(self.step + 1)

    def _parameters(self, player: str) -> list[nn.Parameter]:
        return [p for p in self.players[player].parameters() if p.requires_grad]

    def _require_finite(self, player: str, loss: Tensor, share: Any) -> None:
        if not torch.isfinite(loss):
            raise WavewrightError(
                f"the {player}'s loss became {loss.item()} at step {self.step} "
                f"(utterances {', '.join(share.ids[:4])}...). The last checkpoint is intact; "
                "lower the learning rate or look at these utterances."
            )

    def averaged(self) -> AbstractContextManager[None]:
        """Meanwhile the model has the weights that inference uses."""
        return self.average.in_place() if self.average else nullcontext()

    def validate(self, validate: Validate, journal: Journal) -> Mapping[str, float]:
        """Run the validation in eval mode and write its metrics down."""
        self.model.eval()
        # inference_mode would spoil what a plugin caches for training
        with torch.no_grad(), self.averaged():
            metrics = validate(self.step, journal)
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
        """Write a checkpoint."""
        training = {
            "step": self.step,
            "players": {name: player.state_dict() for name, player in self.players.items()},
            "optimisers": {name: o.state_dict() for name, o in self.optimisers.items()},
            "scalers": self.precision.state_dict(),
            "average": dict(self.average.state_dict()) if self.average else {},
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
        self.step = int(state["step"])
        log.info("%s: resuming from step %d", self.model.name, self.step)

    def _decay(self) -> None:
        step, factor = self.step, 1.0
        if self.restart and step >= self.restart.step:
            step -= self.restart.step
            factor = self.restart.learning_rate / self.rules["generator"].learning_rate
        for name, optimiser in self.optimisers.items():
            rate = factor * self.rules[name].rate(step, self.steps_per_epoch)
            for settings in optimiser.param_groups:
                settings["lr"] = rate


def _optimiser(parameters: list[nn.Parameter], rule: Optimisation) -> torch.optim.Optimizer:
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
    return kinds[rule.optimiser](parameters, **settings)


def seed_everything(seed: int, step: int, rank: int = 0) -> None:
    """Seed torch, numpy and random for one step of one process."""
    mixed = int(
        np.random.SeedSequence([seed, step, *([rank] if rank else [])]).generate_state(1)[0]
    )
    torch.manual_seed(mixed)
    np.random.seed(mixed)
    random.seed(mixed)
