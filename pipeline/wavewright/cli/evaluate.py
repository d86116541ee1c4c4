"""Commands that measure and compare: evaluate, compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from wavewright.cli.options import (
    JobsOption,
    print_line,
)


def evaluate(
    reference: Annotated[Path, typer.Option("--reference", help="Folder of the recordings.")],
    candidate: Annotated[
        list[str],
        typer.Option(
            "--candidate",
            metavar="NAME=DIR",
            help="Folder of what a system made of them; repeat for several. NAME@gta=DIR and "
            "NAME@tts=DIR are its other conditions.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")],
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help="Measure this; repeat for several."),
    ] = None,
    text: Annotated[
        Path | None, typer.Option(help="Transcripts: metadata.csv, a table or Kaldi's text.")
    ] = None,
    alignments: Annotated[
        Path | None, typer.Option(help="Folder of ID.TextGrid: metrics by class of phones.")
    ] = None,
    speaker_pattern: Annotated[
        str, typer.Option(help="Finds the speaker in an id, as its first group: '^([a-z]+)_'.")
    ] = "",
    band: Annotated[
        float | None,
        typer.Option(help="Highest frequency in Hz that the candidates' mels had, such as 8000."),
    ] = None,
    sample_rate: Annotated[
        int | None, typer.Option(min=1000, help="Compare at this rate; default: the lowest.")
    ] = None,
    utterances: Annotated[
        int | None, typer.Option(min=1, help="Take this many, spread over the ids.")
    ] = None,
    anchor: Annotated[
        list[str] | None,
        typer.Option("--anchor", help="lowpass-3.5k (the default), mulaw-8bit or none."),
    ] = None,
    title: Annotated[
        str, typer.Option(help="Heading of the page.", rich_help_panel="The page")
    ] = "Vocoder evaluation",
    max_players: Annotated[
        int,
        typer.Option(min=0, help="Most utterances with players.", rich_help_panel="The page"),
    ] = 12,
    max_megabytes: Annotated[
        float, typer.Option(min=1, help="Largest size of the page.", rich_help_panel="The page")
    ] = 25.0,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Use values that were computed before.")
    ] = True,
    jobs: JobsOption = None,
) -> None:
    """Compare folders of wavs with recordings of the same names, and write a report.

    Files are paired by name. Ids that lack a partner, and files that cannot be used, are listed.

    Examples:

        wavewright evaluate --reference wavs --candidate mine=out --out report
        wavewright evaluate --reference wavs --candidate a=x --candidate a@tts=y --out report
        wavewright evaluate --reference wavs --candidate a=x --text t.csv --metric wer --out report
    """
    from wavewright.evaluation.from_folders import EvaluationRequest, write_folder_report
    from wavewright.evaluation.measure import METRICS
    from wavewright.evaluation.pairing import parse_candidate

    anchors = tuple(name for name in anchor or ("lowpass-3.5k",) if name != "none")
    request = EvaluationRequest(
        reference=reference,
        candidates=[parse_candidate(one) for one in candidate],
        out=out,
        metrics=tuple(metric or METRICS),
        text=text,
        alignments=alignments,
        speaker_pattern=speaker_pattern,
        band=band,
        sample_rate=sample_rate,
        utterances=utterances,
        anchors=anchors,
        title=title,
        max_players=max_players,
        max_megabytes=max_megabytes,
        use_cache=cache,
        jobs=jobs or -1,
        command=["wavewright", *sys.argv[1:]],
    )
    print_line(f"Result: {write_folder_report(request, print_line)}")


def compare(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="results.json, or a report.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="results.json, or a report.")],
    everything: Annotated[
        bool, typer.Option("--all", help="Show what stayed the same, too.")
    ] = False,
) -> None:
    """Compare two evaluations: which systems have become better or worse.

    Exit code 1: something is significantly worse (Wilcoxon signed-rank test, Holm-corrected), or
    values were lost.

    Examples:

        wavewright compare old/results.json new/results.json
        wavewright compare old new --all
    """
    from wavewright.evaluation.regressions import compare_results, comparison_lines, read_results

    comparison = compare_results(read_results(before), read_results(after))
    print_line("\n".join(comparison_lines(comparison, everything=everything)))
    if comparison.has_regressions:
        raise typer.Exit(1)
