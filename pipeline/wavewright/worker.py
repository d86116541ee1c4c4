"""Child process that runs one unit of one stage: `python -m wavewright.worker JOB.json`.

The runner starts it, so that a stage's memory, threads and crashes stay its own.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
import traceback
from pathlib import Path

from pydantic import TypeAdapter

from wavewright import registry
from wavewright.engines import engine
from wavewright.errors import WavewrightError
from wavewright.stage import Stage


def main() -> int:
    """Run the job; an expected error is one line, any other a traceback."""
    job = json.loads(Path(sys.argv[1]).read_text())
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("matplotlib", "numba", "fontTools"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    stage: Stage = registry.find("stages", job["stage"])
    paths = {
        name: TypeAdapter(Path | dict[str, Path] | None).validate_python(value)
        for name, value in job["paths"].items()
    }
    options = stage.options.model_validate(job["options"])
    values = {name: getattr(options, name) for name in type(options).model_fields}
    parallel = values.get("jobs", 1) != 1
    backend = job.get("backend", "loky") if parallel else "loky"
    try:
        with engine(backend, job.get("scheduler", ""), values.get("jobs")):
            stage.function(**paths, **values)
    except WavewrightError as error:
        print(f"error: {error}", file=sys.stderr)
        if os.environ.get("WAVEWRIGHT_DEBUG"):
            traceback.print_exc()
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.strerror is None:  # not the system's: a fault of ours
            raise
        room = " (the disk is full)" if error.errno == errno.ENOSPC else ""
        print(f"error: {error.filename or 'a file'}: {error.strerror}{room}", file=sys.stderr)
        if os.environ.get("WAVEWRIGHT_DEBUG"):
            traceback.print_exc()
        return WavewrightError.exit_code
    except MemoryError:
        print("error: out of memory; lower the batch size or the jobs", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
