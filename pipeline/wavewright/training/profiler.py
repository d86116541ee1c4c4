"""Trace of some training steps by torch's profiler."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from wavewright.io.files import write_text

_WARM_UP = 2  # steps before the traced ones
log = logging.getLogger("wavewright")


@contextmanager
def profiler(folder: Path, steps: int) -> Iterator[Callable[[], None]]:
    """Trace `steps` steps after two warm-up steps.

    Args:
        folder: gets `trace.json`, for chrome://tracing or ui.perfetto.dev, and `operations.txt`,
            the operations that took longest.
        steps: 0 traces nothing.

    Yields:
        A function to call at the end of every step.
    """
    if steps == 0:
        yield lambda: None
        return
    from torch.profiler import ProfilerActivity, profile, schedule

    folder.mkdir(parents=True, exist_ok=True)
    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)

    def write(run: profile) -> None:
        run.export_chrome_trace(str(folder / "trace.json"))
        first = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        write_text(folder / "operations.txt", run.key_averages().table(sort_by=first, row_limit=40))
        log.info("profile of %d steps: %s", steps, folder)

    waits = schedule(wait=_WARM_UP - 1, warmup=1, active=steps, repeat=1)
    with profile(activities=activities, schedule=waits, on_trace_ready=write) as run:
        yield run.step
