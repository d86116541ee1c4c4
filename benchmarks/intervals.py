"""Coverage of the reports' 95 % intervals: share that holds the true mean.

    python benchmarks/intervals.py [--samples 2000] [--n 8 20 50 200]

Many samples are drawn of values whose mean is known (normal, and log-normal with sigma 1, as skewed
as error metrics get), and the interval of each is made as `wavewright.evaluation.statistics` does
and as a percentile bootstrap from the same resamples, as most toolkits do. The standard error of a
share near 95 % is 0.5 points at 2,000 samples.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / root) for root in ("pipeline", "stages")]

import numpy as np

from wavewright.evaluation.statistics import RESAMPLES, estimate_mean

Draw = Callable[[np.random.Generator, int], np.ndarray]
KINDS: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, n: rng.normal(size=n), 0.0),
    "log-normal": (lambda rng, n: rng.lognormal(size=n), math.exp(0.5)),
}


def coverage(kind: str, n: int, samples: int) -> tuple[float, float, float]:
    """Shares held by our interval and by percentiles, and how much wider ours is at the median."""
    draw, mean = KINDS[kind]
    rng = np.random.default_rng((n, len(kind)))
    counts = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES) / n
    ours, plain, widths = 0, 0, []
    for _ in range(samples):
        values = draw(rng, n)
        found = estimate_mean(values.tolist())
        low, high = np.percentile(counts @ values, [2.5, 97.5])
        assert found.low is not None
        assert found.high is not None
        ours += found.low <= mean <= found.high
        plain += low <= mean <= high
        widths.append((found.high - found.low) / (high - low))
    return ours / samples, plain / samples, float(np.median(widths))


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--n", type=int, nargs="+", default=[8, 20, 50, 200])
    parser.add_argument("--quick", action="store_true", help="toy sizes: to see it run")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        parser.set_defaults(samples=10, n=[8, 20])
        arguments = parser.parse_args(argv)
    print(
        "| values | n | ours | percentiles | width, ours / percentiles |\n|---|---:|---:|---:|---:|"
    )
    for kind in KINDS:
        for n in arguments.n:
            ours, plain, width = coverage(kind, n, arguments.samples)
            print(f"| {kind} | {n} | {ours:.1%} | {plain:.1%} | {width:.2f} |", flush=True)


if __name__ == "__main__":
    main()
