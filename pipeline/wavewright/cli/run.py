"""Commands that work on a recipe's stages: run, status, verify, clean."""

from __future__ import annotations

from typing import Annotated

import typer

from wavewright.cli.options import (
    JobsOption,
    RecipeArgument,
    SetOption,
    VocoderOption,
    load_plan,
    print_line,
)
from wavewright.errors import WavewrightError

_STAGES = "Which stages"
_SHOW = "Look before you run"
_MACHINES = "Machines and processes"


def run(
    recipe: RecipeArgument,
    stage: Annotated[
        str | None,
        typer.Option(help="Start at this stage, by number or name.", rich_help_panel=_STAGES),
    ] = None,
    stop_stage: Annotated[
        str | None,
        typer.Option(
            "--stop-stage",
            "--stop_stage",
            help="Stop after this stage.",
            rich_help_panel=_STAGES,
        ),
    ] = None,
    changes: SetOption = None,
    vocoder: VocoderOption = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Run even what is up to date.", rich_help_panel=_STAGES),
    ] = False,
    allow_stale: Annotated[
        bool,
        typer.Option(
            "--allow-stale",
            help="Use outdated results of the stages before --stage.",
            rich_help_panel=_STAGES,
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print what would run, and stop.", rich_help_panel=_SHOW),
    ] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Print every reason in full, old -> new, and stop.",
            rich_help_panel=_SHOW,
        ),
    ] = False,
    jobs: JobsOption = None,
    gpus: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processes that train together, one per GPU.", rich_help_panel=_MACHINES
        ),
    ] = None,
    nodes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Machines that train together, each with --gpus.",
            rich_help_panel=_MACHINES,
        ),
    ] = None,
    rendezvous: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="With --nodes: a free port of this machine that the others reach.",
            rich_help_panel=_MACHINES,
        ),
    ] = None,
    backend: Annotated[
        str,
        typer.Option(
            help="Where shards are made: loky (this machine) or dask.", rich_help_panel=_MACHINES
        ),
    ] = "loky",
    scheduler: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="With --backend dask: tcp://HOST:PORT or tls://HOST:PORT of a running scheduler; "
            "default: a cluster of --jobs processes on this machine.",
            rich_help_panel=_MACHINES,
        ),
    ] = "",
) -> None:
    """Run a recipe's stages; those that are up to date are skipped.

    Examples:

        wavewright run mini
        wavewright run recipes/ljspeech --stage 3 --stop-stage gta
        wavewright run kathleen --vocoder hifigan:v2 --set train.max_steps=20000 --explain
        wavewright run ljspeech --vocoder vocos --gpus 4
    """
    from wavewright.compute.engines import require_engine
    from wavewright.runner.run import RunRequest
    from wavewright.runner.run import run as run_plan

    require_engine(backend, scheduler)
    request = RunRequest(
        stage, stop_stage, dry_run, explain, force, allow_stale, backend, scheduler
    )
    if (nodes or 1) > 1 and not rendezvous:
        raise WavewrightError("--nodes needs --rendezvous HOST:PORT, where the machines meet")
    plan = load_plan(
        recipe, changes, vocoder, jobs=jobs, gpus=gpus, nodes=nodes, rendezvous=rendezvous
    )
    folder = run_plan(plan, request, print_line)
    if folder is not None:
        page = folder / "index.html"
        print_line(f"Result: {page if page.is_file() else folder}")


def status(
    recipe: RecipeArgument, changes: SetOption = None, vocoder: VocoderOption = None
) -> None:
    """Show which stages are up to date and where their results are.

    Examples:

        wavewright status kathleen
    """
    from wavewright.runner.run import print_status

    print_status(load_plan(recipe, changes, vocoder), print_line)


def verify(
    recipe: RecipeArgument, changes: SetOption = None, vocoder: VocoderOption = None
) -> None:
    """Hash every current result again and compare. Exit code 1: one is damaged.

    Examples:

        wavewright verify kathleen
    """
    from wavewright.runner.run import verify_results

    if not verify_results(load_plan(recipe, changes, vocoder), print_line):
        raise typer.Exit(1)


def clean(
    recipe: RecipeArgument,
    changes: SetOption = None,
    vocoder: VocoderOption = None,
    keep: Annotated[int, typer.Option(min=1, help="Newest results of each stage to keep.")] = 2,
    unfinished: Annotated[
        bool,
        typer.Option("--unfinished", help="Also remove what was interrupted under other options."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would go, and remove nothing.")
    ] = False,
) -> None:
    """Remove old results; the one in use always stays.

    Examples:

        wavewright clean kathleen --keep 1 --dry-run
    """
    from wavewright.runner.clean import clean as remove_results

    plan = load_plan(recipe, changes, vocoder)
    remove_results(plan, keep, print_line, unfinished=unfinished, dry=dry_run)
