"""A VCTK tree (0.92 or 0.80): wav48*/SPEAKER/ID[_mic1].flac or .wav, and txt/SPEAKER/ID.txt."""

from __future__ import annotations

import re
from pathlib import Path

from wavewright.data.corpus.readers.common import make_utterance, read_text
from wavewright.data.corpus.utterances import AUDIO_SUFFIXES, CorpusUtterance

_MICROPHONE = re.compile(r"_mic(\d)$")


def _audio(source: Path) -> Path | None:
    folders = sorted(path for path in source.glob("wav48*") if path.is_dir())
    return folders[0] if folders and (source / "txt").is_dir() else None


def matches(source: Path) -> bool:
    """True if `source` has wav48*/ and txt/."""
    return source.is_dir() and _audio(source) is not None


def read(source: Path) -> list[CorpusUtterance]:
    """Read all utterances of the first microphone; those without text are faulty."""
    folder = _audio(source)
    utterances = []
    for path in sorted(folder.glob("*/*")) if folder else []:
        microphone = _MICROPHONE.search(path.stem)
        if path.suffix.lower() not in AUDIO_SUFFIXES or (microphone and microphone.group(1) != "1"):
            continue
        name, speaker = _MICROPHONE.sub("", path.stem), path.parent.name
        text = read_text(source / "txt" / speaker / f"{name}.txt")
        utterances.append(
            make_utterance(name, path, where=f"in {speaker}", text=text, speaker=speaker)
        )
    return utterances
