"""Child process that runs one unit of one stage: `python -m wavewright.runner.worker JOB.json`.

The runner starts it, so that a stage's memory, threads and crashes stay its own.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from wavewright import registry
from wavewright.compute.engines import use_engine
from wavewright.errors import WavewrightError, is_out_of_memory, os_errors_as_user_errors
from wavewright.stage import Stage


def main() -> int:
    """Run the job; an expected error is one line, any other a traceback."""
    path = Path(sys.argv[1])
    job = json.loads(path.read_text())
    rank = int(os.environ.get("RANK", "0"))
    level = logging.INFO if rank == 0 else logging.WARNING  # one of a group does the talking
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    for noisy in ("matplotlib", "numba", "fontTools"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    threading.excepthook = _thread_failed
    stage: Stage = registry.find("stages", job["stage"])
    paths = {
        name: TypeAdapter(Path | dict[str, Path] | None).validate_python(value)
        for name, value in job["paths"].items()
    }
    options = stage.options.model_validate(job["options"])
    values = {name: getattr(options, name) for name in type(options).model_fields}
    if _needs_group(values) and "WORLD_SIZE" not in os.environ:
        return _run_in_group(path, values)
    parallel = values.get("jobs", 1) != 1
    backend = job.get("backend", "loky") if parallel else "loky"
    try:
        where = paths[stage.output]
        with (
            os_errors_as_user_errors(where),
            use_engine(backend, job.get("scheduler", ""), values.get("jobs")),
        ):
            stage.function(**paths, **stage.arguments(options))
    except WavewrightError as error:
        print(f"error: {error}", file=sys.stderr)
        if "WORLD_SIZE" in os.environ:
            _error_file(path).write_text(f"{error.exit_code} {error}")
        if os.environ.get("WAVEWRIGHT_DEBUG"):
            traceback.print_exc()
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        print(
            f"error: stage {stage.name}: memory ran out; lower the batch size or the jobs. What is "
            "finished is kept, and the same command goes on",
            file=sys.stderr,
        )
        return WavewrightError.exit_code
    return 0


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    """Ignore a thread's OSError, which was reported elsewhere; show any other error."""
    if not isinstance(failed.exc_value, OSError) or os.environ.get("WAVEWRIGHT_DEBUG"):
        threading.__excepthook__(failed)


def _needs_group(values: dict[str, Any]) -> bool:
    """True if a training needs supervised processes."""
    if "rendezvous" not in values:
        return False
    return bool(values["gpus"] * values["nodes"] > 1 or values.get("max_restarts"))


def _run_in_group(path: Path, values: dict[str, Any]) -> int:
    """Run the job in a process group; report the error of the process that failed."""
    from wavewright.training.launch import MAX_RESTARTS, join_command, launch, launch_on_machines

    command = ["wavewright.runner.worker", str(path)]
    gpus, nodes, rendezvous = values["gpus"], values["nodes"], values["rendezvous"]
    if nodes > 1 and not rendezvous:
        raise WavewrightError("nodes above 1 need rendezvous: HOST:PORT, where the machines meet")
    _error_file(path).unlink(missing_ok=True)
    if nodes > 1:
        join = join_command(str(path.absolute()), gpus=gpus, nodes=nodes, rendezvous=rendezvous)
        print(f"waiting for {nodes - 1} more machines; there run\n  {join}", file=sys.stderr)
        code = launch_on_machines(command, gpus=gpus, nodes=nodes, rendezvous=rendezvous)
    else:
        relaunches_option = values.get("max_restarts")
        max_restarts = MAX_RESTARTS if relaunches_option is None else relaunches_option
        code = launch(command, gpus=gpus, logs=path.parent, max_restarts=max_restarts)
    if code and _error_file(path).is_file():
        exit_code, _, words = _error_file(path).read_text().partition(" ")
        print(f"error: {words}", file=sys.stderr)
        return int(exit_code)
    return code


def _error_file(path: Path) -> Path:
    """File in which a process of a group leaves the error that ended it."""
    return path.with_suffix(".error")


if __name__ == "__main__":
    sys.exit(main())
