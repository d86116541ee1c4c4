"""The training loop of every model: ask for updates, step the player they name, keep books.

What a step does depends on (seed, step) and the weights alone: batches are functions of the step,
every random generator is seeded anew at each step, and learning rates are functions of the step.
So a run that was stopped anywhere and resumed equals one that was not, bit for bit.

A step's batch may be cut into shares, one after the other (`accumulate`) and over processes
(torchrun). Their updates are asked for in lockstep, and a player steps once all have yielded it.
"""

from __future__ import annotations

import logging
import math
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from wavewright.averaging import Average
from wavewright.checkpoint import (
    best_value,
    latest_checkpoint,
    load_training,
    mark_best,
    prune,
    save_checkpoint,
)
from wavewright.distributed import Group, group, local_device
from wavewright.errors import WavewrightError
from wavewright.health import judge
from wavewright.journal import Journal
from wavewright.memory import Estimate, estimate, explained
from wavewright.model import FrozenModel, Model, Optimisation
from wavewright.precision import Precision, PrecisionName
from wavewright.profiling import profiler
from wavewright.progress import progress
from wavewright.stopping import stop_requests

log = logging.getLogger("wavewright")
Validate = Callable[[int, Journal], Mapping[str, float]]
_LATE = 10**9  # a step by which every adversary has started


class TrainingData(Protocol):
    """Batches by step.

    Attributes:
        batch_size: items of a step, over all processes.
    """

    batch_size: int

    def __len__(self) -> int:
        """Steps of an epoch."""

    def batch(self, step: int, share: int = 0, shares: int = 1) -> Any:
        """Every `shares`-th item of a step's batch, from number `share` on.

        A function of its arguments alone. What it gives has `ids` and the methods `to(device)` and
        `seconds(spec)`.
        """


