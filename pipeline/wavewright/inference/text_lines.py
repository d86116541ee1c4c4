"""Lines of text to synthesize, from a file or from standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from wavewright.data.corpus.utterances import numbered_lines, read_lines
from wavewright.data.manifest import check_id
from wavewright.errors import WavewrightError

STDIN = Path("-")


class TextLine(NamedTuple):
    """One utterance to synthesize.

    Attributes:
        where: file and line, for messages.
        id: name of the output file, without suffix.
        text: what to say.
    """

    where: str
    id: str
    text: str


def read_text_lines(source: Path) -> list[TextLine]:
    """Read utterances, one per line; skip blank lines.

    `id|text` and `id|raw|normalised` give the utterance an id; without `|` the id is the line
    number.

    Args:
        source: a UTF-8 text file; `-` is standard input.

    Raises:
        WavewrightError: missing file, not UTF-8, no lines, or an illegal or duplicate id.
    """
    name = "standard input" if source == STDIN else f"{source}"
    if source == STDIN:
        numbered = numbered_lines(sys.stdin.buffer.read(), name)
    else:
        numbered = read_lines(source)
    if not numbered:
        raise WavewrightError(f"{name}: no text in it")
    lines: dict[str, TextLine] = {}
    for number, content in numbered:
        line = _parse(f"{name}, line {number}", number, content)
        if line.id in lines:
            raise WavewrightError(f"{line.where}: the id '{line.id}' is there already")
        lines[line.id] = line
    return [*lines.values()]


def _parse(where: str, number: int, content: str) -> TextLine:
    first, separator, rest = content.partition("|")
    if not separator:
        return TextLine(where, f"{number:04d}", content.strip())
    try:
        name = check_id(first.strip())
    except WavewrightError as error:
        raise WavewrightError(f"{where}: {error}. Lines are 'text' or 'id|text'") from error
    text = rest.rpartition("|")[2].strip() or rest.partition("|")[0].strip()
    if not text:
        raise WavewrightError(f"{where}: no text after '{name}|'")
    return TextLine(where, name, text)


def stream_text_lines(source: Path) -> Iterator[tuple[str, str]]:
    """Yield (location, text) of each line as soon as it arrives; skip blank lines."""
    if source != STDIN:
        yield from ((f"{source}, line {number}", line) for number, line in read_lines(source))
        return
    for number, data in enumerate(iter(sys.stdin.buffer.readline, b""), 1):
        for _, line in numbered_lines(data, f"standard input, line {number}"):
            yield f"standard input, line {number}", line
