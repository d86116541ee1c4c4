"""The `wavewright` command: its commands in groups, and how errors end it.

Each command stands in a module of its own kind; nothing heavy is imported until one is run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from wavewright.cli.catalogue import config, list_plugins, new
from wavewright.cli.convert import export, import_
from wavewright.cli.doctor import doctor
from wavewright.cli.evaluate import compare, evaluate
from wavewright.cli.help import HelpCommand, HelpGroup
from wavewright.cli.listening import listening_test, ratings
from wavewright.cli.options import print_line
from wavewright.cli.run import clean, run, status, verify
from wavewright.cli.say import say
from wavewright.cli.vocode import copy, sample, vocode
from wavewright.errors import WavewrightError, os_errors_as_user_errors

app = typer.Typer(
    cls=HelpGroup,
    help="Train, compare and ship neural vocoders.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Run recipes": {
        "run": run,
        "status": status,
        "verify": verify,
        "clean": clean,
        "new": new,
    },
    "Make sound": {"vocode": vocode, "say": say, "copy": copy, "sample": sample},
    "Compare": {
        "evaluate": evaluate,
        "compare": compare,
        "listening-test": listening_test,
        "ratings": ratings,
    },
    "Work with other toolkits": {"import": import_, "export": export, "doctor": doctor},
    "Look up": {"list": list_plugins, "config": config},
}
"""Every command by its group, in the order of the help page."""


def _register(commands: dict[str, dict[str, Any]]) -> None:
    for group, members in commands.items():
        for name, function in members.items():
            app.command(name, cls=HelpCommand, rich_help_panel=group)(function)


_register(COMMANDS)


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks of expected errors.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if debug:
        os.environ["WAVEWRIGHT_DEBUG"] = "1"
    if version:
        from wavewright._version import __version__

        print_line(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; an expected error is a sentence on stderr and an exit code."""
    try:
        with os_errors_as_user_errors("the output"):
            app()
    except WavewrightError as error:
        if os.environ.get("WAVEWRIGHT_DEBUG"):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
