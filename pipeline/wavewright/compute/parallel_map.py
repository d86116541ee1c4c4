"""Run one function over many items in worker processes, with a progress bar.

The engine is the one that `joblib.parallel_config` selects around the call: loky (the default) or
dask. The tasks of a killed worker are tried again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from wavewright.compute import engines
from wavewright.errors import WavewrightError, is_out_of_memory
from wavewright.io.progress import Progress, progress

Item = TypeVar("Item")
Result = TypeVar("Result")
_DEATHS = 3  # workers that an item may kill
_SHOWN = 160  # characters of an item in a message
log = logging.getLogger("wavewright")


def parallel_map(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    jobs: int,
    what: str,
    unit: str = "shards",
    on_crash: Callable[[Item], Result] | None = None,
) -> list[Result]:
    """Map a function over items with `jobs` workers and a progress bar; results in order.

    Args:
        function: picklable; it may be run again for an item whose worker died.
        items: each is fetched only when it is submitted, and must be picklable.
        jobs: worker processes; 1 stays in this process, a negative number is one per processor
            (of the cluster, with dask).
        what: name of the work, for the progress bar and for errors.
        unit: plural name of the items.
        on_crash: result for an item that has killed its worker three times.

    Raises:
        WavewrightError: an item has killed its worker three times and there is no `on_crash`.
    """
    width = engines.worker_count(jobs)
    workers = min(width, len(items))
    function = _NamedTask(function, what)
    with progress(what, total=len(items), unit=unit) as bar:
        # A single item that may kill its process is not run in this one.
        if width <= 1 or not items or (workers == 1 and on_crash is None):
            results = []
            for item in items:
                results.append(function(item))
                bar.advance()
            return results
        return _Map(function, items, workers, what, bar, on_crash).results()


class _NamedTask(Generic[Item, Result]):
    """Function that names the item in out-of-memory errors; picklable."""

    def __init__(self, function: Callable[[Item], Result], what: str) -> None:
        self.function, self.what = function, what

    def __call__(self, item: Item) -> Result:
        try:
            return self.function(item)
        except Exception as error:
            if isinstance(error, WavewrightError) or not is_out_of_memory(error):
                raise
            raise WavewrightError(
                f"{self.what}: {_shorten(item)}: memory ran out; fewer jobs need less. What is "
                "finished is kept, and the same command goes on"
            ) from error


class _Map(Generic[Item, Result]):
    """State of one parallel_map."""

    def __init__(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        workers: int,
        what: str,
        bar: Progress,
        on_crash: Callable[[Item], Result] | None,
    ) -> None:
        self.function, self.items, self.workers = function, items, workers
        self.what, self.bar, self.on_crash = what, bar, on_crash
        self.done: dict[int, Result] = {}
        self.deaths: Counter[int] = Counter()

    def results(self) -> list[Result]:
        """Compute all results, in order."""
        while len(self.done) < len(self.items):
            suspects = self._run([n for n in range(len(self.items)) if n not in self.done])
            if suspects:
                log.warning("%s: a worker died; trying its part again", self.what)
            for number in suspects:
                self._run_alone(number)
        return [self.done[number] for number in range(len(self.items))]

    def _run(self, indices: Sequence[int]) -> list[int]:
        """Run the wanted items; returns those that may have killed a worker."""
        try:
            for number, result in engines.run_tasks(
                self.function, self.items, indices, self.workers
            ):
                self._take(number, result)
        except engines.WorkersDied as died:
            suspects = [number for number in died.suspects if number not in self.done]
            self.deaths.update(suspects)
            return suspects
        return []

    def _run_alone(self, number: int) -> None:
        """Run one item alone, to see whether it kills its worker."""
        while self.deaths[number] < _DEATHS:
            if not self._run([number]):
                return
        item = self.items[number]
        if self.on_crash is None:
            raise WavewrightError(
                f"{self.what}: {_shorten(item)} has killed its worker process {_DEATHS} times; it "
                "may need more memory than there is, or crash a library"
            )
        self._take(number, self.on_crash(item))

    def _take(self, number: int, result: Result) -> None:
        self.done[number] = result
        self.bar.advance()


def _shorten(item: object) -> str:
    text = str(item)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def release_workers() -> None:
    """Shut down idle local workers to free their memory."""
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor(reuse=True).shutdown(wait=True)
