"""Lines of text to say, from a file or from standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from wavewright.data.corpus.utterances import numbered_lines, read_lines
from wavewright.data.manifest import check_id
from wavewright.errors import WavewrightError

STDIN = Path("-")


class Line(NamedTuple):
    """One utterance: where it stands, what its file is called, and its text."""

    where: str
    id: str
    text: str


def lines_of(source: Path) -> list[Line]:
    """Utterances of a file, one per line; blank lines are left out.

    `id|text` and `id|raw|normalised` name the utterance; a line without `|` is called after its
    number.

    Args:
        source: a UTF-8 text file; `-` is standard input.

    Raises:
        WavewrightError: no such file, not UTF-8, no line, or an id that is not legal or not unique.
    """
    name = "standard input" if source == STDIN else f"{source}"
    if source == STDIN:
        numbered = numbered_lines(sys.stdin.buffer.read(), name)
    else:
        numbered = read_lines(source)
    if not numbered:
        raise WavewrightError(f"{name}: no text in it")
    lines: dict[str, Line] = {}
    for number, written in numbered:
        line = _line(f"{name}, line {number}", number, written)
        if line.id in lines:
            raise WavewrightError(f"{line.where}: the id '{line.id}' is there already")
        lines[line.id] = line
    return [*lines.values()]


def _line(where: str, number: int, written: str) -> Line:
    first, mark, rest = written.partition("|")
    if not mark:
        return Line(where, f"{number:04d}", written.strip())
    try:
        name = check_id(first.strip())
    except WavewrightError as error:
        raise WavewrightError(f"{where}: {error}. Lines are 'text' or 'id|text'") from error
    text = rest.rpartition("|")[2].strip() or rest.partition("|")[0].strip()
    if not text:
        raise WavewrightError(f"{where}: no text after '{name}|'")
    return Line(where, name, text)


def arriving(source: Path) -> Iterator[tuple[str, str]]:
    """Lines with where they stand, each as soon as it is there; blank ones are left out."""
    if source != STDIN:
        yield from ((f"{source}, line {number}", line) for number, line in read_lines(source))
        return
    for number, data in enumerate(iter(sys.stdin.buffer.readline, b""), 1):
        for _, line in numbered_lines(data, f"standard input, line {number}"):
            yield f"standard input, line {number}", line
