"""Options that several commands share, and what they print with."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from wavewright.runner.plan import Plan


RecipeArgument = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="A recipe.yaml, its folder, or a shipped name.",
        rich_help_panel="Recipe",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Change an option, such as train.max_steps=1000 (repeat for several).",
        rich_help_panel="Recipe",
    ),
]
VocoderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--vocoder",
        metavar="NAME",
        help="Train this vocoder instead of the recipe's (repeat for several).",
        rich_help_panel="Recipe",
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        help="Worker processes; default: one per processor.",
        rich_help_panel="Machines and processes",
    ),
]
CheckpointOption = Annotated[
    Path, typer.Option("--checkpoint", help="A run or step folder, or a .safetensors file.")
]
OutOption = Annotated[Path, typer.Option("--out", help="The WAV file to write.")]
RefineOption = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="N",
        help="Iterations that make the waveform's mel the given one; 30 are enough. For mels of "
        "recordings: predicted ones sound worse for it.",
        rich_help_panel="Synthesis",
    ),
]
SeedOption = Annotated[int, typer.Option(help="Seed of all noise.", rich_help_panel="Synthesis")]
MelPresetOption = Annotated[
    str,
    typer.Option(
        "--mel-preset",
        metavar="PRESET",
        help="Preset that the mel is in (wavewright list mels).",
        rich_help_panel="The mel",
    ),
]
KeyOption = Annotated[
    str,
    typer.Option(
        "--key", help="Name of the array, in a file with several.", rich_help_panel="The mel"
    ),
]


class Precision(StrEnum):
    """Number format of a vocoder's arithmetic."""

    float32 = "float32"
    bf16 = "bf16"
    fp16 = "fp16"
    int8 = "int8"


PrecisionOption = Annotated[
    Precision,
    typer.Option(
        help="Arithmetic of the vocoder: bf16 (fp16 on GPUs without it) is faster and a little "
        "noisier; int8 is for WaveNet and WaveRNN, a quarter of the size and faster to read.",
        rich_help_panel="Synthesis",
    ),
]


class EngineName(StrEnum):
    """Loop that makes the samples of WaveNet and WaveRNN."""

    fast = "fast"
    reference = "reference"


EngineOption = Annotated[
    EngineName,
    typer.Option(
        help="Loop of WaveNet and WaveRNN: fast is compiled, reference is the network's own code.",
        rich_help_panel="Synthesis",
    ),
]
SpeakerOption = Annotated[
    str,
    typer.Option(
        help="Speaker, of a model with several; default: the first.", rich_help_panel="Synthesis"
    ),
]


def print_line(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(text, flush=True)


@contextmanager
def end_quietly_on_closed_pipe() -> Iterator[None]:
    """Exit without a traceback when the reader of a pipe goes away."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(128 + signal.SIGPIPE) from None


def load_plan(
    recipe: str, changes: list[str] | None, vocoders: list[str] | None, **forced: int | str | None
) -> Plan:
    """Read a recipe with its changes and plan its stages."""
    from wavewright.runner.plan import Plan
    from wavewright.runner.recipe import load_recipe

    return Plan(load_recipe(recipe, changes or ()), vocoders=vocoders or (), **forced)
