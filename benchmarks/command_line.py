"""Start-up time of the command line, and time of a run with nothing to do.

    python benchmarks/command_line.py [RECIPE] [--runs 11]

Times whole processes, alternating the commands, and prints medians. RECIPE must have been run to
its end (default: mini).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table of medians in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", nargs="?", default="mini")
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--quick", action="store_true", help="toy sizes: to see it run")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        parser.set_defaults(runs=1)
        arguments = parser.parse_args(argv)
    commands = {
        "python -c pass": ["-c", "pass"],
        "wavewright --help": ["-m", "wavewright", "--help"],
        "wavewright list": ["-m", "wavewright", "list"],
        "wavewright run --explain": ["-m", "wavewright", "run", arguments.recipe, "--explain"],
        "wavewright run, nothing to do": ["-m", "wavewright", "run", arguments.recipe],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(arguments.runs + 1):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            if turn:  # the first turn warms the caches
                times[name].append(1000 * (time.perf_counter() - started))
    print("| command | median ms | min | max |\n|---|---:|---:|---:|")
    for name, values in times.items():
        print(
            f"| {name} | {statistics.median(values):.0f} | {min(values):.0f} | {max(values):.0f} |"
        )


if __name__ == "__main__":
    main()
