"""Logs of a training: TensorBoard, the validation curve, the progress bar's note."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from torch import Tensor

from wavewright.errors import format_os_error
from wavewright.io.files import atomic_write, write_text
from wavewright.training.nan_guard import BadStep

log = logging.getLogger("wavewright")


class TrainingLogger:
    """Writer of TensorBoard events below `run/logs`, and of `run/validation.jsonl` with its plot.

    The curve holds one JSON object per validation, with `step` and the metrics. Lines past the
    step that a run resumes from are dropped, so that every step is there once.
    """

    def __init__(self, run: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        run.mkdir(parents=True, exist_ok=True)
        self.curve = run / "validation.jsonl"
        self._rewrite([line for line in self.lines() if line["step"] <= step])
        folder = run / "logs" / "tensorboard"
        self.tensorboard: Any = _Dispensable(
            folder, lambda: SummaryWriter(str(folder), purge_step=step)
        )
        self.times = run / "logs" / "times.jsonl"
        self.started = time.monotonic()
        self.note = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.tensorboard.close()
        lines = self.lines()
        if len(lines) > 1:
            draw_curves(lines, self.curve.with_name("validation.png"))

    def scalars(
        self,
        step: int,
        logs: Mapping[str, Tensor],
        rates: Mapping[str, float],
        speeds: Mapping[str, float],
    ) -> None:
        """Log losses, learning rates and speeds of one step."""
        values = {name: float(value) for name, value in logs.items()}
        for name, value in values.items():
            self.tensorboard.add_scalar(f"train/{name}", value, step)
        for name, rate in rates.items():
            self.tensorboard.add_scalar(f"learning_rate/{name}", rate, step)
        for name, speed in speeds.items():
            self.tensorboard.add_scalar(f"speed/{name}", speed, step)
        words = [f"{name} {value:.3f}" for name, value in values.items()]
        if speeds:
            words += [
                f"{speeds['audio_seconds_per_second']:.3g}x real time",
                f"data {speeds['data_seconds_per_step']:.2g} s/step",
            ]
        self.note = " ".join(words)

    def validation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics of one validation, for the curve and TensorBoard."""
        for name, value in metrics.items():
            self.tensorboard.add_scalar(f"validation/{name}", value, step)
        earlier = [line for line in self.lines() if line["step"] < step]
        self._rewrite([*earlier, {"step": step, **metrics}])
        seconds = time.monotonic() - self.started
        self._append(self.times, {"step": step, "seconds": seconds})

    def audio(self, name: str, wav: Tensor, sample_rate: int, step: int) -> None:
        """Log a waveform (samples,) to TensorBoard."""
        self.tensorboard.add_audio(name, wav[None].cpu(), step, sample_rate=sample_rate)

    def image(self, name: str, values: Tensor, step: int) -> None:
        """Log an array (height, width) as an image in viridis, low rows at the bottom."""
        from matplotlib import colormaps

        grid = values.detach().cpu().float().numpy()[::-1]
        span = max(float(grid.max() - grid.min()), 1e-9)
        rgb = colormaps["viridis"]((grid - grid.min()) / span)[..., :3]
        self.tensorboard.add_image(name, rgb.astype(np.float32), step, dataformats="HWC")

    def text(self, name: str, text: str, step: int) -> None:
        """Log a text to TensorBoard."""
        self.tensorboard.add_text(name, text, step)

    def bad_step(self, bad: BadStep, action: str) -> None:
        """Record a bad step with all its utterances in `logs/bad_steps.jsonl`."""
        line = {
            "step": bad.step,
            "reason": bad.reason,
            "action": action,
            "utterances": bad.utterances,
        }
        self._append(self.curve.parent / "logs" / "bad_steps.jsonl", line)
        self.text("bad step", bad.summary, bad.step)

    def lines(self) -> list[dict[str, Any]]:
        """Validations so far, in order."""
        if not self.curve.is_file():
            return []
        return [json.loads(line) for line in self.curve.read_text().splitlines()]

    def _append(self, path: Path, line: Mapping[str, Any]) -> None:
        """Append a line to a log; a full disk only warns."""
        try:
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            log.warning(
                "%s; the training continues without that line", format_os_error(error, path)
            )

    def _rewrite(self, lines: list[dict[str, Any]]) -> None:
        write_text(self.curve, "".join(json.dumps(line) + "\n" for line in lines))


class _Dispensable:
    """TensorBoard writer that is dropped, with a warning, once its disk takes no more."""

    def __init__(self, folder: Path, make: Callable[[], Any]) -> None:
        self.folder, self.writer = folder, None
        self.writer = self._attempt(make)

    def __getattr__(self, name: str) -> Callable[..., None]:
        def call(*args: Any, **kwargs: Any) -> None:
            if self.writer is not None:
                self._attempt(lambda: getattr(self.writer, name)(*args, **kwargs))

        return call

    def _attempt(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except OSError as error:
            self.writer = None
            log.warning(
                "%s; the training continues without TensorBoard",
                format_os_error(error, self.folder),
            )
            return None


def draw_curves(lines: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw every metric of a validation curve over the steps, one panel each."""
    from matplotlib.figure import Figure

    names = [name for name in lines[-1] if name != "step"]
    if not names:  # no dev utterances
        return
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(4.5 * columns, 2.8 * rows), layout="constrained")
    for number, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, number + 1)
        points = [(line["step"], line[name]) for line in lines if name in line]
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, color="#0b6470")
        axes.set_title(name.replace("_", " "), fontsize=10)
        axes.set_xlabel("step", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    with atomic_write(path) as scratch:
        figure.savefig(scratch, format="png", dpi=110, metadata={"Software": None})
