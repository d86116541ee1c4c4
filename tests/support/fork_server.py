"""Server that runs `wavewright` commands in forks of itself, which have nothing left to import.

A command line and the stages that it runs start in hundredths of a second instead of a third each.
They are processes as usual, with folder, environment, output, signals and exit codes of their own;
what depends on how Python itself starts is tested with real ones.
"""

from __future__ import annotations

import atexit
import gc
import json
import logging
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from wavewright.io import fingerprint

_ROOT = Path(__file__).resolve().parents[2]
#: Imported before the first fork: what every command and every stage of shards loads.
_PRELOADED = (
    "email.parser",
    "pandas",
    "pyarrow.parquet",
    "pydantic.json_schema",
    "pydantic.types",
    "typer._adapters",
    "wavewright.cli.catalogue",
    "wavewright.cli.run",
    "wavewright.compute.engines",
    "wavewright.data.shards",
    "wavewright.runner.clean",
    "wavewright.runner.run",
    "wavewright.runner.worker",
)


class ForkServer:
    """Client of one server process.

    Args:
        environment: environment of the server; commands bring their own.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fork_server"],
            cwd=_ROOT,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], scratch: Path
    ) -> subprocess.CompletedProcess[str]:
        """Run `wavewright ARGUMENTS` and wait.

        Args:
            arguments: the command line, without the program.
            folder: working folder of the command.
            environment: the command's whole environment.
            scratch: folder for files of its output.
        """
        files = [scratch / "stdout.txt", scratch / "stderr.txt"]
        request = {
            "arguments": list(arguments),
            "folder": str(folder),
            "environment": dict(environment),
            "files": [str(path) for path in files],
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        output, errors = (path.read_text(encoding="utf8") for path in files)
        return subprocess.CompletedProcess(["wavewright", *arguments], code, output, errors)

    def close(self) -> None:
        """End the server."""
        self._process.communicate()


class _ForkedWorker:
    """Stand-in for the `Popen` of a stage's process: a fork instead of a new Python."""

    def __init__(
        self, command: Sequence[str], *, stderr: int, env: Mapping[str, str], **options: Any
    ) -> None:
        assert list(command[1:3]) == ["-m", "wavewright.runner.worker"]
        assert stderr == subprocess.STDOUT
        assert options["start_new_session"]
        source, sink = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            os.environ.clear()
            os.environ.update(env)
            sys.argv = ["worker", *command[3:]]
            from wavewright.runner.worker import main

            _finish(lambda: sys.exit(main()))
        os.close(sink)
        self.stdout = os.fdopen(source, "rb")

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def _finish(function: Callable[[], object]) -> NoReturn:
    """Call a function and end this fork with its exit code, as Python ends a program."""
    code: int | str | None = 1
    try:
        function()
        code = 0
    except SystemExit as exit_:
        code = exit_.code
    except BaseException:
        traceback.print_exc()
    finally:
        if isinstance(code, str):
            print(code, file=sys.stderr)
        threading._shutdown()  # type: ignore[attr-defined]  # lets executors end their workers
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1 if code else 0)


def _run(request: Mapping[str, Any]) -> None:
    """Become the process of one command."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for number, path in enumerate(request["files"], 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    roots = request["environment"]["PYTHONPATH"].split(os.pathsep)
    others = [path for path in sys.path if path not in (*roots, str(_ROOT))]
    sys.path[:] = [request["folder"], *roots, *others]
    logging.getLogger().handlers.clear()
    main = sys.modules["__main__"]
    main.__spec__, main.__file__ = None, None  # worker processes need not import this module

    from wavewright.cli import app
    from wavewright.runner import child

    sys.argv = [str(Path(app.__file__).parents[1] / "__main__.py"), *request["arguments"]]
    names = {name: getattr(subprocess, name) for name in ("DEVNULL", "PIPE", "STDOUT")}
    vars(child)["subprocess"] = SimpleNamespace(Popen=_ForkedWorker, **names)
    app.main()


def _serve() -> None:
    """Answer every request on stdin with the exit code of its fork."""
    for name in _PRELOADED:
        __import__(name)
    fingerprint.code_fingerprint(["wavewright.data.shards"])  # reads sources of every stage
    fingerprint._version.cache_clear()
    gc.freeze()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _finish(partial(_run, json.loads(line)))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    _serve()
