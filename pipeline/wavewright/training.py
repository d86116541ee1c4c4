"""The training loop of every model: ask for updates, step the player they name, keep books.

What a step does depends on (seed, step) and the weights alone: batches are functions of the step,
every random generator is seeded anew at each step, and learning rates are functions of the epoch.
So a run that was stopped anywhere and resumed equals one that was not, bit for bit.
"""

from __future__ import annotations

import logging
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from wavewright.checkpoint import latest_checkpoint, load_training, prune, save_checkpoint
from wavewright.errors import WavewrightError
from wavewright.journal import Journal
from wavewright.model import FrozenModel, Model, Optimisation
from wavewright.precision import Precision, PrecisionName
from wavewright.progress import progress

log = logging.getLogger("wavewright")
Validate = Callable[[int, Journal], Mapping[str, float]]


class TrainingData(Protocol):
    """Batches by step."""

    def __len__(self) -> int:
        """Steps of an epoch."""

    def batch(self, step: int) -> Any:
        """The batch of a step, with a method `to(device)`; a function of the step alone."""


class TrainingOptions(FrozenModel):
    """What the loop needs to know besides the model and the data."""

    max_steps: PositiveInt
    seed: NonNegativeInt
    checkpoint_every: PositiveInt = 1000
    keep: PositiveInt = 2
    log_every: PositiveInt = 50
    workers: NonNegativeInt = 0
    device: str = "auto"
    precision: PrecisionName = "float32"


def train(
    model: Model,
    data: TrainingData,
    *,
    run: Path,
    options: TrainingOptions,
    validate: Validate | None = None,
) -> None:
    """Train until `options.max_steps`, resuming from the newest checkpoint in `run`.

    Args:
        model: fresh, or holding weights to start from.
        data: batches by step.
        run: folder of checkpoints, `validation.jsonl` and `logs/`.
        options: budget, seed, intervals, device.
        validate: called at `validation_steps`, in eval mode; returns metrics by name.

    Raises:
        WavewrightError: a loss is not finite, or no checkpoint in `run` is whole.
        SystemExit: 128 + signal number, after saving, when asked to stop.
    """
    device = pick_device(options.device)
    session = Session(model, len(data), device, options.seed, options.precision)
    session.resume(run)
    milestones = validation_steps(options.max_steps)
    with (
        Journal(run, session.step) as journal,
        stop_requests() as stop,
        progress(model.name, total=options.max_steps, done=session.step, unit="steps") as bar,
    ):
        if session.step == 0 and validate:
            session.validate(validate, journal)
        for batch in batches(data, session.step, options):
            logs = session.advance(batch)
            bar.advance(note=journal.note)
            if session.step % options.log_every == 0 or session.step == 1:
                journal.scalars(session.step, logs, session.learning_rates())
            last = session.step == options.max_steps
            if validate and session.step in milestones:
                session.validate(validate, journal)
            stopping = stop.signal  # looked at once, so that nothing stops here without a save
            if last or stopping or session.step % options.checkpoint_every == 0:
                session.save(run, keep=options.keep)
            if stopping and not last:
                log.warning("stopped by signal %d after saving step %d", stopping, session.step)
                raise SystemExit(128 + stopping)


