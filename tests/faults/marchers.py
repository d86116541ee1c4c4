"""Processes that march in step, a few steps of nothing, and then go wrong as they were told.

    python -m tests.faults.marchers RUN FAULT

Process 1 goes wrong after step 6, at the first start only unless FAULT begins with `always-`.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from pathlib import Path

from wavewright.training.heartbeat import Heartbeat

STEPS = 12


def newest(run: Path) -> int:
    """The step of the newest checkpoint."""
    return max((int(path.name.removeprefix("step-")) for path in run.glob("step-*")), default=0)


def go_wrong(fault: str) -> None:
    """Die, stand still or give up."""
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif fault == "hanging":
        time.sleep(600)
    elif fault == "crashing":
        sys.exit(1)
    elif fault == "refusing":
        sys.exit(2)


def main() -> None:
    """March from the newest checkpoint on; every third step is saved."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    run, fault = Path(sys.argv[1]), sys.argv[2]
    rank = int(os.environ["RANK"])
    with (run / "starts.txt").open("a") as file:
        file.write(f"{rank} {os.getpid()} {os.environ['WAVEWRIGHT_MEETING']}\n")
    started = len((run / "starts.txt").read_text().splitlines())
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    again = fault.startswith("always-")
    with Heartbeat(run / "logs", rank, every=0.1) as heartbeat:
        for step in range(newest(run) + 1, STEPS + 1):
            time.sleep(0.05)
            heartbeat.record_step(step)
            if rank == 1 and (step >= 6 if again else step == 6 and started <= 2):
                go_wrong(fault.removeprefix("always-"))
            while rank == 0 and step > 6 and not (run / "passed").exists():
                time.sleep(0.05)  # for process 1, as a sum over all would
                if asked:
                    break
            if rank == 1 and step == 7:
                (run / "passed").touch()
            if rank == 0 and (step % 3 == 0 or asked):
                (run / f"step-{step:08d}").mkdir(exist_ok=True)
            if asked:
                sys.exit(143)


if __name__ == "__main__":
    main()
