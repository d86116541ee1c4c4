"""The training loop of every model: ask for updates, step the player they name, keep books.

What a step does depends on (seed, step) and the weights alone: batches are functions of the step,
every random generator is seeded anew at each step, and learning rates are functions of the step.
So a run that was stopped anywhere and resumed equals one that was not, bit for bit.

A step's batch may be cut into shares, one after the other (`accumulate`) and over processes
(`launching`). Their updates are asked for in lockstep, and a player steps once all have yielded it.
"""

from __future__ import annotations

import logging
import math
import multiprocessing.queues
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from wavewright.checkpoints.checkpoint import best_value, mark_best, prune
from wavewright.compute.device import pick_device, set_deterministic
from wavewright.compute.engines import require_shared_memory
from wavewright.errors import WavewrightError
from wavewright.io.progress import progress
from wavewright.models.base import Model
from wavewright.models.config import FrozenModel
from wavewright.training.amp import PrecisionName
from wavewright.training.distributed import Group, group, local_device, local_rank
from wavewright.training.health import judge
from wavewright.training.heartbeat import Heart
from wavewright.training.journal import Journal
from wavewright.training.memory import explained
from wavewright.training.nan_guard import BadStep, Guard, OnBadStep
from wavewright.training.profiler import profiler
from wavewright.training.signals import StopRequest, leave_signals_to_the_parent, stop_requests
from wavewright.training.state import Restart, Session, Validate