class TrainingOptions(FrozenModel):
    """What the loop needs to know besides the model and the data.

    Attributes:
        max_steps: of all sessions together.
        seed: of everything.
        checkpoint_every: steps.
        keep: newest checkpoints that stay, besides the best.
        log_every: steps.
        workers: processes that load data.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        precision: of the networks' arithmetic.
        accumulate: parts in which a batch is learnt from, one after the other, to save memory.
        ema_decay: of the averaged weights that inference uses; None is the model's own.
        deterministic: use algorithms that give the same bits at every run on a GPU.
        best_by: validation metric, lower being better, whose best checkpoint is kept and marked.
        best_from: first step that can be the best.
        profile: steps to trace.
    """

    max_steps: PositiveInt
    seed: NonNegativeInt
    checkpoint_every: PositiveInt = 1000
    keep: PositiveInt = 2
    log_every: PositiveInt = 50
    workers: NonNegativeInt = 0
    device: str = "auto"
    precision: PrecisionName = "float32"
    accumulate: PositiveInt = 1
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    deterministic: bool = False
    best_by: str = ""
    best_from: NonNegativeInt = 0
    profile: NonNegativeInt = 0


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
        validate: called at `validation_steps`, in eval mode and in the first process only; returns
            metrics by name.

    Raises:
        WavewrightError: a loss is not finite, memory ran out, no checkpoint in `run` is whole, or
            a batch cannot be shared evenly.
        SystemExit: 128 + signal number, after saving, when asked to stop.
    """
    device = pick_device(local_device(options.device))
    be_deterministic(options.deterministic)
    with group(device) as peers:
        _require_even(data.batch_size, peers.size, options.accumulate)
        session = Session(
            model,
            len(data),
            device,
            options.seed,
            options.precision,
            ema_decay=options.ema_decay,
            peers=peers,
        )
        session.resume(run)
        _Training(session, data, run, options, validate).go()


class _Training:
    """One call of `train`: the loop around a session, and what it tells people."""

    def __init__(
        self,
        session: Session,
        data: TrainingData,
        run: Path,
        options: TrainingOptions,
        validate: Validate | None,
    ) -> None:
        self.session, self.data, self.run, self.options = session, data, run, options
        self.validate, self.peers = validate, session.peers
        self.milestones = validation_steps(options.max_steps) if validate else set()
        self.critic: list[float] = []  # its losses since the last validation
        self.critics: list[float] = []  # their means
        self.best = math.inf

    def go(self) -> None:
        session, options = self.session, self.options
        name = session.model.name
        journal: AbstractContextManager[Journal | None] = nullcontext()
        if self.peers.first:
            journal = Journal(self.run, session.step)
        with (
            journal as book,
            stop_requests() as stop,
            progress(
                name,
                total=options.max_steps,
                done=session.step,
                unit="steps",
                shown=self.peers.first,
            ) as bar,
            profiler(self.run / "logs" / "profile", self._profiled_steps()) as traced,
        ):
            if session.step < options.max_steps:
                self._say_memory()
            if session.step == 0:
                self._look(book)
            meter = _Meter()
            source = batches(self.data, session.step, options, self.peers)
            while session.step < options.max_steps:
                with meter.waiting():
                    shares = next(source)
                with explained(session.step, session.device, self._remedy()):
                    logs = session.advance(*shares)
                traced()
                meter.step(sum(share.seconds(session.model.mel) for share in shares))
                if session.step % options.log_every == 0 or session.step == 1:
                    self._log(book, logs, meter)
                bar.advance(note=book.note if book else "")
                better = session.step in self.milestones and self._look(book)
                last = session.step == options.max_steps
                # Looked at once, so that nothing stops here without a save.
                stopping = self.peers.largest(stop.signal)
                due = session.step % options.checkpoint_every == 0
                if last or stopping or due or better:
                    self._save(better)
                if stopping and not last:
                    log.warning("stopped by signal %d after saving step %d", stopping, session.step)
                    raise SystemExit(128 + stopping)

    def _log(self, book: Journal | None, logs: Mapping[str, Tensor], meter: _Meter) -> None:
        values = self.peers.mean(logs)
        speed = meter.read(self.peers.size)
        if "critic" in values:
            self.critic.append(float(values["critic"]))
        if book:
            book.scalars(self.session.step, values, self.session.learning_rates(), speed)

    def _look(self, book: Journal | None) -> bool:
        """Validate; whether the weights are the best so far."""
        better = False
        if book and self.validate:
            metrics = self.session.validate(self.validate, book)
            better = self._judge(book, metrics)
        self.peers.wait()
        return better

    def _judge(self, book: Journal, metrics: Mapping[str, float]) -> bool:
        by, step = self.options.best_by, self.session.step
        if self.critic:
            self.critics.append(math.fsum(self.critic) / len(self.critic))
            self.critic = []
        if by not in metrics:
            return False
        verdict = judge(book.lines(), by, self.critics)
        if verdict:
            log.log(
                logging.INFO if verdict.state == "healthy" else logging.WARNING,
                "%s: step %d of %d: %s",
                self.session.model.name,
                step,
                self.options.max_steps,
                verdict,
            )
            book.text("health", str(verdict), step)
        eligible = step >= max(1, self.options.best_from)
        if not eligible or not metrics[by] < best_value(self.run, by, step):
            return False
        self.best = metrics[by]
        return True

    def _save(self, better: bool) -> None:
        if self.peers.first:
            self.session.save(self.run)
            if better:
                mark_best(self.run, self.session.step, self.options.best_by, self.best)
            prune(self.run, keep=self.options.keep)

    def _say_memory(self) -> None:
        """Warn where the first step will hardly fit."""
        whole = self.data.batch_size
        share = whole // (self.peers.size * self.options.accumulate)
        samples = {1: self.data.batch(0, 0, whole)}
        if share > 1 and whole % 2 == 0:
            samples[2] = self.data.batch(0, 0, whole // 2)
        with explained(self.session.step, self.session.device, self._remedy()):
            needed = self.session.estimate(samples, share)
        if self.peers.first:
            log.info("%s: memory: %s", self.session.model.name, needed)
            if not needed.fits:
                log.warning("that is more than is free: %s", self._remedy())

    def _remedy(self) -> str:
        share = self.data.batch_size // (self.peers.size * self.options.accumulate)
        more = (
            f"raise accumulate above {self.options.accumulate}, "
            if share > 1
            else "spread it over more processes, "
        )
        return (
            f"lower batch_size ({self.data.batch_size}, of which {share} at a time) or "
            f"the crops' length (segment_length), {more}or set precision to bf16"
        )

    def _profiled_steps(self) -> int:
        left = self.options.max_steps - self.session.step
        return min(self.options.profile, left) if self.peers.first else 0


class Session:
    """Players, their optimisers, and where training stands.

    Args:
        model: fresh, or holding weights to start from.
        steps_per_epoch: for learning rates.
        device: of the players.
        seed: of every step's noise.
        precision: of the networks' arithmetic.
        ema_decay: of the average that inference uses; None is the model's own.
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
        self.optimisers = {
            name: _optimiser(list(player.parameters()), self.rules[name])
            for name, player in self.players.items()
        }
        self.precision = Precision(precision, device, self.players)
        decay = ema_decay or self.rules["generator"].ema_decay
        self.average = Average(model, decay) if decay else None
        self.steps_per_epoch = steps_per_epoch
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
        self.precision.step(
            player, self.optimisers[player], parameters, self.rules[player].clip_norm
        )
        if self.average and player == "generator":
            self.average.update()

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
        for name, optimiser in self.optimisers.items():
            for settings in optimiser.param_groups:
                settings["lr"] = self.rules[name].rate(self.step, self.steps_per_epoch)


