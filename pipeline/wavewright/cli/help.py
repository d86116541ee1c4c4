"""Help pages: whole summaries, options in groups, one example a line.

They are plain text, so that `wavewright --help` imports nothing for colors.
"""

from __future__ import annotations

import inspect
from typing import Any

from typer.core import TyperCommand, TyperGroup

_OPTIONS = "Options"
_COMMANDS = "Commands"


def split_examples(text: str) -> tuple[str, list[str]]:
    """Separate a docstring's text from the lines below its `Examples:`."""
    body, _, examples = inspect.cleandoc(text).partition("\nExamples:")
    lines = (line.strip() for line in examples.splitlines())
    return body.strip(), [line for line in lines if line]


class HelpCommand(TyperCommand):
    """A command whose help groups its options and keeps its examples one a line."""

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write what the command does."""
        body, _ = split_examples(self.help or "")
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(body)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, each group under its heading, then the examples."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                heading = getattr(param, "rich_help_panel", None) or _OPTIONS
                groups.setdefault(heading, []).append(record)
        headings = sorted(groups, key=_OPTIONS.__ne__)
        if len(groups.get(_OPTIONS, ())) == 1:  # --help alone
            headings = [*headings[1:], _OPTIONS]
        for heading in headings:
            with formatter.section(heading):
                formatter.write_dl(groups[heading])
        _, examples = split_examples(self.help or "")
        if examples:
            with formatter.section("Examples"):
                for line in examples:
                    formatter.write(f"  {line}\n")


class HelpGroup(TyperGroup):
    """The command that holds all others; lists them in groups with their whole summaries."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands by group, then the options."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            heading = getattr(command, "rich_help_panel", None) or _COMMANDS
            summary = inspect.cleandoc(command.help or "").partition("\n\n")[0]
            groups.setdefault(heading, []).append((name, summary.replace("\n", " ")))
        width = max(len(name) for name in self.commands)
        for heading, rows in groups.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), summary) for name, summary in rows])
        records = [param.get_help_record(ctx) for param in self.get_params(ctx)]
        with formatter.section(_OPTIONS):
            formatter.write_dl([record for record in records if record is not None])
