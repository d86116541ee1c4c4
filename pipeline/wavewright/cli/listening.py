"""Commands around listening tests: listening-test, ratings."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, cast

import typer

from wavewright.cli.options import (
    print_line,
)
from wavewright.errors import WavewrightError


class ListeningKind(StrEnum):
    """Kind of listening test."""

    mos = "mos"
    ab = "ab"
    abx = "abx"
    webmushra = "webmushra"


def listening_test(
    kind: Annotated[ListeningKind, typer.Option(help="mos rates, ab prefers, abx tells apart.")],
    reference: Annotated[Path, typer.Option(help="Folder of recordings, ID.wav or ID.flac.")],
    candidate: Annotated[
        list[str],
        typer.Option(metavar="NAME=DIR", help="A system's sounds, same ids (repeat for several)."),
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to make.")],
    utterances: Annotated[int, typer.Option(min=1, help="Most utterances, seeds at random.")] = 20,
    seed: Annotated[int | None, typer.Option(help="Seed; default: a random one.")] = None,
    title: Annotated[str, typer.Option(help="Shown to listeners.")] = "",
    question: Annotated[str, typer.Option(help="Asked instead of the usual one.")] = "",
    single_file: Annotated[
        bool, typer.Option("--single-file", help="Put the sounds into the page, to mail one file.")
    ] = False,
) -> None:
    """Make a listening test: a page for listeners, or a configuration for webMUSHRA.

    Examples:

        wavewright listening-test --kind mos --reference natural --candidate vocos=vocos --out test
        wavewright listening-test --kind webmushra --reference a --candidate b=b --out mushra
    """
    from wavewright.evaluation.listening.design import ListeningOptions, TestKind
    from wavewright.evaluation.listening.page import parse_candidates, write_listening_test
    from wavewright.evaluation.listening.webmushra import export_webmushra

    folders = parse_candidates(candidate)
    seeds = {} if seed is None else {"seed": seed}
    options = ListeningOptions(utterances=utterances, title=title, question=question, **seeds)
    if kind == ListeningKind.webmushra:
        if single_file:
            raise WavewrightError("--single-file: webMUSHRA needs its sounds beside it")
        remarks = export_webmushra(reference, folders, out, options)
    else:
        test_kind = cast(TestKind, kind.value)
        remarks = write_listening_test(
            test_kind, reference, folders, out, options, single_file=single_file
        )
    for remark in remarks:
        print_line(remark)


def ratings(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Listeners' .json files.")],
    key: Annotated[Path, typer.Option("--key", help="The test's key.json.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for ratings.json and ratings.md.")],
) -> None:
    """Analyze what listeners sent back: scores, preferences, intervals.

    Examples:

        wavewright ratings answers --key test/key.json --out test/ratings
    """
    from wavewright.evaluation.listening.ratings import import_ratings
    from wavewright.evaluation.listening.ratings_table import ratings_markdown

    print_line(ratings_markdown(import_ratings(folder, key, out)))
