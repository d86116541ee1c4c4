"""A folder of audio files at any depth; ID.txt beside ID.wav is its text."""

from __future__ import annotations

import os
import re
from pathlib import Path

from wavewright.data.corpus.readers.common import audio_files, make_utterance, read_text
from wavewright.data.corpus.utterances import CorpusUtterance


def matches(source: Path) -> bool:
    """True if `source` is a folder with an audio file at any depth."""
    return source.is_dir() and next(audio_files(source), None) is not None


def read(source: Path) -> list[CorpusUtterance]:
    """Read all audio files; ids are file names, with folders where names repeat.

    Without any text it is a corpus for vocoders only.
    """
    paths = list(audio_files(source))
    stems: dict[str, int] = {}
    for path in paths:
        stems[path.stem] = stems.get(path.stem, 0) + 1
    utterances = []
    for path in paths:
        name = path.stem
        relative = path.relative_to(source)
        if stems[name] > 1:
            name = "-".join(relative.with_suffix("").parts)
        name = re.sub(r"\s+", "_", name)
        utterances.append(
            make_utterance(
                name, path, where=os.fspath(relative), text=read_text(path.with_suffix(".txt"))
            )
        )
    return utterances