class _Meter:
    """Where the time goes."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.steps, self.waited, self.audio = 0, 0.0, 0.0

    def waiting(self) -> AbstractContextManager[None]:
        """Around what waits for data."""
        return _Waiting(self)

    def step(self, audio: float) -> None:
        """One step was taken on so many seconds of audio."""
        self.steps += 1
        self.audio += audio

    def read(self, processes: int) -> dict[str, float]:
        """Speeds since the last reading."""
        now = time.perf_counter()
        seconds, steps = now - self.started, max(1, self.steps)
        speeds = {
            "steps_per_second": self.steps / seconds,
            "audio_seconds_per_second": processes * self.audio / seconds,
            "data_seconds_per_step": self.waited / steps,
        }
        self.started, self.steps, self.waited, self.audio = now, 0, 0.0, 0.0
        return speeds


class _Waiting(AbstractContextManager[None]):
    def __init__(self, meter: _Meter) -> None:
        self.meter = meter

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.meter.waited += time.perf_counter() - self.began


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


class _Shares(Dataset[Any]):
    """Lets a DataLoader's workers make this process's part of whole steps."""

    def __init__(self, data: TrainingData, peers: Group, accumulate: int) -> None:
        self.data, self.accumulate = data, accumulate
        self.first, self.all = peers.rank * accumulate, peers.size * accumulate

    def __getitem__(self, step: int) -> list[Any]:
        return [self.data.batch(step, self.first + i, self.all) for i in range(self.accumulate)]


def batches(
    data: TrainingData, start: int, options: TrainingOptions, peers: Group
) -> Iterator[list[Any]]:
    """What this process learns from in each step from `start` on, in `options.accumulate` parts.

    Made by `options.workers` other processes.
    """
    return iter(
        DataLoader(
            _Shares(data, peers, options.accumulate),
            sampler=range(start, options.max_steps),
            batch_size=None,
            num_workers=options.workers,
        )
    )


def validation_steps(max_steps: int) -> set[int]:
    """Step 0, early looks at 100 and 500, and every tenth of the budget."""
    tenths = {round(max_steps * i / 10) for i in range(11)}
    return tenths | {step for step in (100, 500) if step < max_steps}


def seed_everything(seed: int, step: int, rank: int = 0) -> None:
    """Seed torch, numpy and random for one step of one process."""
    mixed = int(
        np.random.SeedSequence([seed, step, *([rank] if rank else [])]).generate_state(1)[0]
    )
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


def be_deterministic(wanted: bool) -> None:
    """Ask torch for algorithms that give the same bits at every run.

    An operation that has none warns and goes on: some padding has none on a GPU.
    """
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(wanted, warn_only=True)


def _require_even(batch_size: int, processes: int, accumulate: int) -> None:
    if batch_size % (processes * accumulate):
        raise WavewrightError(
            f"batch_size {batch_size} cannot be shared evenly by {processes} processes in "
            f"{accumulate} parts each; it must be a multiple of {processes * accumulate}"
        )