class Session:
    """Players, their optimisers, and where training stands."""

    def __init__(
        self,
        model: Model,
        steps_per_epoch: int,
        device: torch.device,
        seed: int,
        precision: PrecisionName = "float32",
    ) -> None:
        if not model.in_training:
            model.start_training()
        self.model, self.device, self.seed = model, device, seed
        self.players: dict[str, nn.Module] = {"generator": model, **model.adversaries}
        for player in self.players.values():
            player.to(device).train()
        self.rules = {name: model.optimisation(name) for name in self.players}
        self.optimisers = {
            name: _optimiser(list(player.parameters()), self.rules[name])
            for name, player in self.players.items()
        }
        self.precision = Precision(precision, device, self.players)
        self.steps_per_epoch = steps_per_epoch
        self.step = 0

    def advance(self, batch: Any) -> dict[str, Tensor]:
        """Take one training step; returns the logs of all its updates."""
        seed_everything(self.seed, self.step)
        self._decay()
        logs: dict[str, Tensor] = {}
        updates = self.model.updates(batch.to(self.device), self.step)
        while True:
            with self.precision.autocast():
                update = next(updates, None)
            if update is None:
                break
            if not torch.isfinite(update.loss):
                raise WavewrightError(
                    f"the {update.player}'s loss became {update.loss.item()} at step {self.step} "
                    f"(utterances {', '.join(batch.ids[:4])}...). The last checkpoint is intact; "
                    "lower the learning rate or look at these utterances."
                )
            player = self.players[update.player]
            parameters = [p for p in player.parameters() if p.requires_grad]
            optimiser = self.optimisers[update.player]
            optimiser.zero_grad(set_to_none=True)
            # Only this player's gradients: the others' would be computed and thrown away.
            loss = self.precision.scaled(update.player, update.loss)
            loss.backward(inputs=parameters)  # type: ignore[no-untyped-call]
            clip = self.rules[update.player].clip_norm
            self.precision.step(update.player, optimiser, parameters, clip)
            logs.update({name: torch.as_tensor(v).detach() for name, v in update.logs.items()})
        self.step += 1
        return logs

    def validate(self, validate: Validate, journal: Journal) -> None:
        """Run the validation in eval mode and write its metrics down."""
        self.model.eval()
        with torch.no_grad():  # inference_mode would spoil what a plugin caches for training
            metrics = validate(self.step, journal)
        self.model.train()
        journal.validation(self.step, metrics)

    def learning_rates(self) -> dict[str, float]:
        """Current learning rate of every player."""
        return {name: o.param_groups[0]["lr"] for name, o in self.optimisers.items()}

    def save(self, run: Path, *, keep: int) -> None:
        """Write a checkpoint and drop old ones."""
        training = {
            "step": self.step,
            "players": {name: player.state_dict() for name, player in self.players.items()},
            "optimisers": {name: o.state_dict() for name, o in self.optimisers.items()},
            "scalers": self.precision.state_dict(),
        }
        save_checkpoint(run, self.step, self.model, training)
        prune(run, keep=keep)

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
        except (KeyError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise WavewrightError(
                f"{folder}: does not fit '{self.model.name}': {reason}"
            ) from error
        self.precision.load_state_dict(state.get("scalers", {}))
        self.step = int(state["step"])
        log.info("%s: resuming from step %d", self.model.name, self.step)

    def _decay(self) -> None:
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = self.rules[name].rate(self.step, self.steps_per_epoch)


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


class _BySteps(Dataset[Any]):
    """Lets a DataLoader's workers make whole batches."""

    def __init__(self, data: TrainingData) -> None:
        self.data = data

    def __getitem__(self, step: int) -> Any:
        return self.data.batch(step)


def batches(data: TrainingData, start: int, options: TrainingOptions) -> Iterator[Any]:
    """Batches of the steps from `start` on, made by `options.workers` processes."""
    return iter(
        DataLoader(
            _BySteps(data),
            sampler=range(start, options.max_steps),
            batch_size=None,
            num_workers=options.workers,
        )
    )


def validation_steps(max_steps: int) -> set[int]:
    """Step 0, early looks at 100 and 500, and every tenth of the budget."""
    tenths = {round(max_steps * i / 10) for i in range(11)}
    return tenths | {step for step in (100, 500) if step < max_steps}


def seed_everything(seed: int, step: int) -> None:
    """Seed torch, numpy and random for one step."""
    mixed = int(np.random.SeedSequence([seed, step]).generate_state(1)[0])
    torch.manual_seed(mixed)
    np.random.seed(mixed)
    random.seed(mixed)


def pick_device(name: str) -> torch.device:
    """`auto` is the first GPU, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch built without CUDA
        raise WavewrightError(
            f"device '{name}' is unknown or not there; use auto, cpu or cuda"
        ) from error


class StopRequest:
    """Signal that asked to stop, or 0."""

    signal: int = 0


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn SIGTERM, SIGUSR2 and SIGINT into a request; a second SIGINT stops at once."""
    request = StopRequest()
    started = time.monotonic()

    def note(number: int, _frame: object) -> None:
        if number == signal.SIGINT and request.signal:
            raise KeyboardInterrupt
        request.signal = number
        log.warning("signal %d after %.0f s: saving", number, time.monotonic() - started)

    handled = (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT)
    previous = {number: signal.signal(number, note) for number in handled}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
