"""Run one function over many items with joblib, with a progress bar.

The engine is joblib's: loky unless `joblib.parallel_config` says otherwise; loky shares the
processor's threads out among the workers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from wavewright.progress import progress

Item = TypeVar("Item")
Result = TypeVar("Result")


def parallel_map(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    jobs: int,
    what: str,
    unit: str = "shards",
) -> list[Result]:
    """`[function(item) for item in items]`, in order, by `jobs` workers, with a progress bar.

    `function` and `items` must be picklable. With one job everything stays in this process; a
    negative number of jobs is one per processor.
    """
    workers = min(jobs if jobs > 0 else os.cpu_count() or 1, len(items))
    results: list[Result] = []
    with progress(what, total=len(items), unit=unit) as bar:
        if workers <= 1:
            for item in items:
                results.append(function(item))
                bar.advance()
            return results
        import joblib

        tasks = (joblib.delayed(function)(item) for item in items)
        for result in joblib.Parallel(n_jobs=workers, return_as="generator")(tasks):
            results.append(result)
            bar.advance()
    return results
