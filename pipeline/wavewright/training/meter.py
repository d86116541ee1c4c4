"""Speed of a training: steps, seconds of audio, and time spent waiting for data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Throughput:
    """Counts steps, their audio and the waits for data since the last reading."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.steps, self.waited, self.audio = 0, 0.0, 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the block's duration as waiting for data."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.waited += time.perf_counter() - began

    def record_step(self, audio_seconds: float) -> None:
        """Count one step on so many seconds of audio."""
        self.steps += 1
        self.audio += audio_seconds

    def read(self, processes: int) -> dict[str, float]:
        """Speeds since the last reading, by log tag."""
        now = time.perf_counter()
        seconds, steps = now - self.started, max(1, self.steps)
        speeds = {
            "steps_per_second": self.steps / seconds,
            "audio_seconds_per_second": processes * self.audio / seconds,
            "data_seconds_per_step": self.waited / steps,
        }
        self.started, self.steps, self.waited, self.audio = now, 0, 0.0, 0.0
        return speeds
