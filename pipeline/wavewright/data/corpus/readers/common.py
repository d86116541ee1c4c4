"""Helpers shared by the corpus readers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wavewright.data.corpus.utterances import AUDIO_SUFFIXES, CorpusUtterance
from wavewright.data.manifest import check_id, id_slug
from wavewright.errors import WavewrightError


def make_utterance(
    name: str,
    audio: Path,
    *,
    where: str,
    text: str = "",
    normalised: str = "",
    speaker: str = "",
    start: float = 0.0,
    end: float | None = None,
    split: str = "",
    alignment: Path | None = None,
    reason: str = "",
) -> CorpusUtterance:
    """Make an utterance with a legal id; faults become its reason.

    Args:
        name: the id that the layout gives.
        where: place in the corpus, such as "line 7", for messages and to replace an illegal id.
    """
    try:
        check_id(name)
    except WavewrightError as error:
        reason = f"bad id, {where}: {error}"
        name = id_slug(where)
    if not reason and not audio.is_file():
        reason = f"missing audio: {audio.name}, {where}"
    if not reason and end is not None and end <= start:
        reason = f"a segment from {start:g} to {end:g} s, {where}"
    return CorpusUtterance(
        id=name,
        text=" ".join((text or normalised).split()),
        normalised=" ".join((normalised or text).split()),
        speaker=speaker,
        audio=audio,
        alignment=alignment,
        reason=reason,
        start=start,
        end=end,
        split=split,
    )


def audio_files(folder: Path) -> Iterator[Path]:
    """Yield audio files at any depth, sorted, without hidden files and folders."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from audio_files(path)
        elif path.suffix.lower() in AUDIO_SUFFIXES:
            yield path


def resolve_path(text: str, folder: Path) -> Path:
    """Resolve a manifest's path; relative ones start at the manifest's folder."""
    path = Path(text).expanduser()
    return path if path.is_absolute() else folder / path


def read_text(path: Path) -> str:
    """Read a small UTF-8 text file as one line; empty if there is no file."""
    from wavewright.data.corpus.utterances import read_lines

    return " ".join(line.strip() for _, line in read_lines(path)) if path.is_file() else ""