_NO_SHARED_MEMORY = ("shared memory", "unable to write to file", "unable to open shared")
log = logging.getLogger("wavewright")


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
        restart: step at which learning rates start anew, and the generator's rate there; None
            lets the one schedule run on.
        deterministic: use algorithms that give the same bits at every run on a GPU.
        best_by: validation metric, lower being better, whose best checkpoint is kept and marked.
        best_from: first step that can be the best.
        judged_by: validation metric, lower being better, by which the training's health is told.
        profile: steps to trace.
        on_bad_step: what to do where a loss or gradient is not finite, or a loss leaps: `stop`, or
            `skip` that step in all processes.
        loss_leap: a loss leaps at so many times its running median; None lets it.
        most_bad_steps: in a row, before skipping them becomes stopping.
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
    restart: Restart | None = None
    deterministic: bool = False
    best_by: str = ""
    best_from: NonNegativeInt = 0
    judged_by: str = ""
    profile: NonNegativeInt = 0
    on_bad_step: OnBadStep = "stop"
    loss_leap: float | None = Field(default=None, gt=1)
    most_bad_steps: PositiveInt = 10


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
        BadStep: a loss or gradient is not finite or leaps, and is not to be skipped.
        WavewrightError: memory ran out, no checkpoint in `run` is whole, or a batch cannot be
            shared evenly.
        SystemExit: 128 + signal number, after saving, when asked to stop.
    """
    device = pick_device(local_device(options.device))
    set_deterministic(options.deterministic)
    with Heart(run / "logs", local_rank()) as heart, group(device) as peers:
        _require_even(data.batch_size, peers.size, options.accumulate)
        session = Session(
            model,
            len(data),
            device,
            options.seed,
            options.precision,
            ema_decay=options.ema_decay,
            restart=options.restart,
            peers=peers,
            guard=Guard(options.on_bad_step, options.loss_leap, options.most_bad_steps),
        )
        session.resume(run)
        _Training(session, data, run, options, validate, heart).go()


class _Training:
    """One call of `train`: the loop around a session, and what it tells people."""

    def __init__(
        self,
        session: Session,
        data: TrainingData,
        run: Path,
        options: TrainingOptions,
        validate: Validate | None,
        heart: Heart,
    ) -> None:
        self.heart = heart
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
            if session.step in self.milestones:
                self._look(book, stop)
            meter = _Meter()
            source = batches(self.data, session.step, options, self.peers)
            while session.step < options.max_steps:
                with meter.waiting():
                    shares = next(source)
                logs = self._advance(book, shares)
                self.heart.took(session.step)
                with self.heart.busy("profile"):  # which is long in being written
                    traced()
                meter.step(sum(share.seconds(session.model.mel) for share in shares))
                if session.step % options.log_every == 0 or session.step == 1:
                    self._log(book, logs, meter)
                bar.advance(note=book.note if book else "")
                last = session.step == options.max_steps
                milestone = session.step in self.milestones
                # Looked at once, so that nothing stops here without a save.
                stopping = self.peers.largest(stop.signal)
                due = session.step % options.checkpoint_every == 0
                if last or stopping or due or milestone:
                    self._save()
                if stopping and not last:
                    log.warning("stopped by signal %d after saving step %d", stopping, session.step)
                    raise SystemExit(128 + stopping)
                if milestone:
                    self._look(book, stop)

    def _advance(self, book: Journal | None, shares: Sequence[Any]) -> dict[str, Tensor]:
        """Take a step, and tell of one that is bad."""
        session = self.session
        with explained(session.step, session.device, self._remedy()):
            try:
                logs = session.advance(*shares)
            except BadStep as bad:
                if book:
                    book.bad_step(bad, "stopped")
                raise
        if session.left_out and book:
            log.warning("%s: left out", session.left_out.words)
            book.bad_step(session.left_out, "left out")
        return logs

    def _log(self, book: Journal | None, logs: Mapping[str, Tensor], meter: _Meter) -> None:
        values = self.peers.mean(logs)
        speed = meter.read(self.peers.size)
        if "critic" in values and values["critic"].isfinite():
            self.critic.append(float(values["critic"]))
        if book:
            book.scalars(self.session.step, values, self.session.learning_rates(), speed)

    def _look(self, book: Journal | None, stop: StopRequest) -> None:
        """Validate what was saved, unless that was done before, and mark it if it is the best.

        A signal need not wait for the end: the next run looks again.
        """
        with self.heart.busy("validation"):
            if book and self.validate:
                step = self.session.step
                metrics: Mapping[str, float] | None
                metrics = next((line for line in book.lines() if line["step"] == step), None)
                if metrics is None:
                    with stop.nothing_to_lose():
                        metrics = self.session.validate(self.validate, book)
                if self._judge(book, metrics):
                    mark_best(self.run, step, self.options.best_by, self.best)
                    prune(self.run, keep=self.options.keep)
            self.peers.wait()

    def _judge(self, book: Journal, metrics: Mapping[str, float]) -> bool:
        by, step = self.options.best_by, self.session.step
        if self.critic:
            self.critics.append(math.fsum(self.critic) / len(self.critic))
            self.critic = []
        verdict = judge(book.lines(), self.options.judged_by or by, self.critics)
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
        eligible = by in metrics and step >= max(1, self.options.best_from)
        if not eligible or not metrics[by] < best_value(self.run, by, step):
            return False
        self.best = metrics[by]
        return True

    def _save(self) -> None:
        if self.peers.first:
            with self.heart.busy("saving"):
                self.session.save(self.run)
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
        return max(0, min(self.options.profile, left)) if self.peers.first else 0


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
    if options.workers:
        require_shared_memory("set workers to 0")
    with _shared_memory_told(options.workers):
        source = iter(
            DataLoader(
                _Shares(data, peers, options.accumulate),
                sampler=range(start, options.max_steps),
                batch_size=None,
                num_workers=options.workers,
                worker_init_fn=_start_loading,
            )
        )
    while True:
        with _shared_memory_told(options.workers):
            shares = next(source, None)
        if shares is None:
            return
        yield shares


def _start_loading(number: int) -> None:
    """In a process that loads data, first of all."""
    leave_signals_to_the_parent(number)
    queue: Any = multiprocessing.queues.Queue
    queue._on_queue_feeder_error = staticmethod(_not_handed_over)


def _not_handed_over(_error: Exception, _batch: object) -> None:
    """A batch had no room in /dev/shm: end as the system would end it, or it is waited for ever."""
    signal.raise_signal(signal.SIGBUS)


@contextmanager
def _shared_memory_told(workers: int) -> Iterator[None]:
    """Processes that load data hand it over in /dev/shm, and a container's is often too small."""
    try:
        yield
    except RuntimeError as error:
        told = f"{error} {error.__cause__ or error.__context__ or ''}"
        if not workers or not any(words in told for words in _NO_SHARED_MEMORY):
            raise
        raise WavewrightError(
            f"/dev/shm: no room for what {workers} processes load ({error}). Make it larger "
            "(docker run --shm-size) or set workers to 0, which needs none"
        ) from error


def validation_steps(max_steps: int) -> set[int]:
    """Step 0, early looks at 100 and 500, and every tenth of the budget."""
    tenths = {round(max_steps * i / 10) for i in range(11)}
    return tenths | {step for step in (100, 500) if step < max_steps}


def _require_even(batch_size: int, processes: int, accumulate: int) -> None:
    if batch_size % (processes * accumulate):
        raise WavewrightError(
            f"batch_size {batch_size} cannot be shared evenly by {processes} processes in "
            f"{accumulate} parts each; it must be a multiple of {processes * accumulate}"
        )
