"""Training loop of every model: ask for updates, step the player they name, log, save, validate.

What a step does depends on (seed, step) and the weights alone: batches are functions of the step,
every random generator is seeded anew at each step, and learning rates are functions of the step.
So a run that was stopped anywhere and resumed equals one that was not, bit for bit.

A step's batch may be cut into shares, one after the other (`accumulate`) and over processes
(`launch`). Their updates are asked for in lockstep, and a player steps once all have yielded it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from wavewright.checkpoints.checkpoint import best_value, mark_best, prune
from wavewright.compute.device import pick_device, set_deterministic
from wavewright.errors import WavewrightError
from wavewright.io.progress import progress
from wavewright.models.base import Model
from wavewright.training.distributed import join_world, local_device, local_rank
from wavewright.training.health import assess_health
from wavewright.training.heartbeat import Heartbeat
from wavewright.training.loader import TrainingData, batches
from wavewright.training.logger import TrainingLogger
from wavewright.training.memory import oom_hint
from wavewright.training.meter import Throughput
from wavewright.training.nan_guard import BadStep, LossGuard
from wavewright.training.optimizers import Restart
from wavewright.training.options import TrainingOptions
from wavewright.training.profiler import profiler
from wavewright.training.signals import StopRequest, stop_requests
from wavewright.training.state import TrainState, Validate

log = logging.getLogger("wavewright")


class Selection(NamedTuple):
    """Validation metrics, lower being better, that pick the best checkpoint and tell the health.

    Attributes:
        best_by: metric whose best checkpoint is kept and marked; "" marks none.
        best_from: first step that can be the best.
        health_metric: metric by which the training's health is assessed; "" is `best_by`.
    """

    best_by: str = ""
    best_from: int = 0
    health_metric: str = ""


def train(
    model: Model,
    data: TrainingData,
    *,
    run: Path,
    options: TrainingOptions,
    validate: Validate | None = None,
    selection: Selection | None = None,
    ema_decay: float | None = None,
    restart: Restart | None = None,
) -> None:
    """Train until `options.max_steps`, resuming from the newest checkpoint in `run`.

    Args:
        model: fresh, or holding weights to start from.
        data: batches by step.
        run: folder of checkpoints, `validation.jsonl` and `logs/`.
        options: budget, seed, intervals, device.
        validate: called at `validation_steps`, in eval mode and in the first process only; returns
            metrics by name.
        selection: metrics that pick the best checkpoint and assess the training's health.
        ema_decay: decay of the averaged weights that inference uses; None is the model's own.
        restart: step at which learning rates start anew, and the generator's rate there; None
            continues the one schedule.

    Raises:
        BadStep: a loss or gradient is not finite or spikes, and is not to be skipped.
        WavewrightError: memory ran out, all checkpoints in `run` are damaged, or a batch cannot be
            shared evenly.
        SystemExit: 128 + signal number, after saving, when asked to stop.
    """
    device = pick_device(local_device(options.device))
    set_deterministic(options.deterministic)
    with Heartbeat(run / "logs", local_rank()) as heartbeat, join_world(device) as world:
        _require_even(data.batch_size, world.size, options.accumulate)
        state = TrainState(
            model,
            len(data),
            device,
            options.seed,
            options.precision,
            ema_decay=ema_decay,
            restart=restart,
            world=world,
            guard=LossGuard(options.on_bad_step, options.loss_spike, options.max_bad_steps),
        )
        state.resume(run)
        _Loop(state, data, run, options, validate, selection or Selection(), heartbeat).run_steps()


class _Loop:
    """One call of `train`: the steps around a TrainState, with logs, saves and validations."""

    def __init__(
        self,
        state: TrainState,
        data: TrainingData,
        run: Path,
        options: TrainingOptions,
        validate: Validate | None,
        selection: Selection,
        heartbeat: Heartbeat,
    ) -> None:
        self.state, self.data, self.run, self.options = state, data, run, options
        self.validate, self.selection, self.heartbeat = validate, selection, heartbeat
        self.world = state.world
        self.milestones = validation_steps(options.max_steps) if validate else set()
        self.critic: list[float] = []  # its losses since the last validation
        self.critic_means: list[float] = []  # one per validation
        self.best = math.inf

    def run_steps(self) -> None:
        """Take all steps that are left; log, save and validate on the way."""
        state, options = self.state, self.options
        log_files: AbstractContextManager[TrainingLogger | None] = nullcontext()
        if self.world.is_main:
            log_files = TrainingLogger(self.run, state.step)
        with (
            log_files as logger,
            stop_requests() as stop,
            progress(
                state.model.name,
                total=options.max_steps,
                done=state.step,
                unit="steps",
                enabled=self.world.is_main,
            ) as bar,
            profiler(self.run / "logs" / "profile", self._profiled_steps()) as trace_step,
        ):
            if state.step < options.max_steps:
                self._log_memory()
            if state.step in self.milestones:
                self._validate(logger, stop)
            meter = Throughput()
            source = batches(self.data, state.step, options, self.world)
            while state.step < options.max_steps:
                with meter.waiting():
                    shares = next(source)
                logs = self._advance(logger, shares)
                self.heartbeat.record_step(state.step)
                with self.heartbeat.busy("profile"):  # a trace takes long to write
                    trace_step()
                meter.record_step(sum(share.seconds(state.model.mel_spec) for share in shares))
                if state.step % options.log_every == 0 or state.step == 1:
                    self._log(logger, logs, meter)
                bar.advance(note=logger.note if logger else "")
                last = state.step == options.max_steps
                milestone = state.step in self.milestones
                # Read the signal once, so that nothing stops here without a save.
                stopping = self.world.max(stop.signal)
                due = state.step % options.checkpoint_every == 0
                if last or stopping or due or milestone:
                    self._save()
                if stopping and not last:
                    log.warning("stopped by signal %d after saving step %d", stopping, state.step)
                    raise SystemExit(128 + stopping)
                if milestone:
                    self._validate(logger, stop)

    def _advance(self, logger: TrainingLogger | None, shares: Sequence[Any]) -> dict[str, Tensor]:
        """Run one optimizer step; log a skipped one."""
        state = self.state
        with oom_hint(state.step, state.device, self._memory_remedy()):
            try:
                logs = state.advance(*shares)
            except BadStep as bad:
                if logger:
                    logger.bad_step(bad, "stopped")
                raise
        if state.skipped and logger:
            log.warning("%s: skipped", state.skipped.summary)
            logger.bad_step(state.skipped, "left out")
        return logs

    def _log(
        self, logger: TrainingLogger | None, logs: Mapping[str, Tensor], meter: Throughput
    ) -> None:
        values = self.world.mean(logs)
        speeds = meter.read(self.world.size)
        if "critic" in values and values["critic"].isfinite():
            self.critic.append(float(values["critic"]))
        if logger:
            logger.scalars(self.state.step, values, self.state.learning_rates(), speeds)

    def _validate(self, logger: TrainingLogger | None, stop: StopRequest) -> None:
        """Validate the step just saved, unless an earlier run did, and mark it if it is the best.

        A signal ends it at once: the next run validates this step again.
        """
        with self.heartbeat.busy("validation"):
            if logger and self.validate:
                step = self.state.step
                metrics: Mapping[str, float] | None
                metrics = next((line for line in logger.lines() if line["step"] == step), None)
                if metrics is None:
                    with stop.interruptible():
                        metrics = self.state.validate(self.validate, logger)
                self._log_health(logger)
                if self._is_best(metrics):
                    mark_best(self.run, step, self.selection.best_by, self.best)
                    prune(self.run, keep=self.options.keep_checkpoints)
            self.world.barrier()

    def _log_health(self, logger: TrainingLogger) -> None:
        if self.critic:
            self.critic_means.append(math.fsum(self.critic) / len(self.critic))
            self.critic = []
        metric = self.selection.health_metric or self.selection.best_by
        health = assess_health(logger.lines(), metric, self.critic_means)
        if health is None:
            return
        log.log(
            logging.INFO if health.state == "healthy" else logging.WARNING,
            "%s: step %d of %d: %s",
            self.state.model.name,
            self.state.step,
            self.options.max_steps,
            health,
        )
        logger.text("health", str(health), self.state.step)

    def _is_best(self, metrics: Mapping[str, float]) -> bool:
        by, step = self.selection.best_by, self.state.step
        eligible = by in metrics and step >= max(1, self.selection.best_from)
        if not eligible or not metrics[by] < best_value(self.run, by, step):
            return False
        self.best = metrics[by]
        return True

    def _save(self) -> None:
        if self.world.is_main:
            with self.heartbeat.busy("saving"):
                self.state.save(self.run)
                prune(self.run, keep=self.options.keep_checkpoints)

    def _log_memory(self) -> None:
        """Log the estimate of memory; warn if the first step will hardly fit."""
        whole = self.data.batch_size
        share = whole // (self.world.size * self.options.accumulate)
        samples = {1: self.data.batch(0, 0, whole)}
        if share > 1 and whole % 2 == 0:
            samples[2] = self.data.batch(0, 0, whole // 2)
        with oom_hint(self.state.step, self.state.device, self._memory_remedy()):
            needed = self.state.estimate_memory(samples, share)
        if self.world.is_main:
            log.info("%s: memory: %s", self.state.model.name, needed)
            if not needed.fits:
                log.warning("that is more than is free: %s", self._memory_remedy())

    def _memory_remedy(self) -> str:
        share = self.data.batch_size // (self.world.size * self.options.accumulate)
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
        left = self.options.max_steps - self.state.step
        return max(0, min(self.options.profile, left)) if self.world.is_main else 0


def validation_steps(max_steps: int) -> set[int]:
    """Steps at which a training validates: 0, 100, 500, and every tenth of the budget."""
    tenths = {round(max_steps * i / 10) for i in range(11)}
    return tenths | {step for step in (100, 500) if step < max_steps}


def _require_even(batch_size: int, processes: int, accumulate: int) -> None:
    if batch_size % (processes * accumulate):
        raise WavewrightError(
            f"batch_size {batch_size} cannot be shared evenly by {processes} processes in "
            f"{accumulate} parts each; it must be a multiple of {processes * accumulate}"
        )
